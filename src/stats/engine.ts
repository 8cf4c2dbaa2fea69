/**
 * The statistics of all calls, live: `observe` takes each call, `advance` says what time it is, `sealed` hands over what the
 * store keeps of each minute that is over, `totals` is what Prometheus shows.
 *
 * Times of a call (statistics.md): t0 first request byte, t1 last request byte, t2 first response byte, t3 last response
 * byte, as the observed side saw them. Response time t3 - t0, time to first byte t2 - t0, upload t1 - t0, think time t2 - t1
 * (of a client: with the network), download t3 - t2. A time that was not seen gives no sample, never a guess: response time
 * and download need a whole response, upload and think time a whole request.
 *
 * A call belongs to the minute of its last response byte; if that was not seen, to the minute in which it was given up.
 * Minutes are Unix minutes. A call that comes late opens its minute again; the minute is then sealed once more, with the
 * late calls only, and whoever keeps it merges both. So a clock that steps costs accuracy of no count.
 */
import { type ClockAnchor, UNSEEN } from '../base/clock.ts';
import type { Connection } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import { LOAD_BUCKETS, loadBucket } from '../model/load.ts';
import type { Redacted } from '../redact/redacted.ts';
import { errorClass, isFailure, NO_ERROR } from './error-class.ts';
import type { HeaderStatistics } from './header-seam.ts';
import { COUNTER, encodeSeries, type SeriesKey, SeriesState } from './series.ts';
import {
  type Example,
  type ExampleCall,
  OPEN_MINUTES,
  type Series,
  SeriesTable,
  STATE_BYTES,
  STATS_LIMITS,
  type StatsLimits,
} from './series-table.ts';
import { StateSet } from './state-set.ts';
import { BURN_WINDOWS, type BurnWindow, type WindowCount } from './windows.ts';

export interface StatsOptions {
  /** Ties the exchanges' times to Unix time. */
  readonly anchor: ClockAnchor;
  /** Id of an exchange, for examples. */
  readonly id: (connection: Connection, ordinal: number) => string;
  readonly limits?: Partial<StatsLimits>;
  /** Statistics of header elements; null: none. */
  readonly headers?: HeaderStatistics | null;
}

/** One series' part of a minute. */
export interface SealedRow {
  readonly key: SeriesKey;
  /** encodeSeries() of it. */
  readonly state: Uint8Array;
}

export interface SealedMinute {
  /** Unix time / 60 s. May come more than once: merge. */
  readonly minute: number;
  readonly rows: readonly SealedRow[];
  /** Of all states. */
  readonly bytes: number;
}

/** What the engine counts of itself. */
export interface StatsHealth {
  readonly series: number;
  /** Memory of states and histograms, and the bound. */
  readonly bytes: number;
  readonly bytes_max: number;
  /** Calls beyond the bound on each dimension, and series folded into `other`. */
  readonly overflow: {
    readonly service: number;
    readonly method: number;
    readonly route: number;
    readonly folded: number;
  };
  /** Histograms made coarser because memory was short. */
  readonly coarsened: number;
  /** Times that the clock stepped back, or forward by more than an hour; minutes opened although they, or later ones, were sealed. */
  readonly clock: { readonly back: number; readonly forward: number; readonly reopened: number };
  /** Sealed minutes that went before anybody took them. */
  readonly minutes_untaken: number;
}

/** One series since the start. */
export interface SeriesTotal {
  readonly key: SeriesKey;
  readonly state: SeriesState;
  /** The slowest call since totals() was last read, and the last failed one, `at` in Unix ms; those of before when there was none since. */
  readonly slowest: ExampleCall | null;
  readonly failed: ExampleCall | null;
}

/** Burn over each window, in minutes. */
export type BurnCounts = Readonly<Record<BurnWindow, WindowCount>>;

