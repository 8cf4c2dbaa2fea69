/** A clock that is set while an hour is sealed: nothing is lost, and nothing is there twice. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DuckDBListValue } from '@duckdb/node-api';
import { describe, expect, test } from 'vitest';
import { storedReport } from '../../src/query/states.ts';
import { RollUp } from '../../src/store/rollup.ts';
import { mergerOf } from '../../src/store/state-merge.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, StoreRig } from './store-rig.ts';
import { MINUTE_MS, storedStatistics } from './stored-statistics.ts';

const CALLS_A_MINUTE = 2;
const ASK_MS = 60_000;

/** What the folder has: each call's number, what the ledger counts, and what the statistics count, by route. */
async function held(data: string) {
  const reader = await new StoreRig(data).read();
  const report = await storedReport(reader, null, null, NOW_MS + 1_000 * HOUR);
  if (!report.ok) throw new Error(report.error.message);
  // Without the process that a user's SQL gets.
  await reader.views();
  const answer = await reader.database.select(
    `SELECT (SELECT list(CAST(split_part(target, '=', 2) AS INTEGER) ORDER BY ts) FROM calls), (SELECT count(DISTINCT sequence)::INTEGER FROM calls),
      (SELECT sum(captured)::INTEGER FROM ledger), (SELECT sum(lost)::INTEGER FROM ledger)`,
    ASK_MS,
  );
  if (!answer.ok) throw new Error(answer.error.message);
  const [calls, sequences, captured, lost] = answer.value.rows[0]!;
  const found = {
    calls: [...(calls as DuckDBListValue).items] as number[],
    sequences,
    captured,
    lost,
    report: report.value,
  };
  reader.close();
  return found;
}

function rolledUp(data: string, nowMs: number): number {
  const steps = new RollUp(data, mergerOf).run(nowMs, Number.POSITIVE_INFINITY);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

describe('a clock that is set around the hour', () => {
  const MINUTES = 64;
  const CALLS = MINUTES * CALLS_A_MINUTE;
  // 16:04:05 is the beginning: the hour ends after 55 minutes.
  test.each<[string, (minute: number) => number]>([
    ['back over the seal and forward again', (minute) => (minute >= 57 && minute < 70 ? -2 * HOUR : 0)],
    ['back and forth over the same boundary, again and again', (minute) => (Math.floor(minute / 8) % 2) * -HOUR],
    ['two hours forward, for good', (minute) => (minute >= 50 ? 2 * HOUR : 0)],
    ['years forward and back within the hour', (minute) => (minute === 30 ? 20 * 365 * 24 * HOUR : 0)],
    ['to 1970, for good', (minute) => (minute >= 58 ? -NOW_MS : 0)],
  ])('%s: every call once, in the statistics and the ledger too', async (_, step) => {
    using folder = new Folder();
    const data = folder.file('data');
    const clockMs = (minute: number): number => NOW_MS + minute * MINUTE_MS + step(minute);
    await storedStatistics(data, { minutes: MINUTES, callsAMinute: CALLS_A_MINUTE, clockMs });
    expect(readdirSync(join(data, 'sealed')).length).toBeGreaterThan(1);
    const before = await held(data);
    expect(before.calls).toEqual(Array.from({ length: CALLS }, (__, n) => n));
    expect([before.sequences, before.captured, before.lost]).toEqual([CALLS, CALLS, 0]);
    expect(before.report.routes.reduce((sum, { count }) => sum + count, 0)).toBe(CALLS);
    // Times of calls come from a clock that is not set: the range is that of the calls.
    expect(before.report.range.since).toBe(new Date(NOW_MS).toISOString());
    // What is merged ahead of the time, or long after it, changes nothing.
    rolledUp(data, NOW_MS + 20 * MINUTE_MS);
    expect(JSON.stringify((await held(data)).report)).toBe(JSON.stringify(before.report));
    expect(rolledUp(data, NOW_MS + 30 * 24 * HOUR)).toBeGreaterThan(0);
    expect(JSON.stringify((await held(data)).report)).toBe(JSON.stringify(before.report));
  });

  test('a run that begins with a clock behind the last one adds to what is there', async () => {
    using folder = new Folder();
    const data = folder.file('data');
    const minutes = 5;
    await storedStatistics(data, { minutes, callsAMinute: CALLS_A_MINUTE });
    rolledUp(data, NOW_MS + 30 * 24 * HOUR);
    const anchor = { wallNs: BigInt(NOW_MS - 3 * MINUTE_MS) * 1_000_000n };
    await storedStatistics(data, { minutes, callsAMinute: CALLS_A_MINUTE, anchor });
    const { calls, captured, report } = await held(data);
    const each = Array.from({ length: minutes * CALLS_A_MINUTE }, (_, n) => n);
    expect(calls.toSorted((a, b) => a - b)).toEqual(each.flatMap((n) => [n, n]));
    expect(captured).toBe(2 * each.length);
    expect(report.routes.reduce((sum, { count }) => sum + count, 0)).toBe(2 * each.length);
  });
});
