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
 * Minutes (minutes.ts) are Unix minutes.
 */
import { type ClockAnchor, UNSEEN } from '../base/clock.ts';
import type { Connection, Side } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import { LOAD_BUCKETS, loadBucket } from '../model/load.ts';
import type { Redacted } from '../redact/redacted.ts';
import { errorClass, isFailure, NO_ERROR } from './error-class.ts';
import type { HeaderStatistics } from './header-seam.ts';
import { Minutes, type OpenMinute, type SealedMinute } from './minutes.ts';
import { COUNTER, type SeriesKey, type SeriesState } from './series.ts';
import { SeriesSum } from './series-sum.ts';
import {
  type Example,
  type ExampleCall,
  type Series,
  SeriesTable,
  STATS_LIMITS,
  type StatsLimits,
} from './series-table.ts';
import { StateSet } from './state-set.ts';
import { burnOf, type ServiceBurn } from './windows.ts';

export interface StatsOptions {
  /** Ties the exchanges' times to Unix time. */
  readonly anchor: ClockAnchor;
  /** Id of an exchange, for examples. */
  readonly id: (connection: Connection, ordinal: number) => string;
  readonly limits?: Partial<StatsLimits>;
  /** Statistics of header elements; null: none. */
  readonly headers?: HeaderStatistics | null;
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
  /** Until the next one is asked for. */
  readonly sum: SeriesSum;
  /** The slowest call since totals() was last read, and the last failed one, `at` in Unix ms; those of before when there was none since. */
  readonly slowest: ExampleCall | null;
  readonly failed: ExampleCall | null;
}

/** One service on one side. */
export interface ServiceTotal {
  readonly service: string;
  readonly side: Side;
  readonly inFlight: number;
  /** Counters, response times by load, time at each load: nothing else of it counts. Until the next one is asked for. */
  readonly sum: SeriesSum;
}

const STEP_NS = 3_600e9;
const CONNECT_KIND: Readonly<Record<string, number>> = {
  grpc: COUNTER.grpc,
  websocket: COUNTER.websocket,
};

export class StatsEngine {
  readonly #options: StatsOptions;
  readonly #anchorMs: number;
  readonly #table: SeriesTable;
  readonly #minutes: Minutes;
  /** The last time that was heard of, from a call or from the caller. */
  #last = 0;
  #now = Number.NaN;
  readonly #clock = { back: 0, forward: 0 };
  /** Readers of totals() on their way. */
  #reading = 0;

