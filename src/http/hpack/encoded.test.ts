import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Memory } from '../../base/memory.ts';
import { FieldLine, HeaderName } from '../../model/fields.ts';
import { MessagePool } from '../../model/pool.ts';
import { NameTable } from '../names.ts';
import { HpackDecoder, HpackShared } from './decoder.ts';
import { ENCODED_BYTES_MAX, EncodedLines } from './encoded.ts';
import { SharedLines } from './lines.ts';

/** A literal without Huffman coding; `pattern`: 0x00 without indexing, 0x10 never indexed. */
const literal = (pattern: number, name: string, value: string): Buffer =>
  Buffer.concat([
    Buffer.from([pattern, name.length]),
    Buffer.from(name),
    Buffer.from(value.length < 127 ? [value.length] : [127, (value.length - 127) | 0x80, (value.length - 127) >> 7]),
    Buffer.from(value),
  ]);

function decoder(): (bytes: Buffer) => { pairs: string[][]; shared: boolean[]; badName: boolean; outcome: string } {
  const pool = new MessagePool();
  const shared = new HpackShared(new SharedLines(new NameTable()), pool);
  const hpack = new HpackDecoder(shared, false, 4_096);
  return (bytes) => {
    const block = pool.takeBlock();
    const outcome = hpack.decode(Memory.from(bytes), 0, bytes.length, block);
    const { lines, count } = block;
    const pairs = Array.from({ length: count }, (_, i) => [lines[i]!.raw, block.value(i)]);
    const said = {
      pairs,
      shared: pairs.map((_, i) => lines[i]!.value !== null),
      badName: shared.list.badName,
      outcome,
    };
    pool.giveBlock(block);
    return said;
  };
}

test('a literal that is repeated becomes a shared line; one that must never be indexed does not', () => {
  const decode = decoder();
  const block = Buffer.concat([literal(0x00, 'server', 'test'), literal(0x10, 'x-secret', 'hush')]);
  for (let i = 0; i < 5; i++) {
    const { pairs, shared } = decode(block);
    expect(pairs).toEqual([
      ['server', 'test'],
      ['x-secret', 'hush'],
    ]);
    expect(shared).toEqual([i >= 3, false]);
  }
});

test('a bad name is bad each time', () => {
  const decode = decoder();
  for (let i = 0; i < 5; i++) expect(decode(literal(0, 'Bad Name', 'x')).badName).toBe(true);
  expect(decode(literal(0, 'good', 'x')).badName).toBe(false);
});

test('a literal that is cut is an error, also when its beginning is known', () => {
  const decode = decoder();
  const whole = literal(0, 'x-name', 'a value of some length');
  for (let i = 0; i < 5; i++) decode(whole);
  for (let cut = 1; cut < whole.length; cut++) expect(decode(whole.subarray(0, cut)).outcome).toBe('error');
  expect(decode(whole).outcome).toBe('done');
});

test('whatever is repeated, in any order: always what was sent', () => {
  const field = fc.tuple(
    fc.constantFrom(0x00, 0x10),
    fc.constantFrom('a', 'ab', 'server', 'x-long-name'),
    fc.constantFrom('', 'a', 'b', 'aaaa', 'x'.repeat(ENCODED_BYTES_MAX - 9), 'y'.repeat(600)),
  );
  fc.assert(
    fc.property(fc.array(fc.array(field, { maxLength: 8 }), { maxLength: 30 }), (blocks) => {
      const decode = decoder();
      for (const fields of blocks) {
        const { pairs } = decode(Buffer.concat(fields.map(([pattern, name, value]) => literal(pattern, name, value))));
        expect(pairs).toEqual(fields.map(([, name, value]) => [name, value]));
      }
    }),
  );
});

test('equal hashes with other bytes are not taken for one another', () => {
  const lines = new EncodedLines();
  const line = (text: string): FieldLine => new FieldLine(new HeaderName(1, 'x'), 'x', text);
  const [a, b] = ['abcdefg', 'abcdefh'].map((text) => Memory.from(Buffer.from(text))) as [Memory, Memory];
  lines.add(a, 0, 7, 42, line('a'));
  expect(lines.find(b.view, 0, 7, 42)).toBe(null);
  expect(lines.find(a.view, 0, 6, 42)).toBe(null);
  lines.add(b, 0, 7, 42, line('b'));
  expect(lines.find(a.view, 0, 7, 42)!.value).toBe('a');
  expect(lines.find(b.view, 0, 7, 42)!.value).toBe('b');
});
