/** Feeds the store with what is not a call: states of the statistics, changes, and the ledger. */
import { adviseZero } from '../kernel/posix.ts';
import type { LossTotal } from '../model/loss.ts';
import { STATE_KIND } from '../query/states.ts';
import { decodeHeaders, encodeHeaders } from '../stats/headers/codec.ts';
import { HeaderState } from '../stats/headers/state.ts';
import type { Store } from '../store/store.ts';
import type { StateKey } from '../store/writer.ts';
import type { Statistics } from './statistics.ts';

interface Waiting {
  readonly key: StateKey;
  readonly state: Uint8Array;
}

/** States that wait for room in a batch, and their bytes; older ones go first, and are counted. */
const WAITING_MAX = 16_384;
const WAITING_BYTES_MAX = 24 << 20;
/** A larger state would never fit into a batch (2 MiB): header statistics are split by group, anything else is counted as lost. */
const STATE_BYTES_MAX = 1 << 20;
const MINUTE_MS = 60_000;

export class StoreFeed {
  /** States that found no room in time. */
  lost = 0;
  readonly #store: Store;
  readonly #statistics: Statistics;
  readonly #waiting: Waiting[] = [];

  constructor(store: Store, statistics: Statistics) {
    this.#store = store;
    this.#statistics = statistics;
  }

  /** Several times a second. `exchanges` and `losses` are the run's totals. */
  tick(nowMs: number, exchanges: number, losses: readonly LossTotal[]): void {
    this.#take();
    this.#put();
    this.#store.writer.tick(nowMs, exchanges, losses);
  }

  /** Once a second: batches that a burst filled give their memory back. */
  giveBack(): void {
    for (const bytes of this.#store.writer.idle()) adviseZero(bytes);
  }

  /** The last states, counts and calls; returns the calls that the disk did not take. */
  async close(nowMs: number, exchanges: number, losses: readonly LossTotal[]): Promise<number> {
    this.#take();
    this.#put();
    return await this.#store.close(nowMs, exchanges, losses);
  }

  #take(): void {
    const { minutes, windows, tls, tlsLost } = this.#statistics.ended();
    for (const { minute, rows } of minutes) {
      for (const { key, state } of rows) {
        this.#waiting.push({
          key: { level: 'minute', startMs: minute * MINUTE_MS, ...key, kind: STATE_KIND.calls },
          state,
        });
      }
    }
    for (const { from, state, changes } of windows) {
      const key = { level: 'minute', startMs: from, service: '', side: '', method: '', route: '' } as const;
      const headers = split(state);
      if (headers === null) this.lost++;
      for (const part of headers ?? []) this.#waiting.push({ key: { ...key, kind: STATE_KIND.headers }, state: part });
      if (changes.length === 0) continue;
      const text = Buffer.from(JSON.stringify(changes));
      if (text.length > STATE_BYTES_MAX) this.lost++;
      else this.#waiting.push({ key: { ...key, kind: STATE_KIND.changes }, state: text });
    }
    for (const { minute, service, side, state } of tls) {
      const key = { service, side, method: '', route: '', kind: STATE_KIND.tls };
      this.#waiting.push({ key: { level: 'minute', startMs: minute * MINUTE_MS, ...key }, state });
    }
    this.lost += tlsLost;
    let over = Math.max(0, this.#waiting.length - WAITING_MAX);
    let bytes = 0;
    for (let i = this.#waiting.length - 1; i >= over; i--) {
      bytes += this.#waiting[i]!.state.length;
      if (bytes > WAITING_BYTES_MAX) over = i + 1;
    }
    if (over > 0) {
      this.#waiting.splice(0, over);
      this.lost += over;
    }
  }

  #put(): void {
    let done = 0;
    for (const { key, state } of this.#waiting) {
      if (!this.#store.writer.state(key, state)) break;
      done++;
    }
    this.#waiting.splice(0, done);
  }
}

/** Encoded header statistics in parts that fit: whoever reads them merges all. null: a single group is too large. */
function split(state: Uint8Array): Uint8Array[] | null {
  if (state.length <= STATE_BYTES_MAX) return [state];
  const decoded = decodeHeaders(state);
  if (!decoded.ok || decoded.state.groups.size < 2) return null;
  const { from, to, groups } = decoded.state;
  const halves = [new HeaderState(), new HeaderState()];
  for (const half of halves) Object.assign(half, { from, to });
  let i = 0;
  for (const group of groups.values()) halves[i++ & 1]!.group(group.key, group.direction).merge(group);
  const parts = halves.map((half) => split(encodeHeaders(half)));
  return parts.includes(null) ? null : (parts as Uint8Array[][]).flat();
}
