/** Calls for tests of the statistics: one exchange that is filled anew for each, as the pipeline's pool does, and generated queues. */
import assert from 'node:assert/strict';
import { Connection } from '../../src/model/connection.ts';
import { Exchange, type Outcome, type Protocol } from '../../src/model/exchange.ts';
import { LoadCounter } from '../../src/model/load.ts';
import { Message, type MessageEnd } from '../../src/model/message.ts';
import { KeepEverything } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { StatsEngine, type StatsOptions } from '../../src/stats/engine.ts';
import { buildReport, type StatisticsReport } from '../../src/stats/report.ts';
import type { SeriesState } from '../../src/stats/series.ts';
import type { StateSet } from '../../src/stats/state-set.ts';
import { Random } from '../fuzz/random.ts';

/** 2026-11-22T16:04:00Z: a whole minute, so that minute n of a test begins at n * 60e9. */
export const WALL_NS = 1_795_363_440_000_000_000n;
export const FIRST_MINUTE = Number(WALL_NS / 60_000_000_000n);

export interface Call {
  service?: string;
  side?: Connection['side'];
  method?: string;
  route?: string;
  status?: number;
  outcome?: Outcome;
  protocol?: Protocol;
  upgrade?: string;
  /** grpc-status of a gRPC call, null: none was seen. */
  grpc?: number | null;
  /** t0 to t3 in ns; a part that is null was not seen: [request], [response]. */
  times?: readonly [t0: number, t1: number, t2: number, t3: number];
  request?: boolean;
  response?: boolean;
  requestEnd?: MessageEnd;
  responseEnd?: MessageEnd;
  inFlight?: number;
  ordinal?: number;
  anomalies?: number;
  bytes?: readonly [requestHead: number, requestBody: number, responseHead: number, responseBody: number];
  connection?: Connection;
}

let connections = 0;
export function connectionOf(service = 'api', side: Connection['side'] = 'server'): Connection {
  const c = new Connection(++connections, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 });
  c.service = service;
  c.side = side;
  c.clientDirection = 0;
  c.start = 'opened';
  return c;
}

export class StatsRig {
  readonly engine: StatsEngine;
  readonly connection = connectionOf();
  readonly #redact = redactor(new KeepEverything());
  readonly #exchange = new Exchange();
  readonly #request = new Message();
  readonly #response = new Message();

  constructor(options: Partial<StatsOptions> = {}) {
    this.engine = new StatsEngine({
      anchor: { wallNs: WALL_NS },
      id: (connection, ordinal) => `r-${connection.id}-${ordinal}`,
      ...options,
    });
  }

  call(spec: Call = {}): void {
    const x = this.#exchange;
    const [t0, t1, t2, t3] = spec.times ?? [1_000_000, 1_100_000, 2_000_000, 3_000_000];
    const [requestHead, requestBody, responseHead, responseBody] = spec.bytes ?? [100, 0, 200, 1_000];
    x.connection = spec.connection ?? this.connection;
    if (spec.service !== undefined) x.connection.service = spec.service;
    if (spec.side !== undefined) x.connection.side = spec.side;
    x.ordinal = spec.ordinal ?? 2;
    x.protocol = spec.protocol ?? 'http/1.1';
    x.upgrade = spec.upgrade ?? '';
    x.grpc =
      spec.grpc === undefined
        ? null
        : { status: spec.grpc, timeoutNs: null, requestMessages: 1, responseMessages: spec.grpc === 0 ? 1 : 0 };
    x.outcome = spec.outcome ?? 'complete';
    x.inFlight = spec.inFlight ?? 1;
    x.anomalies = spec.anomalies ?? 0;
    x.route = spec.route ?? '/v1/users/{id}';
    x.request = spec.request === false ? null : this.#request;
    this.#request.reset('request');
    this.#request.method = spec.method ?? 'GET';
    this.#request.firstByteAt = t0;
    this.#request.lastByteAt = t1;
    this.#request.headBytes = requestHead;
    this.#request.bodyBytes = requestBody;
    this.#request.end = spec.requestEnd ?? 'framed';
    x.response = spec.response === false ? null : this.#response;
    this.#response.reset('response');
    this.#response.status = spec.status ?? 200;
    this.#response.firstByteAt = t2;
    this.#response.lastByteAt = t3;
    this.#response.headBytes = responseHead;
    this.#response.bodyBytes = responseBody;
    this.#response.end = spec.responseEnd ?? 'framed';
    this.engine.observe(this.#redact(x));
  }
}

export class Dice {
  readonly #random: Random;
  constructor(seed: number) {
    this.#random = new Random(seed);
  }
  /** In (0, 1). */
  uniform(): number {
    return (this.#random.next() + 0.5) / 2 ** 32;
  }
  /** With this mean. */
  exponential(mean: number): number {
    return -Math.log(this.uniform()) * mean;
  }
  below(n: number): number {
    return this.#random.below(n);
  }
}

/**
 * A queue whose speed depends on how many are in it: `speed(n)` ends per second; each end is of any call ('any': they share the
 * server), or of any of the oldest so many (`order`: the others wait). Arrivals come `rate(served, n)` times a second. Feeds the engine as the pipeline does: the load counter at each
 * arrival and end, the call at its end. Returns the seconds that passed.
 */
export function queue(
  rig: StatsRig,
  dice: Dice,
  options: {
    calls: number;
    rate: (served: number, n: number) => number;
    speed: (n: number) => number;
    order: number | 'any';
  },
): number {
  const { calls, rate, speed, order } = options;
  const load = new LoadCounter();
  rig.connection.load = load;
  const inside: { at: number; inFlight: number }[] = [];
  let now = 1;
  for (let served = 0; served < calls; ) {
    const arrivals = rate(served, inside.length);
    const ends = speed(inside.length);
    now += dice.exponential(1e9 / (arrivals + ends));
    const at = Math.round(now);
    if (dice.uniform() < arrivals / (arrivals + ends)) {
      inside.push({ at, inFlight: load.enter(at) });
      continue;
    }
    const [ended] = inside.splice(dice.below(order === 'any' ? inside.length : Math.min(order, inside.length)), 1);
    load.leave(at);
    served++;
    rig.engine.advance(at);
    rig.call({ times: [ended!.at, ended!.at, at, at], inFlight: ended!.inFlight });
  }
  return now / 1e9;
}

/** The state of the only series that has calls. */
export const only = (engine: StatsEngine): SeriesState => {
  const rows = [...engine.states()].filter(({ state }) => state.calls > 0);
  assert.equal(rows.length, 1);
  return rows[0]!.state;
};

/** The report of the first `seconds`. */
export const reportOf = (rows: StateSet, seconds = 60): StatisticsReport =>
  buildReport({ rows, sinceMs: FIRST_MINUTE * 60_000, untilMs: FIRST_MINUTE * 60_000 + seconds * 1_000, losses: [] });

/** `calls` with response times around `ms`. */
export function traffic(seed: number, calls: number, ms: number, errors: number, more: Call = {}): StateSet {
  const rig = new StatsRig();
  const dice = new Dice(seed);
  for (let i = 0; i < calls; i++) {
    const length = Math.round(dice.exponential(ms * 1_000_000)) + 1_000;
    rig.call({
      times: [1_000, 1_500, 1_000 + length, 1_000 + length],
      status: dice.uniform() < errors ? 503 : 200,
      ...more,
    });
  }
  return rig.engine.states();
}
