/** What a running agent answers of a range that began before it: the store's part and its own, each call once, at any moment. */
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { policy } from '../../test/unit/log-rig.ts';
import { exchangeOf, StoreRig } from '../../test/unit/store-rig.ts';
import { steadyMs } from '../base/clock.ts';
import { TlsFacts } from '../model/tls.ts';
import type { Report } from '../query/report.ts';
import { redactor } from '../redact/redacted.ts';
import { History } from './history.ts';
import { Statistics } from './statistics.ts';
import { StoreFeed } from './store-feed.ts';

const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const CALLS_A_SECOND = 3;
const FAILED_EACH = 5;

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
});
afterEach(() => folder[Symbol.dispose]());

/** An agent whose clock the test turns: each second some calls and a TLS connection. */
class Run {
  readonly rig: StoreRig;
  readonly statistics: Statistics;
  readonly feed: StoreFeed;
  readonly history: History;
  readonly #startMs: number;
  readonly #redact = redactor(policy());
  readonly #handshake = exchangeOf({ ordinal: 1 }).connection;
  #second = 0;
  calls = 0;

  private constructor(rig: StoreRig, startMs: number, recentBytes: number) {
    const anchor = { wallNs: BigInt(startMs) * 1_000_000n };
    this.rig = rig;
    this.#startMs = startMs;
    this.statistics = new Statistics({
      anchor,
      id: (connection, ordinal) => `r-${connection.id}-${ordinal}`,
      key: Buffer.alloc(32, 7),
      windowNs: 60e9,
      recentBytes,
    });
    this.feed = new StoreFeed(rig.store, this.statistics);
    this.history = new History(this.statistics, () => [], folder.file('data'), { callsKept: true });
    this.#handshake.tls = Object.assign(new TlsFacts(), { version: '1.3', cipher: 'TLS_AES_128_GCM_SHA256' });
  }

  static async start(run: string, startMs: number, recentBytes = 1 << 20): Promise<Run> {
    const anchor = { wallNs: BigInt(startMs) * 1_000_000n };
    const rig = await new StoreRig(folder.file('data')).open({ run, anchor }, startMs);
    return new Run(rig, startMs, recentBytes);
  }

  get nowMs(): number {
    return this.#startMs + this.#second * SECOND_MS;
  }

  async second(): Promise<void> {
    const at = this.#second * 1e9;
    this.statistics.tick(at);
    this.statistics.handshake(this.#handshake);
    for (let n = 0; n < CALLS_A_SECOND; n++) {
      const times = { first: at + n * 1e6, last: at + n * 1e6 };
      const x = this.#redact(
        exchangeOf({
          ordinal: ++this.calls,
          request: { target: '/v1/things', headers: [['Host', 'a.example']], ...times },
          response: { status: this.calls % FAILED_EACH === 0 ? 503 : 200, ...times },
        }),
      );
      this.statistics.observe(x);
      this.rig.store.writer.call(x);
    }
    this.#second++;
    this.feed.tick(this.nowMs, this.calls, []);
    while (this.rig.store.writer.waiting > 0) await setImmediate();
  }

  async stop(): Promise<void> {
    this.statistics.finish();
    await this.history.close();
    expect(await this.feed.close(this.nowMs, this.calls, [])).toBe(0);
  }
}

const sums = ({ ledger, routes, services, tls }: Report): object => ({
  calls: ledger.exchanges,
  failed: routes.reduce((sum, { errors }) => sum + errors.total, 0),
  burned: services.reduce((sum, { burn }) => sum + burn['6h'].count, 0),
  messages: routes.flatMap(({ headers }) => headers.filter(({ name }) => name === 'host').map(({ n }) => n)),
  handshakes: tls.reduce((sum, { connections }) => sum + connections, 0),
});

test.each([
  ['an hour', 1 << 20],
  ['no more than a report from the store needs', 1],
])(
  'a range that began before the agent, whose memory holds %s, has each call once, those of the minute that runs too, and ends now',
  async (_, recentBytes) => {
    // Some hours before the clock of this machine, which says when now is.
    const startMs = (Math.floor(steadyMs() / HOUR_MS) - 3) * HOUR_MS;
    const first = await Run.start('a', startMs);
    for (let s = 0; s < 90; s++) await first.second();
    await first.stop();
    // In the middle of the minute in which the first one ended.
    const second = await Run.start('b', first.nowMs + 5 * SECOND_MS, recentBytes);
    let handshakes = 90;
    const told = async (sinceMs: number, untilMs: number | null = null): Promise<Report> => {
      const answer = await second.history.report(sinceMs, untilMs);
      if (!answer.ok) throw new Error(answer.error.message);
      return answer.value;
    };
    for (let s = 0; s < 330; s++) {
      await second.second();
      handshakes++;
      if (s % 23 !== 0 && s !== 329) continue;
      const calls = first.calls + second.calls;
      const report = await told(startMs, startMs + 60 * MINUTE_MS);
      const failed = Math.floor(first.calls / FAILED_EACH) + Math.floor(second.calls / FAILED_EACH);
      expect(sums(report), `after ${s} s`).toEqual({ calls, failed, burned: calls, messages: [calls], handshakes });
    }
    expect(second.statistics.memorySinceMs > second.statistics.startedMs).toBe(recentBytes === 1);
    // Rates are over the time until now, whenever the last call was.
    const [asked, { range, services }, answered] = [steadyMs(), await told(startMs), steadyMs()];
    expect(Date.parse(range.until)).toBeGreaterThan(asked - 1);
    expect(Date.parse(range.until)).toBeLessThanOrEqual(answered);
    const seconds = (Date.parse(range.until) - Date.parse(range.since)) / SECOND_MS;
    expect((services[0]!.rate_per_s * seconds) / (first.calls + second.calls)).toBeCloseTo(1, 5);
    // What memory has of later is in no range that ended before.
    expect(sums(await told(startMs, startMs + MINUTE_MS))).toMatchObject({
      calls: 60 * CALLS_A_SECOND,
      handshakes: 60,
    });
    await second.stop();
  },
);
