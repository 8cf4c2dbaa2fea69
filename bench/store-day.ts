/** A day of calls with its statistics, written in a few minutes: what questions over long ranges are asked of. */
import { Statistics } from '../src/agent/statistics.ts';
import { StoreFeed } from '../src/agent/store-feed.ts';
import { LossLedger } from '../src/model/loss.ts';
import { RollUp } from '../src/store/rollup.ts';
import { mergerOf } from '../src/store/state-merge.ts';
import { Store } from '../src/store/store.ts';
import { StoredCalls } from './store-calls.ts';

export const DAY_MS = 86_400_000;
/** Midnight UTC. */
export const DAY_START_MS = Date.parse('2026-11-20T00:00:00Z');
const ROUTES = 40;
const SERVICES = 3;
const MINUTE_NS = 60e9;

/** Fills `data`; returns how long merging the states of the day took, ms. */
export async function writeDay(data: string, calls: number): Promise<number> {
  const losses = new LossLedger();
  const perS = calls / (DAY_MS / 1_000);
  const made = new StoredCalls(perS, { routes: ROUTES, services: SERVICES, startMs: DAY_START_MS });
  const anchor = { wallNs: BigInt(DAY_START_MS) * 1_000_000n };
  const opened = await Store.open(
    data,
    { anchor, run: 'day', losses, retention: { ageMs: null, bytes: null }, report: () => {} },
    DAY_START_MS,
  );
  if (!opened.ok) throw new Error(opened.message);
  const { store } = opened;
  const statistics = new Statistics({
    anchor,
    id: (connection, ordinal) => `day-${connection.id}-${ordinal}`,
    key: Buffer.alloc(32, 7),
    windowNs: MINUTE_NS,
  });
  const feed = new StoreFeed(store, statistics);
  const step = 500;
  const nowMs = (done: number): number => DAY_START_MS + (done / perS) * 1_000;
  for (let done = 0; done < calls; ) {
    for (const end = Math.min(calls, done + step); done < end; done++) {
      const x = made.next();
      statistics.observe(x);
      store.writer.call(x);
    }
    statistics.tick((done / perS) * 1e9);
    feed.tick(nowMs(done), done, losses.totals());
    // As fast as the store takes them, without a loss.
    do await new Promise(setImmediate);
    while (store.writer.waiting > 4);
  }
  statistics.finish();
  await feed.close(nowMs(calls), calls, losses.totals());
  if (store.writer.lost + feed.lost > 0) throw new Error('the day is not whole');
  const begun = performance.now();
  const steps = new RollUp(data, mergerOf).run(DAY_START_MS + 2 * DAY_MS, Number.POSITIVE_INFINITY);
  while (steps.next().done !== true);
  return performance.now() - begun;
}
