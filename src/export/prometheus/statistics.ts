/**
 * The statistics as metrics. One pass over the series; the caller may pause it between two of them, so that a scrape of a hundred
 * thousand time series does not hold up capture.
 */
import { OTHER } from '../../model/connection.ts';
import { LOAD_BUCKETS, loadBucketFloor } from '../../model/load.ts';
import type { SeriesTotal, ServiceTotal, StatsEngine } from '../../stats/engine.ts';
import { ERROR_CLASSES } from '../../stats/error-class.ts';
import { PHASES, type SeriesKey, SeriesState } from '../../stats/series.ts';
import { SeriesSum } from '../../stats/series-sum.ts';
import type { ExampleCall } from '../../stats/series-table.ts';
import { countOf } from '../../stats/sketch/histogram-sum.ts';
import * as catalogue from './catalogue.ts';
import { type Exposition, type FamilyWriter, Labels, type MetricFamily } from './family.ts';
import { type ServiceTls, writeTls } from './tls.ts';

/** Series (service, side, method, route) that get metrics of their own; the others of a service are summed as route `other`. */
export const SERIES_MAX = 2_000;

const PROTOCOLS = ['http/1.0', 'http/1.1', 'h2', 'h2c', 'grpc', 'websocket', 'upgraded_other'] as const;
const SIDES = ['server', 'client'] as const;
type Side = (typeof SIDES)[number];
const NOT_FOUND = 404;

/** What of the header statistics is shown: the caller bounds it. */
export interface HeaderMetrics {
  readonly fields: Iterable<{
    readonly side: string;
    readonly service: string;
    readonly direction: string;
    readonly name: string;
    readonly presence: number;
    readonly distinct: number;
    readonly entropyBits: number;
    /** null: there is no reference yet. */
    readonly drift: number | null;
  }>;
  readonly changes: Iterable<{
    readonly side: string;
    readonly service: string;
    readonly kind: string;
    readonly count: number;
  }>;
}

/** Several series of one service and side as one. */
class Pool {
  readonly key: SeriesKey;
  readonly state = new SeriesState();
  slowest: ExampleCall | null = null;
  failed: ExampleCall | null = null;

  constructor({ side, service }: SeriesKey) {
    this.key = { side, service, method: OTHER, route: OTHER };
  }

  addTotal({ sum, slowest, failed }: SeriesTotal): void {
    sum.mergeInto(this.state);
    if (slowest !== null && (this.slowest === null || slowest.at > this.slowest.at)) this.slowest = slowest;
    if (failed !== null && (this.failed === null || failed.at > this.failed.at)) this.failed = failed;
  }
}

/** A series with metrics of its own. */
interface Shown {
  readonly labels: SeriesLabels;
  /** What it had counted when it came out of `other`: that stays there. null: it was never in it. */
  readonly base: SeriesState | null;
}

/** What `other` of a service holds besides the series that are hidden now. */
interface Remainder {
  /** From before series came out of it. */
  readonly plus: Pool;
  /** Of series that had metrics of their own and were folded into it by the engine: shown already. */
  readonly minus: Pool;
}

export class StatisticsMetrics {
  readonly #engine: StatsEngine;
  readonly #seriesMax: number;
  /** Series with metrics of their own; they keep them, because a counter that goes away and comes back misleads. */
  readonly #shown = new Map<string, Shown>();
  /** Series that are or were summed in `other`. */
  readonly #hidden = new Set<string>();
  readonly #remainders = new Map<string, Remainder>();
  readonly #services = new Map<string, Labels>();

  /** Takes the engine's `folding` for itself. */
  constructor(engine: StatsEngine, seriesMax = SERIES_MAX) {
    this.#engine = engine;
    this.#seriesMax = seriesMax;
    engine.folding = this.#folding;
  }

  /** Writes every family, yielding after each series. */
  *write(headers: HeaderMetrics | null, out: Exposition, tls: Iterable<ServiceTls> = []): Generator<void> {
    const engine = this.#engine;
    const writers = new Map<MetricFamily, FamilyWriter>();
    const to = (family: MetricFamily): FamilyWriter => writers.get(family)!;
    for (const family of catalogue.CATALOGUE) writers.set(family, out.family(family));
    const hidden = new Map<string, Pool>();
    let hiddenSeries = 0;
    let shownSeries = 0;
    for (const total of engine.totals()) {
      const { key, sum, slowest, failed } = total;
      if (key.side !== 'server' && key.side !== 'client') continue;
      if (sum.calls > 0) {
        const shown = this.#show(key, sum);
        if (shown !== null) {
          shownSeries++;
          writeSeries(
            to,
            key.side,
            shown.labels,
            shown.base === null ? sum : without(sum, shown.base),
            slowest,
            failed,
          );
        } else {
          if (key.route !== OTHER) hiddenSeries++;
          pool(hidden, key).addTotal(total);
        }
      }
      yield;
    }
    // At once: nothing is folded between the last series and this.
    for (const { plus, minus } of this.#remainders.values()) {
      const other = pool(hidden, plus.key);
      other.state.merge(plus.state);
      other.state.subtract(minus.state);
    }
    for (const { key, state, slowest, failed } of hidden.values()) {
      writeSeries(to, key.side as Side, new SeriesLabels(key), new SeriesSum().add(state), slowest, failed);
      yield;
    }
    for (const total of engine.services()) {
      this.#service(to, total);
      yield;
    }
    if (headers !== null) yield* writeHeaders(to, headers);
    yield* writeTls(to, tls);
    const series = to(catalogue.STATISTICS_SERIES);
    series.sample(new Labels(['state'], ['shown']), shownSeries);
    series.sample(new Labels(['state'], ['hidden']), hiddenSeries);
    const { folded, ...overflow } = engine.health().overflow;
    for (const [dimension, calls] of Object.entries(overflow))
      to(catalogue.STATISTICS_OVERFLOW).sample(new Labels(['dimension'], [dimension]), calls);
    to(catalogue.STATISTICS_FOLDED).sample(new Labels([], []), folded);
  }

