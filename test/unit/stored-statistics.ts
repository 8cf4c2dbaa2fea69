/** A data folder with calls and with the statistics of them, as a run leaves it: some minutes of calls, each minute on the disk before the next. */
import { setImmediate } from 'node:timers/promises';
import { Statistics } from '../../src/agent/statistics.ts';
import { StoreFeed } from '../../src/agent/store-feed.ts';
import type { ClockAnchor } from '../../src/base/clock.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { policy } from './log-rig.ts';
import { ANCHOR, exchangeOf, StoreRig } from './store-rig.ts';

export const MINUTE_MS = 60_000;
const MINUTE_NS = 60e9;

export interface StoredRun {
  readonly minutes: number;
  readonly callsAMinute: number;
  readonly anchor?: ClockAnchor;
  /** What the wall clock says at the beginning of a minute, Unix ms; without it the time that has passed since the anchor. */
  readonly clockMs?: (minute: number) => number;
}

/** The statistics as they are in memory at the end. Calls are numbered: `/v1/K?n=N`. */
export async function storedStatistics(data: string, run: StoredRun): Promise<Statistics> {
  const { minutes, callsAMinute, anchor = ANCHOR } = run;
  const anchorMs = Number(anchor.wallNs / 1_000_000n);
  const clockMs = run.clockMs ?? ((minute: number): number => anchorMs + minute * MINUTE_MS);
  const rig = await new StoreRig(data).open({ anchor }, clockMs(0));
  const redact = redactor(policy());
  const statistics = new Statistics({
    anchor,
    id: (connection, ordinal) => `r-${connection.id}-${ordinal}`,
    key: Buffer.alloc(32, 7),
    windowNs: MINUTE_NS,
  });
  const feed = new StoreFeed(rig.store, statistics);
  const calls = minutes * callsAMinute;
  for (let n = 0; n < calls; n++) {
    const at = Math.floor((n * MINUTE_NS) / callsAMinute);
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
    if (n % callsAMinute !== 0) continue;
    statistics.tick(at);
    feed.tick(clockMs(n / callsAMinute), n + 1, rig.losses.totals());
    while (rig.store.writer.waiting > 0) await setImmediate();
  }
  statistics.finish();
  const unwritten = await feed.close(clockMs(minutes), calls, rig.losses.totals());
  if (unwritten + rig.store.writer.lost + feed.lost > 0) throw new Error('the run is not whole');
  return statistics;
}
