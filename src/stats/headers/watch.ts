/**
 * Header variability behind the engine's seam: an observer for each series, a window for each sealed minute. Reports are made of what it hands
 * out: merge the states of a range, then `headerRows(state, key, reference)`; encodeHeaders(state) is for the store.
 */
import type { Connection } from '../../model/connection.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { Redacted } from '../../redact/redacted.ts';
import type { HeaderObserver, HeaderStatistics } from '../header-seam.ts';
import type { SeriesKey } from '../series.ts';
import type { Change } from './changes.ts';
import { HeaderGroup, type HeaderOverflow, HeaderStats } from './header-stats.ts';
import type { HeaderState } from './state.ts';

export interface HeaderWatchOptions {
  /** Keys the hashes of values: at least 8 bytes, secret, the same in all runs of an installation. */
  readonly key: Uint8Array;
  readonly id: (connection: Connection, ordinal: number) => string;
  /** Takes each window that ended; the state belongs to the caller, who does not change it. */
  readonly window: (state: HeaderState, changes: readonly Change[]) => void;
  readonly bytesMax?: number;
}

const NS_PER_MS = 1e6;

export class HeaderWatch implements HeaderStatistics {
  readonly #stats: HeaderStats;
  readonly #options: HeaderWatchOptions;
  #exchange!: Redacted<Exchange>;
  /** Unix ms of the newest call. */
  #at = 0;
  #calls = 0;
  readonly #exampleId = (): string => this.#options.id(this.#exchange.connection, this.#exchange.ordinal);

  constructor(options: HeaderWatchOptions) {
    this.#options = options;
    const { key, bytesMax } = options;
    this.#stats = new HeaderStats({ key, anchor: { wallNs: 0n }, ...(bytesMax === undefined ? {} : { bytesMax }) });
  }

  get overflow(): Readonly<HeaderOverflow> {
    return this.#stats.overflow;
  }

  /** Bytes that the running window has taken, about. */
  get bytes(): number {
    return this.#stats.bytes;
  }

  series({ service, side, method, route }: SeriesKey): HeaderObserver {
    const group = new HeaderGroup({ service, side, method, route });
    return { observe: (exchange, at) => this.#observe(group, exchange, at) };
  }

  sealed(): void {
    this.flush();
  }

  /** Ends the running window, if there was anything in it: also at the end of a run. */
  flush(): void {
    if (this.#calls === 0) return;
    this.#calls = 0;
    const { state, changes } = this.#stats.rotate(this.#at * NS_PER_MS);
    this.#options.window(state, changes);
  }

  /** What the running window has so far, for a report that includes it. */
  running(): HeaderState {
    return this.#stats.state(this.#at * NS_PER_MS);
  }

  #observe(group: HeaderGroup, exchange: Redacted<Exchange>, at: number): void {
    this.#exchange = exchange;
    this.#calls++;
    if (at > this.#at) this.#at = at;
    const now = at * NS_PER_MS;
    const { request, response } = exchange;
    if (request !== null) this.#stats.observe(group, 'request', request.fields, this.#exampleId, now);
    if (response !== null) this.#stats.observe(group, 'response', response.fields, this.#exampleId, now);
  }
}