  /** null: it is summed in its service's `other`. */
  #show(key: SeriesKey, sum: SeriesSum): Shown | null {
    // The engine's own `other`.
    if (key.route === OTHER && key.method === OTHER) return null;
    const name = nameOf(key);
    const known = this.#shown.get(name);
    if (known !== undefined) return known;
    // Nothing but 404: a scanner's path, or a mistake; no route of the service.
    if (this.#shown.size >= this.#seriesMax || onlyNotFound(sum)) {
      this.#hidden.add(name);
      return null;
    }
    let base: SeriesState | null = null;
    if (this.#hidden.delete(name)) {
      base = new SeriesState();
      sum.mergeInto(base);
      this.#remainder(key).plus.state.merge(base);
    }
    const shown = { labels: new SeriesLabels(key), base };
    this.#shown.set(name, shown);
    return shown;
  }

  readonly #folding = (key: SeriesKey, total: SeriesState, into: SeriesKey): void => {
    const name = nameOf(key);
    const vanishes = into.service !== key.service;
    this.#hidden.delete(name);
    // A service that vanishes had shown all of it, some in its own `other`.
    if (this.#shown.delete(name) || vanishes) this.#remainder(into).minus.state.merge(total);
    if (!vanishes) return;
    this.#remainders.delete(serviceName(key));
    this.#services.delete(serviceName(key));
  };

  #remainder(key: SeriesKey): Remainder {
    const name = serviceName(key);
    let known = this.#remainders.get(name);
    if (known === undefined) {
      known = { plus: new Pool(key), minus: new Pool(key) };
      this.#remainders.set(name, known);
    }
    return known;
  }

  #service(to: (family: MetricFamily) => FamilyWriter, { side, service, inFlight, sum }: ServiceTotal): void {
    if (side !== 'server' && side !== 'client') return;
    to(catalogue.HTTP[side].active).sample(new Labels(['service'], [service]), inFlight);
    const name = serviceName({ side, service });
    let own = this.#services.get(name);
    if (own === undefined) {
      own = new Labels(catalogue.PROTOCOL_CALLS.labels.slice(0, OF_SERVICE), [side, service]);
      this.#services.set(name, own);
    }
    const traffic = to(catalogue.TRAFFIC);
    for (const { counter, labels } of PARTS) traffic.sample(own, sum.get(counter), null, labels);
    const connections = to(catalogue.SERVICE_CONNECTIONS);
    for (const start of ['opened', 'joined'] as const)
      connections.sample(own, sum.get(`connections_${start}`), null, STARTS.of(start));
    for (const protocol of PROTOCOLS) {
      const calls = sum.get(protocol);
      if (calls > 0) to(catalogue.PROTOCOL_CALLS).sample(own, calls, null, PROTOCOL.of(protocol));
    }
    for (let bucket = 1; bucket < LOAD_BUCKETS; bucket++) {
      const latency = sum.latencyAt(bucket);
      if (latency.length === 0) continue;
      to(catalogue.LOAD_DURATION).histogram(own, latency, null, LOADS.of(`${loadBucketFloor(bucket)}`));
    }
    for (let bucket = 0; bucket < LOAD_BUCKETS; bucket++) {
      const ns = sum.residenceAt(bucket);
      if (ns === 0) continue;
      const level = LOADS.of(`${loadBucketFloor(bucket)}`);
      to(catalogue.LOAD_SECONDS).sample(own, ns / 1e9, null, level);
      to(catalogue.LOAD_CALL_SECONDS).sample(own, sum.areaAt(bucket) / 1e9, null, level);
    }
  }
}

/** Label sets of one series, made once. */
class SeriesLabels {
  readonly route: Labels;
  readonly sided: Labels;

  constructor({ side, service, method, route }: SeriesKey) {
    this.route = new Labels(catalogue.HTTP.server.duration.labels, [service, method, route]);
    this.sided = new Labels(catalogue.FAILED.labels, [side, service, method, route]);
  }
}

/** Labels that a family has after those of its series or service: few values, shared by all. */
class LastLabels {
  readonly #names: readonly string[];
  readonly #known = new Map<string, Labels>();

