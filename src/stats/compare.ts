/**
 * What changed between two ranges: rate, error ratio and percentiles of each route, each with whether chance explains it. A
 * difference is called significant at p < 0.001 two-sided, since a table has many rows:
 *
 *   - rates, error ratios and shares of gRPC statuses by exact tests (evidence.ts),
 *   - percentiles when their confidence intervals, by the ranks of the binomial (Hollander and Wolfe, 3.6), do not meet and they
 *     are further apart than the histogram's own error.
 */
import { ERROR_CLASSES, type ErrorClass } from './error-class.ts';
import { countsDiffer, sharesDiffer } from './evidence.ts';
import { GRPC_STATUSES, type GrpcCalls, type GrpcStatus } from './grpc-calls.ts';
import type { SeriesKey } from './series.ts';
import type { ExponentialHistogram } from './sketch/histogram.ts';
import type { StateSet } from './state-set.ts';

const Z = 3.290_526_731_491_926;
const PERCENTILES = { p50: 0.5, p95: 0.95, p99: 0.99 } as const;
type Percentile = keyof typeof PERCENTILES;

export interface Difference {
  readonly before: number | null;
  readonly after: number | null;
  /** after / before - 1; null when one of them is missing or before is 0. */
  readonly change: number | null;
  readonly significant: boolean;
}

/** Calls of one error class, as a share of all calls. */
export interface ErrorClassComparison {
  readonly class: ErrorClass;
  readonly ratio: Difference;
  /** Its first call in the range after; null: there was none. */
  readonly example: string | null;
}

/** How gRPC calls ended by their own status, which the classes of errors do not see. Shares of the calls with a status. */
export interface GrpcComparison {
  readonly failed_ratio: Difference;
  /** Statuses but OK that either range has. */
  readonly statuses: readonly { readonly status: GrpcStatus; readonly ratio: Difference }[];
  /** The first call of the range after that failed; null: none did. */
  readonly example: string | null;
}

export interface RouteComparison {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  /** Only in one of the ranges, or in both. */
  readonly presence: 'both' | 'new' | 'vanished';
  readonly count: { readonly before: number; readonly after: number };
  readonly rate_per_s: Difference;
  readonly error_ratio: Difference;
  /** Classes that either range has. */
  readonly error_classes: readonly ErrorClassComparison[];
  /** Null: neither range has gRPC calls. */
  readonly grpc: GrpcComparison | null;
  readonly latency_ns: Readonly<Record<Percentile, Difference>>;
}

export interface Range {
  readonly states: StateSet;
  readonly seconds: number;
}

/** One row for each route of either range; what changed more than by chance first, then by calls. */
export function compareRanges(before: Range, after: Range): RouteComparison[] {
  const keys: SeriesKey[] = [...after.states].map(({ key }) => key);
  for (const { key } of before.states) if (after.states.get(key) === null) keys.push(key);
  return keys
    .map((key) => compareSeries(key, before, after))
    .filter(({ count }) => count.before + count.after > 0)
    .sort((a, b) => Number(changed(b)) - Number(changed(a)) || calls(b) - calls(a));
}

const calls = ({ count }: RouteComparison): number => count.before + count.after;

/** Whether anything in the row is significant. */
export const changed = (row: RouteComparison): boolean =>
  row.rate_per_s.significant ||
  row.error_ratio.significant ||
  row.error_classes.some(({ ratio }) => ratio.significant) ||
  row.grpc?.failed_ratio.significant === true ||
  row.grpc?.statuses.some(({ ratio }) => ratio.significant) === true ||
  Object.values(row.latency_ns).some(({ significant }) => significant);