const MINUTE_NS = 60e9;
const MINUTE_MS = 60_000;
/** Calls may be given over a little after they ended. */
const GRACE_NS = 2e9;
const STEP_NS = 3_600e9;
/** Empty states kept for the next minute. */
const SPARE_MAX = 1_024;
/**
 * Sealing thousands of series at once would keep capture waiting for a tenth of a second: `advance` seals this many, and while
 * there are more, every so many calls one.
 */
const SEAL_BATCH = 256;
const CALLS_PER_SEAL = 8;
const CONNECT_KIND: Readonly<Record<string, number>> = {
  grpc: COUNTER.grpc,
  websocket: COUNTER.websocket,
};

/** An open minute: its span in anchored ns, and the series that have a state in it. */
interface Slot {
  readonly place: number;
  minute: number;
  from: number;
  to: number;
  readonly series: Series[];
  /** It is over: its series are being sealed, these are done. */
  sealing: boolean;
  rows: SealedRow[];
  bytes: number;
}

const touches = (minute: number, sinceMs: number, untilMs: number): boolean =>
  (minute + 1) * MINUTE_MS > sinceMs && minute * MINUTE_MS < untilMs;

export class StatsEngine {
  readonly #options: StatsOptions;
  readonly #anchorMs: number;
  readonly #table: SeriesTable;
  readonly #headers: HeaderStatistics | null;
  readonly #slots: Slot[];
  /** Places of open minutes, oldest first. */
  readonly #openSlots: Slot[] = [];
  #current: Slot;
  readonly #spare: SeriesState[] = [];
  readonly #recent: SealedMinute[] = [];
  #recentBytes = 0;
  /** How many of #recent, from its end, nobody took yet. */
  #untaken = 0;
  #untakenLost = 0;
  /** The last time that was heard of, from a call or from the caller. */
  #last = 0;
  #now = Number.NaN;
  readonly #clock = { back: 0, forward: 0, reopened: 0 };
  /** Minutes that are being sealed, and calls since the last series was. */
  #sealing = 0;
  #callsSinceSeal = 0;
  #newestSealed = Number.NEGATIVE_INFINITY;
  /** Readers of totals() on their way. */
  #reading = 0;

