/**
 * The statistics of a run: feeds the engine and the header statistics with each call, ends their windows, and answers for what
 * is in memory. What has ended is handed to the store, when there is one.
 */
import type { ClockAnchor } from '../base/clock.ts';
import type { Connection } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import type { LossTotal } from '../model/loss.ts';
import { composeReport, type RecentStates, type Report } from '../query/report.ts';
import type { Redacted } from '../redact/redacted.ts';
import { StatsEngine } from '../stats/engine.ts';
import type { HeaderObserver, HeaderStatistics } from '../stats/header-seam.ts';
import { CHANGE_KINDS, type Change } from '../stats/headers/changes.ts';
import { decodeHeaders, encodingOf } from '../stats/headers/codec.ts';
import { HeaderGroup, HeaderStats, type EndedWindow as HeaderWindow } from '../stats/headers/header-stats.ts';
import { HeaderState } from '../stats/headers/state.ts';
import { RECENT_MINUTES_MIN, type SealedMinute } from '../stats/minutes.ts';
import type { SeriesKey } from '../stats/series.ts';
import type { TlsStatistics } from '../stats/tls.ts';
import { type SealedTls, TlsMinutes } from '../stats/tls-minutes.ts';
import { ChangeCounts } from './change-counts.ts';
import type { HeaderGauges } from './header-gauges.ts';

/** Ended windows of header statistics kept one by one, to answer for the last hour. */
const WINDOWS_MAX = 60;
/**
 * Names, over all groups, of older windows merged into one: some kilobytes each. A window that would add more than there is room for is the
 * store's alone; the usual one adds none.
 */
const OLDER_NAMES_MAX = 8_192;
/** Changes kept for answers; the store has them all. */
const CHANGES_MAX = 1_000;
/** Services, each side by itself, whose changes are counted from 0 on: a counter that begins with its first change looks to Prometheus as if there was none. */
const COUNTED_SERVICES_MAX = 64;
/** Spent on a window that has ended in a tick, should nobody call `work`. */
const TICK_WORK_MS = 2;
const MINUTE_MS = 60_000;
/** Minutes before the running one that a report takes from memory although the store may have them: what ended a moment ago is on its way there. */
const HANDED_OVER_MINUTES = RECENT_MINUTES_MIN - 1;
/**
 * Bytes of the last hour's minutes, and as many of its windows. Where a store has them too, memory need not hold what hundreds of routes, or names that
 * never come back, make of an hour: a range beyond it is read from there.
 */
const RECENT_BYTES = 16 << 20;
export const RECENT_BYTES_STORED = 4 << 20;

export interface StatisticsOptions {
  readonly anchor: ClockAnchor;
  readonly id: (connection: Connection, ordinal: number) => string;
  /** Secret of the installation: keys the hashes of header values. */
  readonly key: Uint8Array;
  /** Length of a window of the header statistics, ns. */
  readonly windowNs: number;
  /** Bounds the last hour in memory, but for what `recent` needs. */
  readonly recentBytes?: number;
}

/** What ended since the last call: for the store. */
export interface Ended {
  readonly minutes: readonly SealedMinute[];
  readonly windows: readonly EndedWindow[];
  readonly tls: readonly SealedTls[];
  /** States of TLS statistics that nobody took in time. */
  readonly tlsLost: number;
}

export interface EndedWindow {
  /** Unix ms. */
  readonly from: number;
  readonly to: number;
  /** encodeHeaders() of its state. */
  readonly state: Uint8Array;
  readonly changes: readonly Change[];
}

export class Statistics {
  readonly engine: StatsEngine;
  readonly headers: HeaderStats;
  readonly #tls = new TlsMinutes();
  readonly #options: StatisticsOptions;
  readonly #anchorMs: number;
  readonly #recentBytes: number;
  readonly #windows: EndedWindow[] = [];
  #windowsBytes = 0;
  /** Of windows that are no longer kept one by one. */
  readonly #older = new HeaderState();
  #olderNames = 0;
  /** Told of each window that ends. */
  gauges: HeaderGauges | null = null;
  /** Windows that a report from memory no longer holds. */
  windowsForgotten = 0;
  readonly #changes: Change[] = [];
  /** Changes so far by side, service and kind. */
  readonly changeCounts = new ChangeCounts();
  readonly #counted = new Set<string>();
  #untaken: EndedWindow[] = [];
  #windowEnd = Number.NaN;
  /** Works out what the last window had. */
  #ending: Generator<void, void> | null = null;
  #first = Number.NaN;
  #last = 0;

