import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteValues } from './byte-values.ts';
import { type Column, INT32, INT64, NumberColumn, WordColumn } from './columns.ts';
import { parquetFile } from './file.ts';
import { TupleNumbers, TupleWords } from './tuple-columns.ts';
import { Tuples } from './tuples.ts';

const WORDS = ['', 'GET', 'POST', 'örtlich', 'x'.repeat(80)].map((text) => Buffer.from(text));
const word = (id: number): Uint8Array => WORDS[id]!;
const RECORD_BYTES = 12;

/** A row: the number of a word, a number that may be missing, and something that no column shows. */
type Row = readonly [word: number, number: number | null, other: number];
const MISSING = 0xffffffff;

const rows = fc.array(
  fc.tuple(fc.nat(WORDS.length - 1), fc.oneof(fc.constantFrom(null, 200, 404), fc.nat(1 << 16)), fc.constantFrom(0, 1)),
  { maxLength: 60 },
);

class Tupled {
  readonly #tuples = new Tuples([4, 0, 8]);
  readonly columns: readonly Column[];

  constructor() {
    const tuples = this.#tuples;
    const number = (tuple: number): number | null => (tuples.word(tuple, 1) === MISSING ? null : tuples.word(tuple, 1));
    const whole = (tuple: number): number => number(tuple) ?? 0;
    this.columns = [
      new TupleWords('word', tuples, (tuple) => tuples.word(tuple, 0), word),
      new TupleWords('optional', tuples, (tuple) => tuples.word(tuple, 0), word, true),
      new TupleNumbers('number', INT32, tuples, number, true),
      new TupleNumbers('whole', INT64, tuples, whole),
    ];
  }

  fill(of: readonly Row[], times: number): void {
    this.#tuples.clear();
    for (const column of this.columns) column.clear();
    const view = new DataView(new ArrayBuffer(RECORD_BYTES));
    for (let n = 0; n < times; n++)
      for (const [text, number, other] of of) {
        view.setUint32(0, number ?? MISSING, true);
        view.setUint32(4, text, true);
        view.setUint32(8, other, true);
        this.#tuples.push(view, 0);
      }
  }
}

function plain(of: readonly Row[], times: number): readonly Column[] {
  const texts = new WordColumn('word', word);
  const optional = new WordColumn('optional', word, true);
  const number = new NumberColumn('number', INT32, true);
  const whole = new NumberColumn('whole', INT64);
  for (let n = 0; n < times; n++)
    for (const [text, value] of of) {
      texts.push(text);
      optional.push(text);
      if (value === null) number.pushNull();
      else number.push(value);
      whole.push(value ?? 0);
    }
  return [texts, optional, number, whole];
}

const bytesOf = (columns: readonly Column[]): Buffer => Buffer.concat([...parquetFile(columns, {})]);

describe('columns of tuples', () => {
  const tupled = new Tupled();

  test('are written as columns that keep a value for each row, byte for byte, whatever was in them before', () => {
    fc.assert(
      fc.property(rows, fc.constantFrom(1, 2, 9), (of, times) => {
        tupled.fill(of, times);
        expect(bytesOf(tupled.columns).equals(bytesOf(plain(of, times)))).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('of more rows than a page holds, and of more tuples than are remembered', () => {
    const of = Array.from({ length: 9_000 }, (_, i): Row => [i % WORDS.length, i, i & 1]);
    tupled.fill(of, 2);
    expect(bytesOf(tupled.columns).equals(bytesOf(plain(of, 2)))).toBe(true);
    const alike: Row[] = [[1, null, 0]];
    tupled.fill(alike, 40_000);
    expect(bytesOf(tupled.columns).equals(bytesOf(plain(alike, 40_000)))).toBe(true);
  });
});

test('values copied word by word are those copied byte by byte, up to the end of what can be read', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 1, maxLength: 400 }),
      fc.array(fc.tuple(fc.nat(399), fc.nat(400))),
      (from, parts) => {
        const byWord = new ByteValues();
        const byByte = new ByteValues();
        const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
        for (const [at, length] of parts) {
          const begin = Math.min(at, from.length);
          const size = Math.min(length, from.length - begin);
          byWord.copy(view, begin, size);
          byByte.push(from, begin, size);
        }
        expect(byWord.length).toBe(byByte.length);
        expect(byWord.bytes.subarray(0, byWord.length).equals(byByte.bytes.subarray(0, byByte.length))).toBe(true);
        expect(byWord.lengths.subarray(0, byWord.count)).toEqual(byByte.lengths.subarray(0, byByte.count));
      },
    ),
  );
});
