/** Header blocks of more lines than a usual one has: an HPACK block names one line ten thousand times, a byte each. */
import { expect, test } from 'vitest';
import { FieldLine, HeaderName } from '../../src/model/fields.ts';
import type { ExchangeRecord } from '../../src/model/record.ts';
import { queryCalls } from '../../src/query/calls.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { Shapes } from '../../src/store/shapes.ts';
import { Words } from '../../src/store/words.ts';
import { Folder } from '../rig/folder.ts';
import { exchangeOf, ndjson, policy } from './log-rig.ts';
import { StoreRig } from './store-rig.ts';

const redact = redactor(policy());
const lineOf = (name: string, value: string): FieldLine =>
  new FieldLine(new HeaderName(0, name.toLowerCase()), name, value);

/** A call with these lines, as they are known to all calls of a connection. */
function callOf(ordinal: number, lines: readonly FieldLine[]): ReturnType<typeof redact> {
  const x = exchangeOf({ ordinal, request: { target: `/${ordinal}` } });
  for (const line of lines) x.request!.fields.push(line, 0, 0);
  return redact(x);
}

const long = Array.from({ length: 500 }, (_, i) => lineOf(`X-${i % 3}`, 'z'.repeat(100)));
const other = Array.from({ length: 400 }, (_, i) => lineOf(`Y-${i % 5}`, 'y'.repeat(50)));

test('the second time, all lines of a long block are in one word, in every segment', () => {
  const shapes = new Shapes(new Words());
  const own = (lines: readonly FieldLine[]): number => shapes.of(callOf(1, lines).request!.fields).varying.length;
  expect([own(long), own(long), own(long)]).toEqual([500, 0, 0]);
  shapes.reset();
  expect(own(long)).toBe(0);
  expect([own(other), own(long), own(long)]).toEqual([400, 500, 0]);
});

test('a block whose text would be too large for a batch stays the own of each call', () => {
  const lines = Array.from({ length: 100 }, () => lineOf('X-Control', '\u0001'.repeat(1_000)));
  const shapes = new Shapes(new Words());
  for (let i = 0; i < 4; i++) expect(shapes.of(callOf(1, lines).request!.fields).varying.length).toBe(100);
});

test('calls with long blocks come back from the store as the log has them', async () => {
  using folder = new Folder();
  const rig = await new StoreRig(folder.file('data')).open();
  const format = ndjson();
  const expected: ExchangeRecord[] = [];
  for (let n = 0; n < 30; n++) {
    const call = callOf(n + 1, n % 10 < 7 ? long : other);
    expected.push(JSON.parse(format.exchange(call)) as ExchangeRecord);
    rig.store.writer.call(call);
  }
  await rig.close();
  expect(rig.store.writer.lost).toBe(0);
  const reader = await rig.read();
  const answer = await queryCalls(reader, { limit: 100 });
  expect(answer.ok && answer.value.calls.map((call) => JSON.stringify(call)).reverse()).toEqual(
    expected.map((line) => JSON.stringify(line)),
  );
  reader.close();
});