  constructor(options: StatsOptions) {
    this.#options = options;
    this.#anchorMs = Number(options.anchor.wallNs / 1_000_000n);
    this.#headers = options.headers ?? null;
    this.#table = new SeriesTable({ ...STATS_LIMITS, ...options.limits }, this.#headers);
    this.#slots = Array.from({ length: OPEN_MINUTES }, (_, place) => ({
      place,
      minute: -1,
      from: 0,
      to: 0,
      series: [],
      sealing: false,
      rows: [],
      bytes: 0,
    }));
    this.#current = this.#slots[0]!;
  }

  /** Counts a call. Valid during the call only: nothing of it is kept but strings of its key. */
  observe(x: Redacted<Exchange>): void {
    const { connection, request, response } = x;
    const t0 = request === null ? UNSEEN : request.firstByteAt;
    const t1 = request === null ? UNSEEN : request.lastByteAt;
    const t2 = response === null ? UNSEEN : response.firstByteAt;
    const t3 = response === null ? UNSEEN : response.lastByteAt;
    const series =
      request === null ? this.#table.find(connection, '', '') : this.#table.find(connection, request.method, x.route);
    const at = t3 === UNSEEN ? this.#last : t3;
    this.#last = at;
    const slot = at >= this.#current.from && at < this.#current.to ? this.#current : this.#slot(at);
    const state = series.open[slot.place] ?? this.#open(series, slot);
    const { counters } = state;
    counters[COUNTER.calls]!++;
    if (series.overflow) counters[COUNTER.overflow]!++;
    this.#load(series, slot, connection);

    if (request !== null) {
      counters[COUNTER.request_header]! += request.headBytes;
      counters[COUNTER.request_body]! += request.bodyBytes;
      state.requestBody.record(request.bodyBytes);
    }
    const whole = response !== null && (response.end === 'framed' || response.end === 'fin');
    const sent = request !== null && (request.end === 'framed' || request.end === 'fin');
    if (whole && t0 !== UNSEEN && t3 !== UNSEEN) {
      if (t3 >= t0) {
        state.latencyAt(loadBucket(x.inFlight)).record(t3 - t0);
        if (t3 - t0 > series.slowest.ns) series.slowest.set(connection, x.ordinal, t3 - t0, t3);
      } else counters[COUNTER.disordered]!++;
    } else counters[COUNTER.untimed]!++;
    if (sent && t0 !== UNSEEN && t1 >= t0) state.upload.record(t1 - t0);
    if (response !== null) {
      counters[COUNTER.response_header]! += response.headBytes;
      counters[COUNTER.response_body]! += response.bodyBytes;
      state.responseBody.record(response.bodyBytes);
      state.countStatus(response.status);
      if (t0 !== UNSEEN && t2 >= t0) state.ttfb.record(t2 - t0);
      if (sent && t1 !== UNSEEN && t2 !== UNSEEN) {
        if (t2 >= t1) state.think.record(t2 - t1);
        else counters[COUNTER.early]!++;
      }
      if (whole && t2 !== UNSEEN && t3 >= t2) state.download.record(t3 - t2);
    }
    this.#result(x, state, series, slot, response === null ? 0 : response.status, at);
    if (this.#sealing > 0 && ++this.#callsSinceSeal >= CALLS_PER_SEAL) this.#sealSome(1);
    if (series.headers !== null) series.headers.observe(x, this.#anchorMs + at / 1e6);
  }

  /**
   * It is `nowNs` (since the anchor). Minutes that are over, and two seconds, are sealed. Steps are counted, and cost as much
   * as any other call: nothing is done for each minute in between.
   */
  advance(nowNs: number): void {
    const before = this.#now;
    if (nowNs < before) this.#clock.back++;
    else if (nowNs > before + STEP_NS) this.#clock.forward++;
    this.#now = nowNs;
    this.#last = nowNs;
    for (const slot of this.#openSlots) if (slot.to + GRACE_NS <= nowNs) this.#begin(slot);
    this.#sealSome(SEAL_BATCH);
  }

  /** Nothing more comes: seals what is open. */
  finish(): void {
    while (this.#openSlots.length > 0) this.#sealAll(this.#openSlots[0]!);
  }

  /** Minutes sealed since the last call, each once, oldest seal first. */
  sealed(): readonly SealedMinute[] {
    const minutes = this.#untaken === 0 ? [] : this.#recent.slice(-this.#untaken);
    this.#untaken = 0;
    return minutes;
  }

  /**
   * The states of the minutes that [sinceMs, untilMs), in Unix time, touches, from memory: about the last hour, with the open
   * minutes. Whole minutes: a range that begins within one is answered from that minute's beginning. Without arguments:
   * everything since the start.
   */
  states(sinceMs = Number.NEGATIVE_INFINITY, untilMs = Number.POSITIVE_INFINITY): StateSet {
    const set = new StateSet();
    const all = sinceMs === Number.NEGATIVE_INFINITY && untilMs === Number.POSITIVE_INFINITY;
    if (all) {
      for (const series of this.#table.series()) if (!series.total.empty) set.merge(series.key, series.total);
    } else {
      for (const { minute, rows } of this.#recent) {
        if (!touches(minute, sinceMs, untilMs)) continue;
        for (const { key, state } of rows) set.add(key, state);
      }
    }
    for (const slot of this.#openSlots) {
      if (!touches(slot.minute, sinceMs, untilMs)) continue;
      for (const series of slot.series) set.merge(series.key, series.open[slot.place]!);
      if (!all) for (const { key, state } of slot.rows) set.add(key, state);
    }
    return set;
  }

  /** Unix minute of the oldest sealed minute in memory; null: none was sealed. */
  get oldestMinute(): number | null {
    return this.#recent.reduce<number | null>(
      (low, { minute }) => (low === null ? minute : Math.min(low, minute)),
      null,
    );
  }

  /**
   * Everything since the start, series by series, for Prometheus. `state` is valid until the next one. Counters only rise, but
   * for series folded into `other`, which vanish; none is folded before this has ended. To be run to its end.
   */
  *totals(): Generator<SeriesTotal> {
    const scratch = new SeriesState();
    this.#reading++;
    try {
      for (const series of this.#table.series()) {
        scratch.clear();
        scratch.merge(series.total);
        for (const state of series.open) if (state !== null) scratch.merge(state);
        if (scratch.empty) continue;
        yield {
          key: series.key,
          state: scratch,
          slowest: this.#example(series.slowest),
          failed: this.#example(series.failed),
        };
      }
    } finally {
      this.#reading--;
    }
  }

  /** Told of each series (key, everything it counted) that is about to vanish into `other`. */
  set folding(told: (key: SeriesKey, total: SeriesState) => void) {
    this.#table.folding = told;
  }

  #example(example: Example): ExampleCall | null {
    const call = example.take(this.#options.id);
    return call === null ? null : { ...call, at: this.#anchorMs + call.at / 1e6 };
  }

  /** Of each service and side: calls in flight now, and calls and errors of the last 5 minutes, hour and 6 hours. */
  *services(): Generator<{
    readonly service: string;
    readonly side: string;
    readonly inFlight: number;
    readonly burn: BurnCounts;
  }> {
    const minute = this.#minute(this.#last);
    for (const { service, side, load, minutes } of this.#table.groups()) {
      const burn = Object.fromEntries(BURN_WINDOWS.map((window) => [window, minutes.sum(minute, window)]));
      yield { service, side, inFlight: load?.inFlight ?? 0, burn: burn as unknown as BurnCounts };
    }
  }

  health(): StatsHealth {
    const { memory, overflow, size } = this.#table;
    return {
      series: size,
      bytes: memory.bytes,
      bytes_max: memory.bytesMax,
      overflow: { ...overflow },
      coarsened: memory.coarsened,
      clock: { ...this.#clock },
      minutes_untaken: this.#untakenLost,
    };
  }

  /** The service's time at each concurrency, up to now. */
  #load({ group }: Series, slot: Slot, connection: Connection): void {
    const { load } = connection;
    group.load = load;
    if (!load.pending) return;
    const own = group.own.open[slot.place] ?? this.#open(group.own, slot);
    own.residence ??= new Float64Array(LOAD_BUCKETS);
    own.area ??= new Float64Array(LOAD_BUCKETS);
    load.drain(own.residence, own.area);
  }

  #result(x: Redacted<Exchange>, state: SeriesState, series: Series, slot: Slot, status: number, at: number): void {
    const { counters } = state;
    const { connection, outcome, protocol, upgrade } = x;
    const errorKind = errorClass(outcome, status);
    let failed = 0;
    if (errorKind !== NO_ERROR) {
      counters[COUNTER['401'] + errorKind]!++;
      if (isFailure(errorKind, x.anomalies)) {
        failed = 1;
        counters[COUNTER.errors]!++;
        series.failed.set(connection, x.ordinal, 0, at);
      }
      if (state.firstErrors[errorKind] === null) {
        const example = this.#options.id(connection, x.ordinal);
        state.firstErrors[errorKind] = { at: this.#anchorMs + at / 1e6, example };
      }
    }
    series.group.minutes.add(slot.minute, 1, failed);
    if (outcome === 'upgraded') counters[COUNTER.upgraded]!++;
    else if (outcome === 'open') counters[COUNTER.open]!++;
    if (x.ordinal === 1) {
      counters[connection.start === 'opened' ? COUNTER.connections_opened : COUNTER.connections_joined]!++;
    }
    counters[COUNTER[protocol]]!++;
    if (upgrade !== '') counters[CONNECT_KIND[upgrade] ?? COUNTER.upgraded_other]!++;
  }

  #minute(at: number): number {
    return Math.floor((this.#anchorMs + at / 1e6) / MINUTE_MS);
  }

  /** The open minute of `at`, opened if need be. */
  #slot(at: number): Slot {
    const minute = this.#minute(at);
    let slot = this.#openSlots.find((open) => open.minute === minute);
    if (slot === undefined) {
      if (this.#openSlots.length === OPEN_MINUTES) {
        this.#sealAll(this.#openSlots.reduce((oldest, open) => (open.minute < oldest.minute ? open : oldest)));
      }
      slot = this.#slots.find((free) => free.minute === -1)!;
      slot.minute = minute;
      slot.from = (minute * MINUTE_MS - this.#anchorMs) * 1e6;
      slot.to = slot.from + MINUTE_NS;
      this.#openSlots.push(slot);
      if (minute <= this.#newestSealed) this.#clock.reopened++;
    }
    this.#current = slot;
    return slot;
  }

  #open(series: Series, slot: Slot): SeriesState {
    let state = this.#spare.pop();
    if (state === undefined) {
      state = new SeriesState(this.#table.memory);
      this.#table.memory.bytes += STATE_BYTES;
    }
    series.open[slot.place] = state;
    series.lastMinute = slot.minute;
    slot.series.push(series);
    return state;
  }

  #begin(slot: Slot): void {
    if (slot.sealing) return;
    slot.sealing = true;
    this.#sealing++;
  }

  #sealAll(slot: Slot): void {
    this.#begin(slot);
    while (slot.series.length > 0) this.#sealOne(slot);
    this.#sealed(slot);
  }

  /** Seals up to `count` series of minutes that are over. */
  #sealSome(count: number): void {
    this.#callsSinceSeal = 0;
    let left = count;
    for (let i = this.#openSlots.length - 1; i >= 0 && left > 0; i--) {
      const slot = this.#openSlots[i]!;
      if (!slot.sealing) continue;
      for (; left > 0 && slot.series.length > 0; left--) this.#sealOne(slot);
      if (slot.series.length === 0) this.#sealed(slot);
    }
  }

  /** A late call may open the series again before its minute is done: it has two rows then, which merge. */
  #sealOne(slot: Slot): void {
    const series = slot.series.pop()!;
    const state = series.open[slot.place]!;
    series.open[slot.place] = null;
    const encoded = encodeSeries(state);
    slot.bytes += encoded.length;
    slot.rows.push({ key: series.key, state: encoded });
    series.total.merge(state);
    this.#free(state);
  }

  #sealed(slot: Slot): void {
    const { minute, rows, bytes } = slot;
    this.#sealing--;
    this.#newestSealed = Math.max(this.#newestSealed, minute);
    slot.minute = -1;
    slot.from = 0;
    slot.to = 0;
    slot.sealing = false;
    slot.rows = [];
    slot.bytes = 0;
    this.#openSlots.splice(this.#openSlots.indexOf(slot), 1);
    this.#keep({ minute, rows, bytes });
    this.#headers?.sealed(minute);
    if (this.#reading === 0) this.#table.fold(minute);
  }

  #free(state: SeriesState): void {
    const { memory } = this.#table;
    if (this.#spare.length < SPARE_MAX && memory.bytes < memory.bytesMax / 2) {
      state.clear();
      this.#spare.push(state);
    } else {
      state.release();
      memory.bytes -= STATE_BYTES;
    }
  }

  #keep(minute: SealedMinute): void {
    this.#recent.push(minute);
    this.#recentBytes += minute.bytes;
    this.#untaken++;
    while (this.#recentBytes > this.#table.limits.recentBytes && this.#recent.length > 1) {
      this.#recentBytes -= this.#recent.shift()!.bytes;
      if (this.#untaken > this.#recent.length) {
        this.#untaken = this.#recent.length;
        this.#untakenLost++;
      }
    }
  }
}