  constructor(options: StatisticsOptions) {
    this.#options = options;
    const { anchor, id, key } = options;
    this.#anchorMs = Number(anchor.wallNs / 1_000_000n);
    this.headers = new HeaderStats({ key, anchor });
    const headers: HeaderStatistics = {
      series: (key) => new SeriesHeaders(key, this.headers, id, this.#anchorMs),
    };
    this.#recentBytes = options.recentBytes ?? RECENT_BYTES;
    this.engine = new StatsEngine({ anchor, id, headers, limits: { recentBytes: this.#recentBytes } });
  }

  /** Counts a call; valid during the call only. */
  observe(x: Redacted<Exchange>): void {
    this.engine.observe(x);
  }

  /** Counts a TLS connection whose handshake is over. */
  handshake({ service, side, tls }: Connection): void {
    if (tls !== null) this.#tls.observe(service, side, tls, this.#minute(this.#last));
  }

  /** TLS of each service since the start. */
  get tls(): TlsStatistics {
    return this.#tls.total;
  }

  /** It is `now` (ns since the anchor): ends what is over. True: a window has just ended, and `work` is to be called until it is done. */
  tick(now: number): boolean {
    this.#last = now;
    if (Number.isNaN(this.#first)) this.#first = now;
    this.engine.advance(now);
    this.#tls.advance(this.#minute(now));
    this.work(TICK_WORK_MS);
    if (Number.isNaN(this.#windowEnd)) this.#windowEnd = now + this.#options.windowNs;
    // A clock that stepped back would hold the window open.
    const over = now >= this.#windowEnd || now < this.#windowEnd - this.#options.windowNs;
    if (over) this.#rotate(now);
    return over;
  }

  /** Goes on with what a window that ended had, for about `ms`; true: there is more. Meanwhile the next window runs. */
  work(ms: number): boolean {
    const until = performance.now() + ms;
    while (this.#ending !== null) {
      if (this.#ending.next().done === true) this.#ending = null;
      else if (performance.now() >= until) return true;
    }
    return false;
  }

  /** Nothing more comes. */
  finish(): void {
    this.engine.finish();
    this.#tls.finish();
    this.#rotate(this.#last);
    this.#settle();
  }

  /** What ended since the last call. */
  ended(): Ended {
    const windows = this.#untaken;
    this.#untaken = [];
    const { states: tls, lost: tlsLost } = this.#tls.ended();
    return { minutes: this.engine.sealed(), windows, tls, tlsLost };
  }

  /** Unix ms of the first call or tick. */
  get startedMs(): number {
    return this.#anchorMs + (Number.isNaN(this.#first) ? 0 : this.#first / 1e6);
  }

  /** Unix ms from which on `report` can answer from memory. */
  get memorySinceMs(): number {
    const window = this.#windows[0];
    const minute = this.engine.oldestMinute;
    return Math.max(
      window === undefined ? 0 : window.from,
      minute === null ? 0 : minute * MINUTE_MS,
      this.#tls.sinceMs,
    );
  }

  /**
   * Everything since the start, or the minutes and windows that [sinceMs, untilMs), in Unix time, touches. Minutes count whole,
   * so the report's range grows with them: its rates are over what was observed of it.
   */
  report(losses: readonly LossTotal[], sinceMs?: number, untilMs?: number): Report {
    const nowMs = this.#anchorMs + this.#last / 1e6;
    const all = sinceMs === undefined && untilMs === undefined;
    const from = sinceMs === undefined ? this.startedMs : Math.floor(sinceMs / MINUTE_MS) * MINUTE_MS;
    const to = untilMs === undefined ? nowMs : Math.ceil(untilMs / MINUTE_MS) * MINUTE_MS;
    const series = all ? this.engine.states() : this.engine.states(from, to);
    this.#settle();
    const running = this.headers.state(this.#last);
    const inside = this.#windows.filter((window) => all || (window.to > from && window.from < to));
    const before = this.#windows.filter((window) => window.to <= from);
    const headers = this.#merged(inside, all) ?? new HeaderState();
    if (all || (running.to > from && running.from < to)) headers.merge(running);
    const changes = this.#changes.filter(({ at }) => all || (Date.parse(at) > from && Date.parse(at) <= to));
    const since = Math.max(from, this.startedMs);
    const until = Math.min(to, nowMs);
    const tls = all ? this.#tls.total : this.#tls.range(from, to);
    const burn = this.engine.burn(Math.ceil(until / MINUTE_MS) - 1);
    return composeReport(
      { series, headers, reference: all ? null : this.#merged(before, true), changes, losses, tls, burn },
      since,
      Math.max(since, until),
    );
  }

  /**
   * What a report from the store takes from memory, up to `untilMs` in Unix time: the last minutes, or, of a run that is younger than they,
   * what the store was not given yet, because its first minute may be another run's too.
   */
  recent(untilMs: number): RecentStates {
    this.#settle();
    const from = (this.#minute(this.#last) - HANDED_OVER_MINUTES) * MINUTE_MS;
    const whole = from >= Math.max(this.startedMs, this.memorySinceMs);
    const windows = whole ? this.#windows.filter((window) => window.from >= from) : this.#untaken;
    const inside = windows.filter((window) => window.from < untilMs);
    const headers = this.#merged(inside, false) ?? new HeaderState();
    const running = this.headers.state(this.#last);
    if (running.from < untilMs) headers.merge(running);
    return {
      fromMs: whole ? from : null,
      series: whole ? this.engine.states(from, untilMs) : this.engine.untaken(0, untilMs),
      headers,
      changes: inside.flatMap(({ changes }) => changes),
      tls: whole ? this.#tls.range(from, untilMs) : this.#tls.untaken(0, untilMs),
    };
  }

  /** Unix minute of a time in ns since the anchor. */
  #minute(at: number): number {
    return Math.floor((this.#anchorMs + at / 1e6) / MINUTE_MS);
  }

  #merged(windows: readonly EndedWindow[], withOlder: boolean): HeaderState | null {
    if (windows.length === 0 && (!withOlder || this.#older.groups.size === 0)) return null;
    const merged = new HeaderState();
    if (withOlder) merged.merge(this.#older);
    for (const { state } of windows) {
      const decoded = decodeHeaders(state);
      if (decoded.ok) merged.merge(decoded.state);
    }
    return merged;
  }

  /** What has ended is there. */
  #settle(): void {
    this.work(Number.POSITIVE_INFINITY);
  }

  #rotate(now: number): void {
    this.#settle();
    this.#windowEnd = now + this.#options.windowNs;
    this.#ending = this.#end(this.headers.end(now));
  }

  *#end(sealing: Generator<void, HeaderWindow>): Generator<void, void> {
    const { state, changes } = yield* sealing;
    for (const { key } of state.groups.values()) this.#countChanges(key);
    if (this.gauges !== null) yield* this.gauges.ended(state);
    this.#keep({ from: state.from, to: state.to, state: yield* encodingOf(state), changes });
  }

  #keep(ended: EndedWindow): void {
    this.#untaken.push(ended);
    if (this.#untaken.length > WINDOWS_MAX) this.#untaken.shift();
    this.#windows.push(ended);
    this.#windowsBytes += ended.state.length;
    while (
      this.#windows.length > WINDOWS_MAX ||
      (this.#windowsBytes > this.#recentBytes && this.#dispensable(ended.to))
    )
      this.#forget(this.#windows.shift()!);
    for (const change of ended.changes) {
      this.#changes.push(change);
      this.changeCounts.add(change, change.kind, 1);
    }
    if (this.#changes.length > CHANGES_MAX) this.#changes.splice(0, this.#changes.length - CHANGES_MAX);
  }

  /** Whether `recent` of a minute after `endMs` (Unix ms) has all that it needs without the oldest window. */
  #dispensable(endMs: number): boolean {
    const second = this.#windows[1];
    return second !== undefined && second.from <= endMs - RECENT_MINUTES_MIN * MINUTE_MS;
  }

  /** The counts of a service that had a window: of all kinds, before there is any change. */
  #countChanges(key: { readonly side: string; readonly service: string }): void {
    const name = `${key.side} ${key.service}`;
    if (this.#counted.has(name) || this.#counted.size >= COUNTED_SERVICES_MAX) return;
    this.#counted.add(name);
    for (const kind of CHANGE_KINDS) this.changeCounts.add(key, kind, 0);
  }

  #forget({ state }: EndedWindow): void {
    this.#windowsBytes -= state.length;
    const decoded = decodeHeaders(state);
    const added = decoded.ok ? this.#unknownNames(decoded.state) : 0;
    if (!decoded.ok || this.#olderNames + added > OLDER_NAMES_MAX) {
      this.windowsForgotten++;
      return;
    }
    this.#olderNames += added;
    this.#older.merge(decoded.state);
  }

  #unknownNames(state: HeaderState): number {
    let unknown = 0;
    for (const [id, { names }] of state.groups) {
      const known = this.#older.groups.get(id)?.names;
      for (const name of names.keys()) if (known?.has(name) !== true) unknown++;
    }
    return unknown;
  }
}

/** Hands the messages of one series to the header statistics. */
class SeriesHeaders implements HeaderObserver {
  readonly #group: HeaderGroup;
  readonly #headers: HeaderStats;
  readonly #id: StatisticsOptions['id'];
  readonly #anchorMs: number;
  #exchange: Redacted<Exchange> | null = null;

  constructor(key: SeriesKey, headers: HeaderStats, id: StatisticsOptions['id'], anchorMs: number) {
    this.#group = new HeaderGroup(key);
    this.#headers = headers;
    this.#id = id;
    this.#anchorMs = anchorMs;
  }

  observe(x: Redacted<Exchange>, at: number): void {
    this.#exchange = x;
    const now = (at - this.#anchorMs) * 1e6;
    if (x.request !== null) this.#headers.observe(this.#group, 'request', x.request.fields, this.#example, now);
    if (x.response !== null) this.#headers.observe(this.#group, 'response', x.response.fields, this.#example, now);
  }

  readonly #example = (): string => this.#id(this.#exchange!.connection, this.#exchange!.ordinal);
}
