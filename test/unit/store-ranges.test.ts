/** Ranges of a report that reach beyond what there is. */
import { expect, test } from 'vitest';
import { storedReport } from '../../src/query/states.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, StoreRig } from './store-rig.ts';
import { MINUTE_MS, storedStatistics } from './stored-statistics.ts';

test('a range that ends in the future ends now: its rates are over what was observed', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const calls = 20;
  await storedStatistics(data, { minutes: 10, callsAMinute: 2 });
  const reader = await new StoreRig(data).read();
  const nowMs = NOW_MS + 30 * MINUTE_MS;
  const upTo = async (untilMs: number): Promise<[until: string, rate: number]> => {
    const report = await storedReport(reader, null, untilMs, nowMs);
    if (!report.ok) throw new Error(report.error.message);
    expect(report.value.ledger.exchanges).toBe(calls);
    const { range, services } = report.value;
    return [range.until, services[0]!.rate_per_s];
  };
  const now = new Date(nowMs).toISOString();
  const rate = calls / ((nowMs - NOW_MS) / 1_000);
  for (const untilMs of [nowMs, nowMs + HOUR, Date.UTC(2261, 0)])
    expect(await upTo(untilMs)).toEqual([now, expect.closeTo(rate, 9)]);
  const earlier = nowMs - 10 * MINUTE_MS;
  expect((await upTo(earlier))[0]).toBe(new Date(earlier).toISOString());
  reader.close();
});
