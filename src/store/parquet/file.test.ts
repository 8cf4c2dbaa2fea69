import { rmSync, writeFileSync } from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Folder } from '../../../test/rig/folder.ts';
import { INT32, INT64, NumberColumn, TextColumn, WordColumn } from './columns.ts';
import { parquetFile } from './file.ts';
import { TextsColumn } from './list-column.ts';
import { ParquetFile } from './read.ts';

const WORDS = ['', 'GET', '/v1/ü', 'x'.repeat(5_000), '\u{1f600}', "'\0"].map((word) => Buffer.from(word));
const integer = fc.oneof(
  fc.constant(7),
  fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  fc.integer({ min: -(2 ** 40), max: 2 ** 40 }),
  fc.maxSafeInteger().map((n) => Math.trunc(n / 4) + 0),
);
const row = fc.record({
  wide: integer,
  narrow: fc.oneof({ weight: 3, arbitrary: fc.constant(200) }, { weight: 1, arbitrary: fc.nat() }),
  time: fc.option(fc.nat(2 ** 31 - 1)),
  word: fc.oneof({ weight: 5, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(WORDS.length - 1) }),
  text: fc.string({ unit: 'grapheme', maxLength: 40 }),
  texts: fc.array(fc.string({ maxLength: 60 }), { maxLength: 4 }),
});
/** Repeated so often that runs, groups of eight, blocks of 128 and several pages come together in one file. */
const rows = fc
  .tuple(fc.array(row, { maxLength: 40 }), fc.constantFrom(1, 3, 9, 1_500))
  .map(([some, times]) => Array.from({ length: times }, () => some).flat());

test('whatever is written, DuckDB reads', async () => {
  using folder = new Folder();
  let files = 0;
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await fc.assert(
    fc.asyncProperty(rows, async (written) => {
      // A path of its own: DuckDB takes a file of the same length and second for the one that it has read.
      const path = folder.file(`${files++}.parquet`);
      const base = 1_795_363_445_123_456_789n;
      const word = (id: number): Uint8Array => WORDS[id]!;
      const wide = new NumberColumn('wide', INT64);
      const narrow = new NumberColumn('narrow', INT32);
      const time = new NumberColumn('time', INT64, true, 'timestamp_ns');
      time.base = base;
      const kept = new WordColumn('word', word);
      const optional = new WordColumn('optional', word, true);
      const text = new TextColumn('text');
      const texts = new TextsColumn('texts');
      for (const r of written) {
        wide.push(r.wide);
        narrow.push(r.narrow);
        if (r.time === null) time.pushNull();
        else time.push(r.time);
        kept.push(r.word);
        optional.push(r.word);
        const bytes = Buffer.from(r.text);
        text.push(bytes, 0, bytes.length);
        texts.row(r.texts.length);
        for (const one of r.texts) texts.push(Buffer.from(one), 0, Buffer.byteLength(one));
      }
      const columns = [wide, narrow, time, kept, optional, text, texts];
      writeFileSync(path, Buffer.concat([...parquetFile(columns, { key: 'value' })]));
      const read = await connection.runAndReadAll(
        `SELECT wide, narrow, epoch_ns(time) AS time, word, optional, text, texts FROM read_parquet('${path}')`,
      );
      const got = read.getRows().map(([a, b, c, d, e, f, g]) => [a, b, c, d, e, f, (g as { items: string[] }).items]);
      const shown = written.map((r) => {
        const name = WORDS[r.word]!.toString();
        const text = Buffer.from(r.text).toString();
        const list = r.texts.map((one) => Buffer.from(one).toString());
        return [
          BigInt(r.wide),
          r.narrow,
          r.time === null ? null : base + BigInt(r.time),
          name,
          r.word === 0 ? null : name,
          text,
          list,
        ];
      });
      expect(got.length).toBe(shown.length);
      expect(got).toEqual(shown);
      // The store's own reader takes the same.
      const file = ParquetFile.open(path)!;
      expect(file.rows).toBe(written.length);
      expect(file.numbers('wide')).toEqual(written.map((r) => r.wide));
      expect(file.bytes('word')?.map(String)).toEqual(shown.map(([, , , name]) => name));
      const words = ParquetFile.read(path)!.words('word');
      expect(words && Array.from(words.of, (place) => words.texts[place])).toEqual(shown.map(([, , , name]) => name));
      expect(file.bytes('text')?.map(String)).toEqual(shown.map(([, , , , , text]) => text));
      expect(file.optionalNumbers('time', base)).toEqual(written.map((r) => r.time ?? Number.NaN));
      const wides = written.map((r) => r.wide);
      const ends = [
        wides.reduce((a, b) => Math.min(a, b), Infinity),
        wides.reduce((a, b) => Math.max(a, b), -Infinity),
      ];
      expect(file.bounds('wide')).toEqual(written.length === 0 ? null : ends);
      // Bounds in the footer must not hide rows.
      const found = await connection.runAndReadAll(
        `SELECT count(*) FROM read_parquet('${path}') WHERE word = 'GET' AND narrow = 200`,
      );
      expect(found.getRows()[0]![0]).toBe(BigInt(written.filter((r) => r.word === 1 && r.narrow === 200).length));
      rmSync(path);
    }),
    { numRuns: 60 },
  );
});

test('a file that is cut, or has any byte changed, is read without a fault, and never as other values', () => {
  using folder = new Folder();
  const path = folder.file('b.parquet');
  const number = new NumberColumn('number', INT64);
  const word = new WordColumn('word', (id) => WORDS[id]!);
  const text = new TextColumn('text');
  for (let i = 0; i < 300; i++) {
    number.push(i * i);
    word.push(i % 3);
    const bytes = Buffer.from(`text ${i}`);
    text.push(bytes, 0, bytes.length);
  }
  const whole = Buffer.concat([...parquetFile([number, word, text], {})]);
  const read = (): unknown[] =>
    [ParquetFile.open(path), ParquetFile.read(path)].flatMap((file) => {
      const words = file?.words('word') ?? null;
      const names = words === null ? null : Array.from(words.of, (place) => words.texts[place]);
      return [file?.numbers('number') ?? null, file?.bytes('text')?.map(String) ?? null, names];
    });
  writeFileSync(path, whole);
  const values = read();
  expect(values[0]).toHaveLength(300);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.nat(255), fc.boolean(), (at, byte, cut) => {
      const bytes = Buffer.from(cut ? whole.subarray(0, at) : whole);
      if (!cut) bytes[at] = byte;
      writeFileSync(path, bytes);
      for (const [i, got] of read().entries()) {
        // Where a footer points at another column, the values are that one's: only then are they others.
        if (got !== null && at < whole.length - 400) expect(got).toEqual(values[i]);
      }
      ParquetFile.open(path)?.bytes('word');
      ParquetFile.open(path)?.optionalNumbers('number', 0n);
      ParquetFile.open(path)?.bounds('number');
    }),
    // The footer's count of rows, made a negative one.
    { numRuns: 2_000, examples: [[692, 189, false]] },
  );
});
