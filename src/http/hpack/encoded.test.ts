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

test('a literal that is repeated enters the table each time', () => {
  const decode = decoder();
  const block = Buffer.concat([literal(0x40, 'x-a', '1'), literal(0x40, 'x-b', '2')]);
  for (let i = 0; i < 5; i++) {
    expect(decode(block).pairs).toEqual([
      ['x-a', '1'],
      ['x-b', '2'],
    ]);
    // The newest first: 62 and 63.
    expect(decode(Buffer.from([0xbe, 0xbf])).pairs).toEqual([
      ['x-b', '2'],
      ['x-a', '1'],
    ]);
  }
  expect(decode(Buffer.from([0x80 | (62 + 9)])).pairs).toEqual([['x-a', '1']]);
  expect(decode(Buffer.from([0x80 | (62 + 10)])).outcome).toBe('error');
});

/** The octets of a table of 4,096, and what an entry costs beside its own (RFC 7541 4.1). */
const TABLE = 4_096;
const OVERHEAD = 32;

/** What a decoder must make of fields, by the letter of RFC 7541. */
class Model {
  #entries: (readonly [string, string])[] = [];

  /** An entry by its index from 0, the newest; undefined: there is none. */
  entry(i: number): readonly [string, string] | undefined {
    return this.#entries[i];
  }

  add(name: string, value: string): void {
    this.#entries.unshift([name, value]);
    while (this.#entries.reduce((sum, [n, v]) => sum + n.length + v.length + OVERHEAD, 0) > TABLE) this.#entries.pop();
  }
}

test('whatever is repeated, in any order, in the table or not: always what was sent', () => {
  const field = fc.tuple(
    fc.constantFrom(0x00, 0x10, 0x40),
    fc.constantFrom('a', 'ab', 'server', 'x-long-name'),
    fc.constantFrom('', 'a', 'b', 'aaaa', 'x'.repeat(ENCODED_BYTES_MAX - 9), 'y'.repeat(600), 'z'.repeat(TABLE)),
  );
  const place = fc.nat(20);
  fc.assert(
    fc.property(fc.array(fc.array(fc.oneof(field, place), { maxLength: 8 }), { maxLength: 30 }), (blocks) => {
      const decode = decoder();
      const model = new Model();
      for (const block of blocks) {
        const bytes: Buffer[] = [];
        const sent: (readonly [string, string])[] = [];
        for (const f of block) {
          if (typeof f === 'number') {
            const entry = model.entry(f);
            if (entry === undefined) continue;
            bytes.push(Buffer.from([0x80 | (62 + f)]));
            sent.push(entry);
          } else {
            const [pattern, name, value] = f;
            bytes.push(literal(pattern, name, value));
            sent.push([name, value]);
            if (pattern === 0x40) model.add(name, value);
          }
        }
        expect(decode(Buffer.concat(bytes)).pairs).toEqual(sent.map(([name, value]) => [name, value]));
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
