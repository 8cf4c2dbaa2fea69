/** Reports of real statistics over a range are the same to the last byte before and after its minutes are merged. */
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { Statistics } from '../../src/agent/statistics.ts';
import { StoreFeed } from '../../src/agent/store-feed.ts';
import type { Report } from '../../src/query/report.ts';
import { storedReport } from '../../src/query/states.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { RollUp } from '../../src/store/rollup.ts';
import { mergerOf } from '../../src/store/state-merge.ts';
import { Folder } from '../rig/folder.ts';
import { policy } from './log-rig.ts';
import { ANCHOR, exchangeOf, NOW_MS, StoreRig } from './store-rig.ts';

const MINUTE_MS = 60_000;
const MINUTE_NS = 60e9;
const MINUTES = 200;
const CALLS_A_MINUTE = 6;

async function written(data: string): Promise<Statistics> {
  const rig = await new StoreRig(data).open();
  const redact = redactor(policy());
  const statistics = new Statistics({
    anchor: ANCHOR,
    id: (connection, ordinal) => `r-${connection.id}-${ordinal}`,
    key: Buffer.alloc(32, 7),
    windowNs: MINUTE_NS,
  });
  const feed = new StoreFeed(rig.store, statistics);
  for (let n = 0; n < MINUTES * CALLS_A_MINUTE; n++) {
    const at = Math.floor((n * MINUTE_NS) / CALLS_A_MINUTE);
    const x = redact(
      exchangeOf({
        ordinal: n + 1,
        route: `/v1/${n % 3}`,
        inFlight: 1 + (n % 5),
        request: {
          target: `/v1/${n % 3}?n=${n}`,
          headers: [
            ['Host', 'a.example'],
            ['X-Request-Id', `id-${n}`],
            ['X-Version', `2026-${n % 11}`],
          ],
          first: at,
          last: at + 1_000,
        },
        response: {
          status: n % 13 === 0 ? 503 : 200,
          headers: [['Content-Type', n % 2 === 0 ? 'text/html' : 'application/json']],
          first: at + 1e6 * (1 + (n % 17)),
          last: at + 2e6 * (1 + (n % 17)),
        },
      }),
    );
    statistics.observe(x);
    rig.store.writer.call(x);
    if (n % CALLS_A_MINUTE !== 0) continue;
    statistics.tick(at);
    feed.tick(NOW_MS + at / 1e6, n + 1, rig.losses.totals());
    while (rig.store.writer.waiting > 0) await setImmediate();
  }
  statistics.finish();
  expect(await feed.close(NOW_MS + MINUTES * MINUTE_MS, MINUTES * CALLS_A_MINUTE, rig.losses.totals())).toBe(0);
  return statistics;
}

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
  const statistics = await written(data);
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
