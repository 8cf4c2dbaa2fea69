/**
 * Latency and throughput under load, from what a service's calls met at arrival and the time it spent at each concurrency.
 *
 * Throughput at n calls in flight is the calls that arrived to make it n and got a whole answer, divided by the time the service
 * spent with n in flight. Every arrival to n is followed by one departure from it before the next, so arrivals counted at a
 * level are departures from it; dividing by the time at the level, instead of by the whole range, makes it the speed of the
 * service at that load, however seldom the load was there.
 */
import { LOAD_BUCKETS, loadBucketFloor } from '../model/load.ts';
import type { SeriesState } from './series.ts';
import type { ExponentialHistogram } from './sketch/histogram.ts';

/** Fewer calls in a bucket say nothing of its throughput: 22 % at one standard deviation. */
const CALLS_MIN = 20;
/** A curve with three parameters wants more points than that, over a range of load. */
const FIT_BUCKETS_MIN = 5;
const FIT_RANGE_MIN = 4;
const KNEE_BUCKETS_MIN = 3;

export interface LoadPoint {
  /** Lower bound of the bucket. */
  readonly inFlight: number;
  /** Calls with a response time. */
  readonly count: number;
  readonly latency: ExponentialHistogram;
  /** Seconds that the service spent here; 0 when its time at each concurrency is not known. */
  readonly residenceS: number;
  /** Calls in flight here, averaged over that time. */
  readonly meanInFlight: number;
  /** null when the time is not known. */
  readonly throughputPerS: number | null;
}

export interface Knee {
  readonly inFlight: number;
  readonly throughputPerS: number;
  /** It is the highest load that was seen: the real knee may lie beyond. */
  readonly atEdge: boolean;
}

/** X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)): Gunther's universal scalability law. */
export interface Usl {
  /** Calls per second of one call at a time. */
  readonly lambda: number;
  /** Contention: the share that cannot be done in parallel. */
  readonly sigma: number;
  /** Coherence: the cost of each pair of calls. */
  readonly kappa: number;
  /** Of throughput, weighted by calls. */
  readonly r2: number;
}

export type NoFit = 'no_times' | 'few_loads' | 'narrow_range' | 'flat_throughput' | 'no_solution';
export type UslResult = { readonly usl: Usl } | { readonly usl: null; readonly why: NoFit };

/** What NoFit means to the reader. */
export const NO_FIT_TEXT: Readonly<Record<NoFit, string>> = {
  no_times: 'the time at each concurrency is not known',
  few_loads: `fewer than ${FIT_BUCKETS_MIN} load levels with ${CALLS_MIN} calls each`,
  narrow_range: `not enough load range: the highest load is less than ${FIT_RANGE_MIN} times the lowest`,
  flat_throughput: 'throughput does not change with the load',
  no_solution: 'no curve with a positive speed fits',
};

/** Buckets with calls, by load. `calls` may be one route's, `service` has the times and is the whole service's. */
export function loadPoints(calls: SeriesState, service: SeriesState): LoadPoint[] {
  const points: LoadPoint[] = [];
  for (let b = 1; b < LOAD_BUCKETS; b++) {
    const latency = calls.latency[b]!;
    if (latency === null || latency.count === 0) continue;
    const residenceS = (service.residence?.[b] ?? 0) / 1e9;
    points.push({
      inFlight: loadBucketFloor(b),
      count: latency.count,
      latency,
      residenceS,
      meanInFlight: residenceS > 0 ? service.area![b]! / service.residence![b]! : loadBucketFloor(b),
      throughputPerS: residenceS > 0 ? latency.count / residenceS : null,
    });
  }
  return points;
}

/** Where throughput bought with response time is best: argmax X / R (Kleinrock's power). null: too few load levels. */
export function knee(points: readonly LoadPoint[]): Knee | null {
  const solid = points.filter(({ count, throughputPerS }) => count >= CALLS_MIN && throughputPerS !== null);
  if (solid.length < KNEE_BUCKETS_MIN) return null;
  const power = (point: LoadPoint): number => point.throughputPerS! / point.latency.mean;
  const best = solid.reduce((a, b) => (power(b) > power(a) ? b : a));
  return { inFlight: best.inFlight, throughputPerS: best.throughputPerS!, atEdge: best === solid.at(-1) };
}

/**
 * How far Little's law N = X R is from what was measured: the integral of calls in flight against the sum of response times,
 * relative to the larger. Large when many calls have no response time, or run across the ends of the range. null without
 * times.
 */
export function littleError(service: SeriesState): number | null {
  if (service.area === null) return null;
  const inFlight = service.area.reduce((a, b) => a + b, 0);
  const responses = service.latency.reduce((sum, part) => sum + (part?.sum ?? 0), 0);
  const larger = Math.max(inFlight, responses);
  return larger === 0 ? null : Math.abs(inFlight - responses) / larger;
}

/**
 * Fits the law by weighted least squares in N / X, in which it is linear: 1/lambda (1 + sigma (N-1) + kappa N (N-1)). A bucket's
 * weight is the inverse of its variance, calls / (N/X)^2. sigma and kappa are not negative: the best of the fits with and
 * without each.
 */