function compareSeries(key: SeriesKey, before: Range, after: Range): RouteComparison {
  const a = before.states.get(key);
  const b = after.states.get(key);
  const [n, m] = [a?.calls ?? 0, b?.calls ?? 0];
  const [latencyA, latencyB] = [a?.responseTime() ?? null, b?.responseTime() ?? null];
  return {
    service: key.service,
    side: key.side,
    method: key.method,
    route: key.route,
    presence: n === 0 ? 'new' : m === 0 ? 'vanished' : 'both',
    count: { before: n, after: m },
    rate_per_s: rates(n, before.seconds, m, after.seconds),
    error_ratio: ratios(a?.get('errors') ?? 0, n, b?.get('errors') ?? 0, m),
    error_classes: ERROR_CLASSES.flatMap((name, i) =>
      (a?.get(name) ?? 0) + (b?.get(name) ?? 0) === 0
        ? []
        : {
            class: name,
            ratio: ratios(a?.get(name) ?? 0, n, b?.get(name) ?? 0, m),
            example: b?.firstErrors[i]?.example ?? null,
          },
    ),
    grpc: compareGrpc(a?.grpc ?? null, b?.grpc ?? null),
    latency_ns: {
      p50: quantiles(latencyA, latencyB, PERCENTILES.p50),
      p95: quantiles(latencyA, latencyB, PERCENTILES.p95),
      p99: quantiles(latencyA, latencyB, PERCENTILES.p99),
    },
  };
}

function difference(before: number | null, after: number | null, significant: boolean): Difference {
  const change = before === null || after === null || before === 0 ? null : after / before - 1;
  return { before, after, change, significant };
}

function rates(n: number, secondsA: number, m: number, secondsB: number): Difference {
  if (secondsA <= 0 || secondsB <= 0) return difference(null, null, false);
  return difference(n / secondsA, m / secondsB, countsDiffer(n, secondsA, m, secondsB));
}

function compareGrpc(a: GrpcCalls | null, b: GrpcCalls | null): GrpcComparison | null {
  if (a === null && b === null) return null;
  const [n, m] = [a?.answered ?? 0, b?.answered ?? 0];
  const [before, after] = [new Map(a?.statuses()), new Map(b?.statuses())];
  const failures = GRPC_STATUSES.filter((status) => status !== 'OK' && status !== 'none');
  return {
    failed_ratio: ratios(a?.failed ?? 0, n, b?.failed ?? 0, m),
    statuses: failures.flatMap((status) => {
      const [x, y] = [before.get(status) ?? 0, after.get(status) ?? 0];
      return x + y === 0 ? [] : { status, ratio: ratios(x, n, y, m) };
    }),
    example: b?.first?.example ?? null,
  };
}

/** `x` of `n` calls, and `y` of `m`. */
const ratios = (x: number, n: number, y: number, m: number): Difference =>
  difference(n > 0 ? x / n : null, m > 0 ? y / m : null, sharesDiffer(x, n, y, m));

function quantiles(a: ExponentialHistogram | null, b: ExponentialHistogram | null, q: number): Difference {
  const before = a === null || a.count === 0 ? null : Math.round(a.quantile(q));
  const after = b === null || b.count === 0 ? null : Math.round(b.quantile(q));
  if (before === null || after === null) return difference(before, after, false);
  const [lowA, highA] = interval(a!, q);
  const [lowB, highB] = interval(b!, q);
  const error = a!.relativeError + b!.relativeError;
  const apart = lowB > highA || lowA > highB;
  return difference(before, after, apart && Math.abs(after - before) > error * Math.max(before, after));
}

/** The values between which the q-quantile lies, by the ranks n q -+ z sqrt(n q (1 - q)); open ends where there are no such ranks. */
function interval(histogram: ExponentialHistogram, q: number): [low: number, high: number] {
  const n = histogram.count;
  const spread = Z * Math.sqrt(n * q * (1 - q));
  const low = n * q - spread;
  const high = n * q + spread + 1;
  return [
    low < 1 ? 0 : histogram.quantile(low / n),
    high > n ? Number.POSITIVE_INFINITY : histogram.quantile(high / n),
  ];
}

/** A header name that is not what it was. */
export interface HeaderDifference {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  readonly direction: string;
  readonly name: string;
  /** values: its values are others, or are distributed otherwise. */
  readonly kind: 'new' | 'vanished' | 'presence' | 'values';
  /** Share of the messages that have it; null: no message has. */
  readonly before: number | null;
  readonly after: number | null;
  /** Jensen-Shannon divergence of the values, 0 to 1; null where one range has none. */
  readonly jensen_shannon: number | null;
  /** Most frequent value of each range. */
  readonly value_before: string | null;
  readonly value_after: string | null;
  readonly example: string;
}

/** Two ranges, and what changed between them. */
export interface Comparison {
  readonly before: { readonly since: string; readonly until: string };
  readonly after: { readonly since: string; readonly until: string };
  readonly routes: readonly RouteComparison[];
  readonly headers: readonly HeaderDifference[];
}
