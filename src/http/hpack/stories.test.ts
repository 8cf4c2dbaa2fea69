/** Every story of the public HPACK test cases, block after block on one table, to the letter. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Memory } from '../../base/memory.ts';
import { MessagePool } from '../../model/pool.ts';
import { NameTable } from '../names.ts';
import { HpackDecoder, HpackShared } from './decoder.ts';
import { SharedLines } from './lines.ts';

const FOLDER = join(import.meta.dirname, '../../../test/fixtures/hpack');

interface Story {
  readonly cases: readonly {
    readonly wire: string;
    readonly headers: readonly Record<string, string>[];
    readonly header_table_size?: number;
  }[];
}

const encoders = readdirSync(FOLDER, { withFileTypes: true }).filter((entry) => entry.isDirectory());
// One shared table for all stories: what one connection shares must not change what another one reads.
const pool = new MessagePool();
const shared = new HpackShared(new SharedLines(new NameTable()), pool);

const texts = (decoder: HpackDecoder, wire: string): [string, string][] => {
  const memory = Memory.from(Buffer.from(wire, 'hex'));
  const block = pool.takeBlock();
  expect(decoder.decode(memory, 0, memory.size, block)).toBe('done');
  const { list } = shared;
  const pairs: [string, string][] = [];
  for (let i = 0; i < list.pseudoCount; i++) {
    const line = list.pseudo[i]!;
    const at = list.pseudoAt[i]!;
    pairs.push([line.raw, line.value ?? block.memory.buf.latin1Slice(at, at + list.pseudoLength[i]!)]);
  }
  for (let i = 0; i < block.count; i++) pairs.push([block.lines[i]!.raw, block.value(i)]);
  pool.giveBlock(block);
  return pairs;
};

test('there are stories', () => {
  expect(encoders.length).toBeGreaterThanOrEqual(4);
});

describe.each(encoders.map(({ name }) => name))('%s', (encoder) => {
  test.each(readdirSync(join(FOLDER, encoder)))('%s', (file) => {
    const story = JSON.parse(readFileSync(join(FOLDER, encoder, file), 'utf8')) as Story;
    const decoder = new HpackDecoder(shared, false, Number.POSITIVE_INFINITY);
    for (const { wire, headers } of story.cases) {
      const expected = headers.flatMap((pair) => Object.entries(pair));
      expect(texts(decoder, wire)).toEqual(expected);
      expect(decoder.table.size).toBeLessThanOrEqual(decoder.table.max);
    }
  });
});
