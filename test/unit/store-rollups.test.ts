/** Reports of real statistics over a range are the same to the last byte before and after its minutes are merged. */
import { expect, test } from 'vitest';
import type { Report } from '../../src/query/report.ts';
import { storedReport } from '../../src/query/states.ts';
import { RollUp } from '../../src/store/rollup.ts';
import { mergerOf } from '../../src/store/state-merge.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from './store-rig.ts';
import { MINUTE_MS, storedStatistics } from './stored-statistics.ts';

const MINUTES = 200;
const CALLS_A_MINUTE = 6;

async function reports(data: string): Promise<string[]> {
  const reader = await new StoreRig(data).read();
  const found: string[] = [];
  for (const [from, to] of [
    [0, MINUTES],
    [3, 141],
    [57, 61],
    [95, 96],
    [100, MINUTES + 60],
  ] as const) {
    const report = await storedReport(
      reader,
      NOW_MS + from * MINUTE_MS,
      NOW_MS + to * MINUTE_MS,
      NOW_MS + 2 * MINUTES * MINUTE_MS,
    );
    if (!report.ok) throw new Error(report.error.message);
    expect(report.value.routes.length).toBeGreaterThan(2);
    found.push(JSON.stringify(report.value));
  }
  reader.close();
  return found;
}

test('ten minutes, hours and days of real statistics', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const statistics = await storedStatistics(data, { minutes: MINUTES, callsAMinute: CALLS_A_MINUTE });
  const before = await reports(data);
  for (const { range, services } of before.map((text) => JSON.parse(text) as Report)) {
    const last = Math.ceil(Date.parse(range.until) / MINUTE_MS) - 1;
    const [inMemory] = [...statistics.engine.burn(last)];
    for (const [window, { calls, errors }] of Object.entries(inMemory!.burn)) {
      const rate = calls === 0 ? null : errors / calls / (1 - 0.999);
      expect(services[0]!.burn[window as '5m']).toEqual({ count: calls, errors, rate });
    }
    expect(inMemory!.burn['6h'].errors).toBeGreaterThan(0);
  }
  const steps = new RollUp(data, mergerOf).run(NOW_MS + 86_400_000 * 3, Number.POSITIVE_INFINITY);
  let step = steps.next();
  while (step.done !== true) step = steps.next();
  expect(step.value).toBeGreaterThan(20);
  expect(await reports(data)).toEqual(before);
});
