/** Stored calls in every format, read back by somebody else's reader where there is one. */
import { readFileSync, writeFileSync } from 'node:fs';
import { DuckDBInstance } from '@duckdb/node-api';
import { describe, expect, test } from 'vitest';
import { Folder } from '../../../test/rig/folder.ts';
import { ANCHOR, type ExchangeSpec, NOW_MS, StoreRig } from '../../../test/unit/store-rig.ts';
import { harEntry } from '../../export/log/har-entry.ts';
import type { ExchangeRecord } from '../../model/record.ts';
import type { StoredRecord } from '../../store/call-record.ts';
import type { StoreReader } from '../../store/reader.ts';
import type { TimeRange } from '../calls-range.ts';
import { wantedCalls } from '../wanted-calls.ts';
import { storedCalls } from './calls.ts';
import { FIELDS } from './columns.ts';
import { CsvCalls } from './csv.ts';
import type { CallsFormat } from './format.ts';
import { HarCalls } from './har.ts';
import { NdjsonCalls } from './ndjson.ts';
import { ParquetCalls } from './parquet.ts';

const HOUR = 3_600_000;
const EVER: TimeRange = { since: null, until: null };
const EVIL = '=cmd|"/c calc"!A1,\r\n\u00e9';

/** What a file of the calls would hold. */
async function fileOf(format: CallsFormat, reader: StoreReader, filter?: string, range = EVER): Promise<Buffer> {
  const wanted = wantedCalls(filter, range);
  if (!wanted.ok) throw new Error(wanted.error.message);
  const pieces = [Buffer.from(format.begin())];
  for await (const batch of storedCalls(reader, wanted.value)) {
    if (!batch.ok) throw new Error(batch.error.message);
    pieces.push(Buffer.from(format.calls(batch.value)));
  }
  pieces.push(Buffer.from(format.end()));
  return Buffer.concat(pieces);
}

const linesOf = (file: Buffer): ExchangeRecord[] =>
  file
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as ExchangeRecord);

/** RFC 4180, strictly. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  const cell = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/y;
  let row: string[] = [];
  while (cell.lastIndex < text.length) {
    const match = cell.exec(text);
    if (match === null) throw new Error('no CSV');
    row.push(match[1]?.replaceAll('""', '"') ?? match[2]!);
    if (match[3] === ',') continue;
    rows.push(row);
    row = [];
  }
  return rows;
}

async function parquetRows(folder: Folder, file: Buffer): Promise<Record<string, unknown>[]> {
  writeFileSync(folder.file('out.parquet'), file);
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const reader = await connection.runAndReadAll(
    `SELECT * REPLACE (epoch_ns(ts) AS ts) FROM '${folder.file('out.parquet')}'`,
  );
  connection.disconnectSync();
  instance.closeSync();
  return reader.getRowObjects();
}

const SPECS: readonly ExchangeSpec[] = [
  {
    request: {
      method: 'POST',
      target: '/a?x=1',
      headers: [
        ['Host', 'api.example'],
        ['X-Evil', EVIL],
      ],
    },
  },
  { request: { method: '=1+1', target: '*' }, response: null, outcome: 'timeout' },
  { request: null, response: { status: 503, headers: [['Retry-After', '1']] }, losses: [{ reason: 'gap', bytes: 3 }] },
  { request: { first: -1, last: -1 }, response: { first: -1, last: -1 } },
  { response: { trailers: [['X-Sum', 'a"b']] }, anomalies: 1 },
];

/** Two sealed segments and what is still live. */
async function rigIn(folder: Folder): Promise<StoreRig> {
  const rig = await new StoreRig(folder.file('data')).open();
  let ordinal = 0;
  for (const hour of [0, 1, 2]) {
    for (const spec of SPECS) rig.call({ ...spec, ordinal: ++ordinal });
    await rig.tick(NOW_MS + hour * HOUR);
  }
  return rig;
}

