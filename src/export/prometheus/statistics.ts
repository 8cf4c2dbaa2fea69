/**
 * The statistics as metrics. One pass over the series; the caller may pause it between two of them, so that a scrape of a hundred
 * thousand time series does not hold up capture.
 */
import { loadBucketFloor } from '../../model/load.ts';
import type { StatsEngine } from '../../stats/engine.ts';
import { ERROR_CLASSES } from '../../stats/error-class.ts';
import { OTHER, PHASES, type SeriesKey, SeriesState } from '../../stats/series.ts';
import * as catalogue from './catalogue.ts';
import { type Exposition, type FamilyWriter, Labels, type MetricFamily } from './family.ts';

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

interface Pool {
  readonly key: SeriesKey;
  readonly state: SeriesState;
}

export class StatisticsMetrics {
  readonly #seriesMax: number;
  /** Series with metrics of their own; they keep them, because a counter that goes away and comes back misleads. */
  readonly #shown = new Map<string, SeriesLabels>();
  readonly #services = new Map<string, ServiceLabels>();

  constructor(seriesMax = SERIES_MAX) {
    this.#seriesMax = seriesMax;
  }

  /** Writes every family, yielding after each series. */
  *write(engine: StatsEngine, headers: HeaderMetrics | null, out: Exposition): Generator<void> {
    const writers = new Map<MetricFamily, FamilyWriter>();
    const to = (family: MetricFamily): FamilyWriter => writers.get(family)!;
    for (const family of catalogue.CATALOGUE) writers.set(family, out.family(family));
    const services = new Map<string, Pool>();
    const hidden = new Map<string, Pool>();
    let hiddenSeries = 0;
    let shownSeries = 0;
    for (const { key, state } of engine.totals()) {
      if (key.side !== 'server' && key.side !== 'client') continue;
      pool(services, key).merge(state);
      if (state.calls > 0) {
        const labels = this.#labels(key, state);
        if (labels !== null) {
          shownSeries++;
          writeSeries(to, key.side, labels, state);
        } else {
          hiddenSeries++;
          pool(hidden, key).merge(state);
        }
      }
      yield;
    }
    for (const { key, state } of hidden.values()) {
      writeSeries(to, key.side as Side, this.#hiddenLabels(key), state);
      yield;
    }
    for (const { key, state } of services.values()) {
      this.#service(to, key, state);
      yield;
    }
    for (const { service, side, inFlight } of engine.services()) {
      if (side !== 'server' && side !== 'client') continue;
      to(catalogue.HTTP[side].active).sample(new Labels(['service'], [service]), inFlight);
    }
    if (headers !== null) yield* writeHeaders(to, headers);
    const series = to(catalogue.STATISTICS_SERIES);
    series.sample(new Labels(['state'], ['shown']), shownSeries);
    series.sample(new Labels(['state'], ['hidden']), hiddenSeries);
    for (const [dimension, calls] of Object.entries(engine.health().overflow))
      to(catalogue.STATISTICS_OVERFLOW).sample(new Labels(['dimension'], [dimension]), calls);
  }

  /** null: it is summed in its service's `other`. */
  #labels(key: SeriesKey, state: SeriesState): SeriesLabels | null {
    const name = `${key.side}\0${key.service}\0${key.method}\0${key.route}`;
    let labels = this.#shown.get(name);
    if (labels !== undefined) return labels;
    // Nothing but 404: a scanner's path, or a mistake; no route of the service.
    if (this.#shown.size >= this.#seriesMax || onlyNotFound(state)) return null;
    labels = new SeriesLabels(key);
    this.#shown.set(name, labels);
    return labels;
  }

  #hiddenLabels({ side, service }: SeriesKey): SeriesLabels {
    return new SeriesLabels({ side, service, method: HIDDEN_METHOD, route: OTHER });
  }

