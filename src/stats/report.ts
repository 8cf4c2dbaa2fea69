/**
 * The report (docs/statistics.md defines its numbers): merged states in, the JSON of `headwater report --json` out. Percentiles come from merged
 * histograms, never from other percentiles.
 */
import { loadBucketFloor } from '../model/load.ts';
import { ERROR_CLASSES, type ErrorClass } from './error-class.ts';
import type { GrpcCalls, GrpcStatus } from './grpc-calls.ts';
import { fitUsl, type Knee, knee, littleError, loadPoints, NO_FIT_TEXT, type Usl } from './load-curve.ts';
import { PHASES, type Phase, type SeriesKey, SeriesState } from './series.ts';
import type { ExponentialHistogram } from './sketch/histogram.ts';
import type { StateRow } from './state-set.ts';
import { wilson } from './wilson.ts';
import { BURN_OBJECTIVE, BURN_WINDOWS, type BurnWindow, burnOf, burnRate, type ServiceBurn } from './windows.ts';

/** Nanoseconds; null: no call had this time. */
export interface Percentiles {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p95: number | null;
  readonly p99: number | null;
  readonly p999: number | null;
  readonly max: number | null;
  readonly mean: number | null;
}

export interface ErrorReport {
  /** Failed calls. client_abort and what capture cut short (truncated) are in `classes` only. */
  readonly total: number;
  readonly ratio: number;
  /** Wilson, 95 %. */
  readonly interval: readonly [number, number];
  readonly classes: Readonly<Record<ErrorClass, number>>;
  /** The first call of each class. */
  readonly first: readonly { readonly class: ErrorClass; readonly at: string; readonly example: string }[];
}

/** How gRPC calls ended: HTTP says 200 whatever their status is, and the classes of errors go by HTTP. */
export interface GrpcReport {
  readonly calls: number;
  /** Calls with another status than OK. */
  readonly failed: number;
  /** failed of the calls with a status. */
  readonly ratio: number;
  /** Wilson, 95 %. */
  readonly interval: readonly [number, number];
  /** By name; none: no status was seen. */
  readonly statuses: Readonly<Partial<Record<GrpcStatus, number>>>;
  /** The first call that failed; null: none did. */
  readonly first: { readonly at: string; readonly example: string } | null;
}

export interface LoadBucketReport {
  readonly in_flight: number;
  /** Calls of this row with a response time, and their percentiles. */
  readonly count: number;
  readonly p50_ns: number;
  readonly p95_ns: number;
  /** Of the whole service at this load; null when its time there is not known, or too short for the calls that met it. */
  readonly throughput_per_s: number | null;
}

export interface LoadReport {
  readonly buckets: readonly LoadBucketReport[];
  /** Knee, law and Little's check are the service's: its routes share its capacity. */
  readonly knee: { readonly in_flight: number; readonly throughput_per_s: number; readonly at_edge: boolean } | null;
  readonly usl: Usl | null;
  /** Why there is no fit; "" when there is one. */
  readonly usl_missing: string;
  readonly little_error: number | null;
}

export interface RouteReport<Headers = unknown> {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  readonly count: number;
  readonly rate_per_s: number;
  readonly latency_ns: Percentiles;
  readonly ttfb_ns: Percentiles;
  readonly upload_ns: Percentiles;
  readonly think_ns: Percentiles;
  readonly download_ns: Percentiles;
  readonly statuses: Readonly<Record<string, number>>;
  readonly errors: ErrorReport;
  /** null: no call was gRPC. */
  readonly grpc: GrpcReport | null;
  readonly bytes: {
    readonly request_header: number;
    readonly request_body: number;
    readonly response_header: number;
    readonly response_body: number;
  };
  readonly load: LoadReport;
  readonly headers: readonly Headers[];
}

/** Failed calls of a window that ends with the range, and how many times faster than BURN_OBJECTIVE allows they came; null without calls. */
export interface BurnReport {
  readonly count: number;
  readonly errors: number;
  readonly rate: number | null;
}