  /** @param own labels of the family that come before. */
  constructor(family: MetricFamily, own: number) {
    this.#names = family.labels.slice(own);
  }

  of(value: string): Labels {
    let labels = this.#known.get(value);
    if (labels === undefined) {
      labels = new Labels(this.#names, [value]);
      this.#known.set(value, labels);
    }
    return labels;
  }
}

const OF_SERIES = catalogue.FAILED.labels.length;
const OF_SERVICE = 2;
const CODES = new LastLabels(catalogue.CALLS, OF_SERIES);
const CLASSES = new LastLabels(catalogue.ERRORS, OF_SERIES);
const GRPC = new LastLabels(catalogue.GRPC_CALLS, OF_SERIES);
const PHASE = new LastLabels(catalogue.PHASES_DURATION, OF_SERIES);
const STARTS = new LastLabels(catalogue.SERVICE_CONNECTIONS, OF_SERVICE);
const PROTOCOL = new LastLabels(catalogue.PROTOCOL_CALLS, OF_SERVICE);
const LOADS = new LastLabels(catalogue.LOAD_DURATION, OF_SERVICE);
const PARTS = (['request', 'response'] as const).flatMap((direction) =>
  (['header', 'body'] as const).map((part) => ({
    counter: `${direction}_${part}` as const,
    labels: new Labels(catalogue.TRAFFIC.labels.slice(OF_SERVICE), [direction, part]),
  })),
);

const nameOf = ({ side, service, method, route }: SeriesKey): string => `${side}\0${service}\0${method}\0${route}`;
const serviceName = ({ side, service }: Pick<SeriesKey, 'side' | 'service'>): string => `${side} ${service}`;

function pool(pools: Map<string, Pool>, key: SeriesKey): Pool {
  const name = serviceName(key);
  let known = pools.get(name);
  if (known === undefined) {
    known = new Pool(key);
    pools.set(name, known);
  }
  return known;
}

const onlyNotFound = (sum: SeriesSum): boolean => sum.statuses[NOT_FOUND] === sum.calls;

/** What was counted since `base` was all. */
function without(sum: SeriesSum, base: SeriesState): SeriesSum {
  const rest = new SeriesState();
  sum.mergeInto(rest);
  rest.subtract(base);
  return new SeriesSum().add(rest);
}

function writeSeries(
  to: (family: MetricFamily) => FamilyWriter,
  side: Side,
  labels: SeriesLabels,
  sum: SeriesSum,
  slowest: ExampleCall | null,
  failed: ExampleCall | null,
): void {
  const http = catalogue.HTTP[side];
  to(http.duration).histogram(
    labels.route,
    sum.responseTimes(),
    slowest === null ? null : { call: slowest.id, value: slowest.ns / 1e9, at: slowest.at },
  );
  to(http.requestBody).histogram(labels.route, sum.histograms('requestBody'), null);
  to(http.responseBody).histogram(labels.route, sum.histograms('responseBody'), null);
  const calls = to(catalogue.CALLS);
  let answered = 0;
  const { statuses } = sum;
  for (let code = 0; code < statuses.length; code++) {
    const count = statuses[code]!;
    if (count === 0) continue;
    answered += count;
    calls.sample(labels.sided, count, null, CODES.of(code === 0 ? OTHER : `${code}`));
  }
  if (sum.calls > answered) calls.sample(labels.sided, sum.calls - answered, null, CODES.of('none'));
  to(catalogue.FAILED).sample(
    labels.sided,
    sum.get('errors'),
    failed === null ? null : { call: failed.id, value: 1, at: failed.at },
  );
  for (const name of ERROR_CLASSES) {
    const count = sum.get(name);
    if (count > 0) to(catalogue.ERRORS).sample(labels.sided, count, null, CLASSES.of(name));
  }
  const { grpc } = sum;
  if (grpc !== null)
    for (const [status, count] of grpc.statuses())
      to(catalogue.GRPC_CALLS).sample(labels.sided, count, null, GRPC.of(status));
  const phases = to(catalogue.PHASES_DURATION);
  for (const phase of PHASES) {
    const parts = sum.histograms(phase);
    if (countOf(parts) > 0) phases.histogram(labels.sided, parts, null, PHASE.of(phase));
  }
}

function* writeHeaders(
  to: (family: MetricFamily) => FamilyWriter,
  { fields, changes }: HeaderMetrics,
): Generator<void> {
  for (const { side, service, direction, name, presence, distinct, entropyBits, drift } of fields) {
    const labels = new Labels(catalogue.HEADER_PRESENCE.labels, [side, service, direction, name]);
    to(catalogue.HEADER_PRESENCE).sample(labels, presence);
    to(catalogue.HEADER_DISTINCT).sample(labels, distinct);
    to(catalogue.HEADER_ENTROPY).sample(labels, entropyBits);
    if (drift !== null) to(catalogue.HEADER_DRIFT).sample(labels, drift);
    yield;
  }
  for (const { side, service, kind, count } of changes)
    to(catalogue.HEADER_CHANGES).sample(new Labels(catalogue.HEADER_CHANGES.labels, [side, service, kind]), count);
}