  constructor(options: StatsOptions) {
    this.#options = options;
    this.#anchorMs = Number(options.anchor.wallNs / 1_000_000n);
    this.#table = new SeriesTable({ ...STATS_LIMITS, ...options.limits }, options.headers ?? null);
    this.#minutes = new Minutes(this.#table, this.#anchorMs, (minute) => {
      if (this.#reading === 0) this.#table.fold(minute);
    });
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
    const slot = this.#minutes.at(at);
    const state = this.#minutes.state(series, slot);
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
      state.countStatus(series.statuses.own(response.status));
      if (t0 !== UNSEEN && t2 >= t0) state.ttfb.record(t2 - t0);
      if (sent && t1 !== UNSEEN && t2 !== UNSEEN) {
        if (t2 >= t1) state.think.record(t2 - t1);
        else counters[COUNTER.early]!++;
      }
      if (whole && t2 !== UNSEEN && t3 >= t2) state.download.record(t3 - t2);
    }
    this.#result(x, state, series, slot, response === null ? 0 : response.status, at);
    this.#minutes.counted();
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
    this.#minutes.advance(nowNs);
  }

  /** Nothing more comes: seals what is open. */
  finish(): void {
    this.#minutes.finish();
  }

  /** Minutes sealed since the last call, each once, oldest seal first. */
  sealed(): readonly SealedMinute[] {
    return this.#minutes.sealed();
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
      this.#minutes.addOpen(set);
    } else this.#minutes.addRange(set, sinceMs, untilMs);
    return set;
  }

  /** Of states() what `sealed` has not handed over yet. */
  untaken(sinceMs: number, untilMs: number): StateSet {
    const set = new StateSet();
    this.#minutes.addUntaken(set, sinceMs, untilMs);
    return set;
  }

  /** Unix minute of the oldest sealed minute in memory; null: none was sealed. */
  get oldestMinute(): number | null {
    return this.#minutes.oldest;
  }

  /**
   * Everything since the start, series by series, for Prometheus. Counters only rise, but
   * for series and services folded into `other`, which vanish; none is folded before this has ended. To be run to its end.
   */
  *totals(): Generator<SeriesTotal> {
    const sum = new SeriesSum();
    this.#reading++;
    try {
      for (const series of this.#table.series()) {
        sum.clear();
        if (!series.total.empty) sum.add(series.total);
        for (const state of series.open) if (state !== null && !state.empty) sum.add(state);
        if (sum.parts.length === 0) continue;
        yield {
          key: series.key,
          sum,
          slowest: this.#example(series.slowest),
          failed: this.#example(series.failed),
        };
      }
    } finally {
      this.#reading--;
    }
  }

  /** Told of each series (key, everything it counted) that is about to vanish into `into`: `other` of its service, or of all services. */
  set folding(told: (key: SeriesKey, total: SeriesState, into: SeriesKey) => void) {
    this.#table.folding = told;
  }

  #example(example: Example): ExampleCall | null {
    const call = example.take(this.#options.id);
    return call === null ? null : { ...call, at: this.#anchorMs + call.at / 1e6 };
  }

  /** Of each service and side: calls in flight now, and since the start what a service's load is made of. */
  *services(): Generator<ServiceTotal> {
    const sum = new SeriesSum();
    for (const group of this.#table.groups()) {
      sum.clear().add(group.total);
      for (const { open } of group.series()) for (const state of open) if (state !== null) sum.add(state);
      yield { service: group.service, side: group.side, inFlight: group.load?.inFlight ?? 0, sum };
    }
  }

  /** Calls and errors of each service and side in the windows that end with Unix minute `last`; none older than six hours is known. */
  *burn(last: number): Generator<ServiceBurn> {
    for (const { service, side, minutes } of this.#table.groups())
      yield { service, side, burn: burnOf((window) => minutes.sum(last, window)) };
  }

  health(): StatsHealth {
    const { memory, overflow, size } = this.#table;
    return {
      series: size,
      bytes: memory.bytes,
      bytes_max: memory.bytesMax,
      overflow: { ...overflow },
      coarsened: memory.coarsened,
      clock: { ...this.#clock, reopened: this.#minutes.reopened },
      minutes_untaken: this.#minutes.untakenLost,
    };
  }

  /** The service's time at each concurrency, up to now. */
  #load({ group }: Series, slot: OpenMinute, connection: Connection): void {
    const { load } = connection;
    group.load = load;
    if (!load.pending) return;
    const own = this.#minutes.state(group.own, slot);
    own.residence ??= new Float64Array(LOAD_BUCKETS);
    own.area ??= new Float64Array(LOAD_BUCKETS);
    load.drain(own.residence, own.area);
  }

  #result(
    x: Redacted<Exchange>,
    state: SeriesState,
    series: Series,
    slot: OpenMinute,
    status: number,
    at: number,
  ): void {
    const { counters } = state;
    const { connection, outcome, protocol, upgrade } = x;
    const errorKind = errorClass(outcome, status);
    let failed = 0;
    if (errorKind !== NO_ERROR) {
      counters[COUNTER['401'] + errorKind]!++;
      if (isFailure(errorKind, x.response === null ? null : x.response.end)) {
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
    if (x.grpc !== null) {
      const calls = state.grpcCalls();
      if (calls.count(x.grpc.status))
        calls.first ??= { at: this.#anchorMs + at / 1e6, example: this.#options.id(connection, x.ordinal) };
    }
    if (outcome === 'upgraded') counters[COUNTER.upgraded]!++;
    else if (outcome === 'open') counters[COUNTER.open]!++;
    if (x.ordinal === 1) {
      counters[connection.start === 'opened' ? COUNTER.connections_opened : COUNTER.connections_joined]!++;
    }
    counters[COUNTER[protocol]]!++;
    if (upgrade !== '') counters[CONNECT_KIND[upgrade] ?? COUNTER.upgraded_other]!++;
  }
}