/** A service on one side: what its routes share. */
export interface ServiceReport {
  readonly service: string;
  readonly side: string;
  readonly count: number;
  readonly rate_per_s: number;
  readonly errors: Pick<ErrorReport, 'total' | 'ratio' | 'interval'>;
  /** null: no call was gRPC. */
  readonly grpc: GrpcReport | null;
  readonly burn: Readonly<Record<BurnWindow, BurnReport>>;
  /** Calls in flight, on average over the range; null: their times are not known. */
  readonly in_flight: number | null;
  /** Connections whose first call is in the range: opened in view, and older than the agent. */
  readonly connections: {
    readonly opened: number;
    readonly joined: number;
    readonly calls_per_connection: number | null;
  };
  readonly protocols: Readonly<Record<string, number>>;
  /** Calls that are in `other` because a dimension was full. */
  readonly overflow: number;
  /** Calls without a response time, and with times that contradict each other. */
  readonly untimed: number;
  readonly disordered: number;
}

export interface StatisticsReport<Headers = unknown, Change = unknown> {
  /** RFC 3339. */
  readonly range: { readonly since: string; readonly until: string };
  readonly ledger: {
    readonly exchanges: number;
    readonly losses: readonly { readonly reason: string; readonly count: number }[];
  };
  readonly services: readonly ServiceReport[];
  /** By count, most first. */
  readonly routes: readonly RouteReport<Headers>[];
  readonly changes: readonly Change[];
}

export interface ReportInput<Headers, Change> {
  readonly rows: Iterable<StateRow>;
  /** Unix ms; rates are over this span. */
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly losses: readonly { readonly reason: string; readonly count: number }[];
  /** Header statistics of a series. */
  readonly headers?: (key: SeriesKey) => readonly Headers[];
  readonly changes?: readonly Change[];
  readonly burn?: Iterable<ServiceBurn>;
}

const PROTOCOLS = ['http/1.0', 'http/1.1', 'h2', 'h2c', 'grpc', 'websocket', 'upgraded_other'] as const;

export function buildReport<Headers = never, Change = never>(
  input: ReportInput<Headers, Change>,
): StatisticsReport<Headers, Change> {
  const { sinceMs, untilMs, losses } = input;
  const seconds = Math.max(0, untilMs - sinceMs) / 1_000;
  const services = new Map<string, { key: SeriesKey; state: SeriesState }>();
  const rows = [...input.rows];
  for (const { key, state } of rows) {
    const name = serviceName(key);
    let service = services.get(name);
    if (service === undefined) {
      service = { key, state: new SeriesState() };
      services.set(name, service);
    }
    service.state.merge(state);
  }
  const burn = new Map([...(input.burn ?? [])].map((one) => [serviceName(one), one]));
  const curves = new Map([...services].map(([name, { state }]) => [name, curveOf(state)]));
  const routes = rows
    .filter(({ state }) => state.calls > 0)
    .map(({ key, state }) =>
      routeReport(key, state, curves.get(serviceName(key))!, seconds, input.headers?.(key) ?? []),
    )
    .sort((a, b) => b.count - a.count || compareText(routeName(a), routeName(b)));
  return {
    range: { since: timeText(sinceMs), until: timeText(untilMs) },
    ledger: { exchanges: routes.reduce((sum, { count }) => sum + count, 0), losses },
    services: [...services.values()]
      .filter(({ state }) => state.calls > 0)
      .map(({ key, state }) => serviceReport(key, state, seconds, burn.get(serviceName(key))?.burn ?? NO_BURN))
      .sort((a, b) => b.count - a.count || compareText(a.service, b.service)),
    routes,
    changes: input.changes ?? [],
  };
}

const serviceName = ({ service, side }: { service: string; side: string }): string => `${side} ${service}`;
const routeName = (row: RouteReport): string => `${row.service} ${row.side} ${row.route} ${row.method}`;
const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
const timeText = (ms: number): string => {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? '' : date.toISOString();
};

export function percentiles(histogram: ExponentialHistogram): Percentiles {
  const some = histogram.count > 0;
  const at = (q: number): number | null => (some ? Math.round(histogram.quantile(q)) : null);
  return {
    p50: at(0.5),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
    p999: at(0.999),
    max: some ? histogram.max : null,
    mean: some ? Math.round(histogram.mean) : null,
  };
}

/** What the routes of a service share. */
interface Curve {
  readonly throughput: ReadonlyMap<number, number | null>;
  readonly shared: Omit<LoadReport, 'buckets'>;
}

function curveOf(service: SeriesState): Curve {
  const points = loadPoints(service);
  const fit = fitUsl(points);
  const top: Knee | null = knee(points);
  return {
    throughput: new Map(points.map((point) => [point.inFlight, point.throughputPerS])),
    shared: {
      knee:
        top === null ? null : { in_flight: top.inFlight, throughput_per_s: top.throughputPerS, at_edge: top.atEdge },
      usl: fit.usl,
      usl_missing: fit.usl === null ? NO_FIT_TEXT[fit.why] : '',
      little_error: littleError(service),
    },
  };
}