export function fitUsl(points: readonly LoadPoint[]): UslResult {
  if (points.every(({ throughputPerS }) => throughputPerS === null)) return { usl: null, why: 'no_times' };
  const solid = points.filter(({ count, throughputPerS }) => count >= CALLS_MIN && throughputPerS !== null);
  if (solid.length < FIT_BUCKETS_MIN) return { usl: null, why: 'few_loads' };
  if (solid.at(-1)!.meanInFlight < FIT_RANGE_MIN * solid[0]!.meanInFlight) return { usl: null, why: 'narrow_range' };
  const rows = solid.map(({ meanInFlight: n, throughputPerS, count }): Row => {
    const y = n / throughputPerS!;
    return { n, x: throughputPerS!, y, calls: count, weight: count / (y * y), terms: [1, n - 1, n * (n - 1)] };
  });
  if (isFlat(rows)) return { usl: null, why: 'flat_throughput' };
  let best: { terms: readonly number[]; loss: number } | null = null;
  for (const used of [[0, 1, 2], [0, 1], [0, 2], [0]]) {
    const terms = leastSquares(rows, used);
    if (terms === null || terms[0]! <= 0 || terms[1]! < 0 || terms[2]! < 0) continue;
    const loss = rows.reduce((sum, row) => sum + row.weight * (row.y - predict(terms, row)) ** 2, 0);
    if (best === null || loss < best.loss) best = { terms, loss };
  }
  if (best === null) return { usl: null, why: 'no_solution' };
  const [a, b, c] = best.terms as [number, number, number];
  const total = rows.reduce((sum, { calls }) => sum + calls, 0);
  const mean = rows.reduce((sum, { x, calls }) => sum + x * calls, 0) / total;
  const spread = rows.reduce((sum, { x, calls }) => sum + calls * (x - mean) ** 2, 0);
  const missed = rows.reduce((sum, row) => sum + row.calls * (row.x - row.n / predict(best.terms, row)) ** 2, 0);
  return { usl: { lambda: 1 / a, sigma: b / a, kappa: c / a, r2: 1 - missed / spread } };
}

interface Row {
  readonly n: number;
  readonly x: number;
  readonly y: number;
  readonly calls: number;
  readonly weight: number;
  readonly terms: readonly [number, number, number];
}

const predict = (terms: readonly number[], row: Row): number =>
  terms[0]! * row.terms[0] + terms[1]! * row.terms[1] + terms[2]! * row.terms[2];

/** Throughput differs by no more than counting calls does by chance: chi-square against its mean plus four deviations. */
function isFlat(rows: readonly Row[]): boolean {
  const weights = rows.reduce((sum, { calls, x }) => sum + calls / (x * x), 0);
  const mean = rows.reduce((sum, { calls, x }) => sum + calls / x, 0) / weights;
  const chi2 = rows.reduce((sum, { calls, x }) => sum + calls * (x / mean - 1) ** 2, 0);
  const freedom = rows.length - 1;
  return chi2 < freedom + 4 * Math.sqrt(2 * freedom);
}

/** Weighted least squares with the terms in `used`, the others 0; null when they cannot be told apart. */
function leastSquares(rows: readonly Row[], used: readonly number[]): [number, number, number] | null {
  // Columns brought to one size: N (N - 1) may be a million times the first.
  const size = used.map((t) => Math.max(...rows.map((row) => row.terms[t]!)));
  if (size.some((s) => s <= 0)) return null;
  const matrix = used.map((t, i) => {
    const left = used.map((u, j) =>
      rows.reduce((sum, { weight, terms }) => sum + (weight * terms[t]! * terms[u]!) / (size[i]! * size[j]!), 0),
    );
    return [...left, rows.reduce((sum, { weight, terms, y }) => sum + (weight * terms[t]! * y) / size[i]!, 0)];
  });
  const solution = solve(matrix);
  if (solution === null) return null;
  const result: [number, number, number] = [0, 0, 0];
  for (const [i, t] of used.entries()) result[t] = solution[i]! / size[i]!;
  return result;
}

/** Gaussian elimination with pivots of an n by n + 1 system; null when it is singular to 12 digits. */
function solve(matrix: number[][]): number[] | null {
  const n = matrix.length;
  for (let column = 0; column < n; column++) {
    let pivot = column;
    for (let i = column + 1; i < n; i++)
      if (Math.abs(matrix[i]![column]!) > Math.abs(matrix[pivot]![column]!)) pivot = i;
    [matrix[column], matrix[pivot]] = [matrix[pivot]!, matrix[column]!];
    const top = matrix[column]!;
    if (!(Math.abs(top[column]!) > 1e-12 * Math.abs(matrix[0]![0]!))) return null;
    for (let i = 0; i < n; i++) {
      if (i === column) continue;
      const factor = matrix[i]![column]! / top[column]!;
      for (let j = column; j <= n; j++) matrix[i]![j]! -= factor * top[j]!;
    }
  }
  return matrix.map((row, i) => row[n]! / row[i]!);
}