describe('export of stored calls', () => {
  test('NDJSON: the lines of the log, oldest first, sealed and live', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const reader = await rig.read();
    expect(linesOf(await fileOf(new NdjsonCalls(), reader))).toEqual(rig.lines);
    const some = await fileOf(new NdjsonCalls(), reader, 'response.code == 503');
    expect(linesOf(some)).toEqual(rig.lines.filter(({ response }) => response?.status === 503));
    const none = { since: ANCHOR.wallNs + 10n ** 15n, until: null };
    expect((await fileOf(new NdjsonCalls(), reader, undefined, none)).length).toBe(0);
    reader.close();
    await rig.close();
  });

  test('CSV: every row has every column, and nothing is a formula', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const reader = await rig.read();
    const [names, ...rows] = parseCsv((await fileOf(new CsvCalls(), reader)).toString());
    expect(names).toEqual(['ts', ...FIELDS.map(({ name }) => name)]);
    expect(rows).toHaveLength(rig.lines.length);
    for (const [i, row] of rows.entries()) {
      const cell = (name: string): string => row[names!.indexOf(name)]!;
      const line = rig.lines[i] as StoredRecord;
      expect(row).toHaveLength(names!.length);
      for (const text of row) expect(text).not.toMatch(/^[=+@\t\r-]/);
      expect([cell('ts'), cell('id'), cell('target')]).toEqual([line.ts ?? '', line.id, line.request?.target ?? '']);
      expect(cell('status')).toBe(String(line.response?.status ?? ''));
      expect(cell('request_headers')).toBe(line.request === null ? '' : JSON.stringify(line.request.headers));
    }
    expect(rows[1]![names!.indexOf('method')]).toBe("'=1+1");
    reader.close();
    await rig.close();
  });

  test('Parquet: DuckDB reads the same calls, nulls and nanoseconds included', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const reader = await rig.read();
    const rows = await parquetRows(folder, await fileOf(new ParquetCalls(), reader));
    expect(rows).toHaveLength(rig.lines.length);
    for (const [i, row] of rows.entries()) {
      const line = rig.lines[i] as StoredRecord;
      const ns =
        line.ts === null
          ? null
          : BigInt(Date.parse(`${line.ts.slice(0, 19)}Z`)) * 1_000_000n + BigInt(line.ts.slice(20, 29));
      expect(row['ts']).toEqual(ns);
      for (const field of FIELDS) {
        const value = field.kind === 'text' ? field.of(line, undefined) : field.of(line);
        expect(row[field.name], field.name).toEqual(typeof value === 'number' ? BigInt(value) : value);
      }
    }
    reader.close();
    await rig.close();
  });

  test('Parquet: many groups, a group for times far apart, and no call at all', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const [line] = rig.lines as [StoredRecord];
    const years = ['1999-01-01T00:00:00.000000001Z', '2026-11-22T16:04:05.123456789Z'];
    const format = new ParquetCalls();
    const pieces = [format.begin()];
    for (let n = 0; n < 9; n++)
      pieces.push(
        format.calls({
          calls: Array.from({ length: 6_000 }, (_, i) => ({
            ...line,
            ts: years[Math.floor(n / 6)]!,
            in_flight: n * 6_000 + i,
          })),
          websockets: new Map(),
        }),
      );
    pieces.push(format.end());
    const rows = await parquetRows(folder, Buffer.concat(pieces));
    expect(rows).toHaveLength(54_000);
    expect(rows.every(({ in_flight }, i) => in_flight === BigInt(i))).toBe(true);
    expect(rows.slice(-1)[0]!['ts']).toBe(BigInt(Date.parse('2026-11-22T16:04:05Z')) * 1_000_000n + 123_456_789n);
    const empty = new ParquetCalls();
    expect(await parquetRows(folder, Buffer.concat([empty.begin(), empty.end()]))).toEqual([]);
    await rig.close();
  });

  test('HAR: an entry for each call, and one JSON document also without any', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const reader = await rig.read();
    const { log } = JSON.parse((await fileOf(new HarCalls(), reader)).toString());
    expect(log.version).toBe('1.2');
    expect(log.entries).toEqual(rig.lines.map((line) => JSON.parse(JSON.stringify(harEntry(line as StoredRecord)))));
    const none = JSON.parse((await fileOf(new HarCalls(), reader, 'request.method == "BREW"')).toString());
    expect(none.log.entries).toEqual([]);
    reader.close();
    await rig.close();
  });

  test('a damaged file is left out and named', async () => {
    using folder = new Folder();
    const rig = await rigIn(folder);
    const reader = await rig.read();
    const [first] = reader.segments;
    const bytes = readFileSync(first!.calls);
    bytes.fill(0xff, 20, bytes.length - 1_000);
    writeFileSync(first!.calls, bytes);
    const left = linesOf(await fileOf(new NdjsonCalls(), reader));
    expect([left.length > 0, left.length < rig.lines.length]).toEqual([true, true]);
    expect(left).toEqual(rig.lines.slice(-left.length));
    expect([...reader.damaged]).toEqual([first!.calls]);
    reader.close();
    await rig.close();
  });
});