function routeReport<Headers>(
  { service, side, method, route }: SeriesKey,
  state: SeriesState,
  curve: Curve,
  seconds: number,
  headers: readonly Headers[],
): RouteReport<Headers> {
  const phases = Object.fromEntries(PHASES.map((phase) => [`${phase}_ns`, percentiles(state[phase])])) as Record<
    `${Phase}_ns`,
    Percentiles
  >;
  return {
    service,
    side,
    method,
    route,
    count: state.calls,
    rate_per_s: rate(state.calls, seconds),
    latency_ns: percentiles(state.responseTime()),
    ...phases,
    statuses: Object.fromEntries(state.statuses().map(([code, calls]) => [code === 0 ? 'other' : `${code}`, calls])),
    errors: errorReport(state),
    grpc: grpcReport(state.grpc),
    bytes: {
      request_header: state.get('request_header'),
      request_body: state.get('request_body'),
      response_header: state.get('response_header'),
      response_body: state.get('response_body'),
    },
    load: {
      buckets: state.latency.flatMap((latency, bucket) => {
        if (bucket === 0 || latency === null || latency.count === 0) return [];
        const inFlight = loadBucketFloor(bucket);
        return {
          in_flight: inFlight,
          count: latency.count,
          p50_ns: Math.round(latency.quantile(0.5)),
          p95_ns: Math.round(latency.quantile(0.95)),
          throughput_per_s: curve.throughput.get(inFlight) ?? null,
        };
      }),
      ...curve.shared,
    },
    headers,
  };
}

function errorReport(state: SeriesState): ErrorReport {
  const total = state.get('errors');
  const { calls } = state;
  return {
    total,
    ratio: calls === 0 ? 0 : total / calls,
    interval: wilson(total, calls),
    classes: Object.fromEntries(ERROR_CLASSES.map((name) => [name, state.get(name)])) as Record<ErrorClass, number>,
    first: ERROR_CLASSES.flatMap((name, i) => {
      const error = state.firstErrors[i]!;
      return error === null ? [] : [{ class: name, at: timeText(error.at), example: error.example }];
    }),
  };
}

function grpcReport(grpc: GrpcCalls | null): GrpcReport | null {
  if (grpc === null) return null;
  const { answered, failed, first } = grpc;
  return {
    calls: grpc.counts.reduce((sum, calls) => sum + calls, 0),
    failed,
    ratio: answered === 0 ? 0 : failed / answered,
    interval: wilson(failed, answered),
    statuses: Object.fromEntries(grpc.statuses()),
    first: first === null ? null : { at: timeText(first.at), example: first.example },
  };
}

const NO_BURN = burnOf(() => ({ calls: 0, errors: 0 }));

function serviceReport(
  { service, side }: SeriesKey,
  state: SeriesState,
  seconds: number,
  burn: ServiceBurn['burn'],
): ServiceReport {
  const { total, ratio, interval } = errorReport(state);
  const opened = state.get('connections_opened');
  const joined = state.get('connections_joined');
  return {
    service,
    side,
    count: state.calls,
    rate_per_s: rate(state.calls, seconds),
    errors: { total, ratio, interval },
    grpc: grpcReport(state.grpc),
    burn: Object.fromEntries(
      (Object.keys(BURN_WINDOWS) as BurnWindow[]).map((window) => {
        const { calls, errors } = burn[window];
        return [window, { count: calls, errors, rate: burnRate(burn[window], BURN_OBJECTIVE) }];
      }),
    ) as Record<BurnWindow, BurnReport>,
    in_flight:
      state.area === null || seconds === 0 ? null : state.area.reduce((sum, ns) => sum + ns, 0) / (seconds * 1e9),
    connections: {
      opened,
      joined,
      calls_per_connection: opened + joined === 0 ? null : state.calls / (opened + joined),
    },
    protocols: Object.fromEntries(
      PROTOCOLS.map((name) => [name, state.get(name)] as const).filter(([, count]) => count > 0),
    ),
    overflow: state.get('overflow'),
    untimed: state.get('untimed'),
    disordered: state.get('disordered'),
  };
}

const rate = (count: number, seconds: number): number => (seconds > 0 ? count / seconds : 0);