  #service(to: (family: MetricFamily) => FamilyWriter, key: SeriesKey, state: SeriesState): void {
    const name = `${key.side}\0${key.service}`;
    let labels = this.#services.get(name);
    if (labels === undefined) {
      labels = new ServiceLabels(key);
      this.#services.set(name, labels);
    }
    const traffic = to(catalogue.TRAFFIC);
    for (const direction of ['request', 'response'] as const)
      for (const part of ['header', 'body'] as const)
        traffic.sample(labels.of(catalogue.TRAFFIC, direction, part), state.get(`${direction}_${part}`));
    const connections = to(catalogue.SERVICE_CONNECTIONS);
    for (const start of ['opened', 'joined'] as const)
      connections.sample(labels.of(catalogue.SERVICE_CONNECTIONS, start), state.get(`connections_${start}`));
    for (const protocol of PROTOCOLS) {
      const calls = state.get(protocol);
      if (calls > 0) to(catalogue.PROTOCOL_CALLS).sample(labels.of(catalogue.PROTOCOL_CALLS, protocol), calls);
    }
    for (const [bucket, latency] of state.latency.entries()) {
      if (latency === null || latency.count === 0 || bucket === 0) continue;
      const floor = `${loadBucketFloor(bucket)}`;
      to(catalogue.LOAD_DURATION).histogram(labels.of(catalogue.LOAD_DURATION, floor), latency, null);
    }
    for (const [bucket, ns] of (state.residence ?? []).entries()) {
      if (ns === 0) continue;
      to(catalogue.LOAD_SECONDS).sample(labels.of(catalogue.LOAD_SECONDS, `${loadBucketFloor(bucket)}`), ns / 1e9);
    }
  }
}

/** Methods of hidden series are not told apart. */
const HIDDEN_METHOD = OTHER;

/** Label sets of one series, made once. */
class SeriesLabels {
  readonly route: Labels;
  readonly sided: Labels;
  readonly #values: readonly string[];
  readonly #extended = new Map<string, Labels>();

  constructor({ side, service, method, route }: SeriesKey) {
    this.route = new Labels(catalogue.HTTP.server.duration.labels, [service, method, route]);
    this.#values = [side, service, method, route];
    this.sided = new Labels(catalogue.FAILED.labels, this.#values);
  }

  /** With one more label, the family's last. */
  with(family: MetricFamily, value: string): Labels {
    const name = `${family.name} ${value}`;
    let labels = this.#extended.get(name);
    if (labels === undefined) {
      labels = new Labels(family.labels, [...this.#values, value]);
      this.#extended.set(name, labels);
    }
    return labels;
  }
}

class ServiceLabels {
  readonly #values: readonly string[];
  readonly #known = new Map<string, Labels>();

  constructor({ side, service }: SeriesKey) {
    this.#values = [side, service];
  }

  of(family: MetricFamily, ...values: readonly string[]): Labels {
    const name = `${family.name} ${values.join(' ')}`;
    let labels = this.#known.get(name);
    if (labels === undefined) {
      labels = new Labels(family.labels, [...this.#values, ...values]);
      this.#known.set(name, labels);
    }
    return labels;
  }
}

function pool(pools: Map<string, Pool>, key: SeriesKey): SeriesState {
  const name = `${key.side} ${key.service}`;
  let known = pools.get(name);
  if (known === undefined) {
    known = { key, state: new SeriesState() };
    pools.set(name, known);
  }
  return known.state;
}

const onlyNotFound = (state: SeriesState): boolean => {
  const statuses = state.statuses();
  return statuses.length === 1 && statuses[0]![0] === NOT_FOUND && statuses[0]![1] === state.calls;
};

function writeSeries(
  to: (family: MetricFamily) => FamilyWriter,
  side: Side,
  labels: SeriesLabels,
  state: SeriesState,
): void {
  const http = catalogue.HTTP[side];
  to(http.duration).histogram(labels.route, state.responseTime(), null);
  to(http.requestBody).histogram(labels.route, state.requestBody, null);
  to(http.responseBody).histogram(labels.route, state.responseBody, null);
  const calls = to(catalogue.CALLS);
  let answered = 0;
  for (const [code, count] of state.statuses()) {
    answered += count;
    calls.sample(labels.with(catalogue.CALLS, code === 0 ? OTHER : `${code}`), count);
  }
  if (state.calls > answered) calls.sample(labels.with(catalogue.CALLS, 'none'), state.calls - answered);
  to(catalogue.FAILED).sample(labels.sided, state.get('errors'));
  for (const name of ERROR_CLASSES) {
    const count = state.get(name);
    if (count > 0) to(catalogue.ERRORS).sample(labels.with(catalogue.ERRORS, name), count);
  }
  const phases = to(catalogue.PHASES_DURATION);
  for (const phase of PHASES)
    if (state[phase].count > 0) phases.histogram(labels.with(catalogue.PHASES_DURATION, phase), state[phase], null);
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
