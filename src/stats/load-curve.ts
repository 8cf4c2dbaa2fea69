/**
 * Latency and throughput under load, from what a service's calls met at arrival and the time it spent at each concurrency.
 *
 * The throughput of a level is Little's law there, X = N / R: the calls in flight divided by the response time of the calls that
 * came to make it so many. Counting the ends at a level by the time spent at it says the same of a queue whose calls come and go
 * one by one, but not of a real server, which answers several calls in one turn of its loop: the levels below are passed through
 * in microseconds, with as many ends as the level at which it was all the while. Response times are not fooled by that.
 *
 * A level's weight is how many calls its time was enough for. Levels that had time for far fewer than came to them were only
 * passed through, and have no throughput.
 */
import { LOAD_BUCKETS, loadBucketFloor } from '../model/load.ts';
import type { SeriesState } from './series.ts';

/** Fewer calls in a bucket, or time for fewer, say nothing of its throughput: 22 % at one standard deviation. */
const CALLS_MIN = 20;
/** Calls that came to a level, for each that its time was enough for, from which on it was only passed through. */
const PASSING = 2;
/** A curve with three parameters wants more points than that, over a range of load. */
const FIT_BUCKETS_MIN = 5;
const FIT_RANGE_MIN = 4;
const KNEE_BUCKETS_MIN = 3;
/** Throughputs that differ by less than this (standard deviation by mean) are the same to anybody who plans with them. */
const FLAT_SPREAD = 0.03;
/** A curve that explains less than half of what throughput does is none. */
const R2_MIN = 0.5;

/** A load level of a service. */
export interface LoadPoint {
  /** Lower bound of the bucket. */
  readonly inFlight: number;
  /** Calls with a response time. */
  readonly count: number;
  /** Their mean response time, ns. */
  readonly meanNs: number;
  /** Calls in flight here, averaged over the time that the service spent here. */
  readonly meanInFlight: number;
  /** Calls that this time was enough for. */
  readonly held: number;
  /** null when the time is not known, or the level was only passed through. */
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
  /** Of throughput, weighted by the calls that the time at each level was enough for. */
  readonly r2: number;
}

export type NoFit = 'no_times' | 'few_loads' | 'narrow_range' | 'flat_throughput' | 'other_curve';
export type UslResult = { readonly usl: Usl } | { readonly usl: null; readonly why: NoFit };

/** What NoFit means to the reader. */
export const NO_FIT_TEXT: Readonly<Record<NoFit, string>> = {
  no_times: 'the time at each concurrency is not known',
  few_loads: `not enough load range: fewer than ${FIT_BUCKETS_MIN} load levels that held for ${CALLS_MIN} calls`,
  narrow_range: `not enough load range: the highest load is less than ${FIT_RANGE_MIN} times the lowest`,
  flat_throughput: 'throughput does not change with the load',
  other_curve: 'throughput follows another curve than the law',
};

/** The levels that a service's calls met, by load. */
export function loadPoints(service: SeriesState): LoadPoint[] {
  const { residence, area } = service;
  const points: LoadPoint[] = [];
  for (let b = 1; b < LOAD_BUCKETS; b++) {
    const latency = service.latency[b]!;
    if (latency === null || latency.count === 0) continue;
    const { count, mean: meanNs } = latency;
    const spentNs = residence?.[b] ?? 0;
    const meanInFlight = spentNs > 0 ? area![b]! / spentNs : loadBucketFloor(b);
    const throughputPerS = meanNs > 0 ? (meanInFlight / meanNs) * 1e9 : 0;
    const held = (spentNs / 1e9) * throughputPerS;
    points.push({
      inFlight: loadBucketFloor(b),
      count,
      meanNs,
      meanInFlight,
      held,
      throughputPerS: held > 0 && held * PASSING >= count ? throughputPerS : null,
    });
  }
  return points;
}

const isSolid = ({ count, held, throughputPerS }: LoadPoint): boolean =>
  throughputPerS !== null && Math.min(count, held) >= CALLS_MIN;

/** Where throughput bought with response time is best: argmax X / R (Kleinrock's power). null: too few load levels. */
export function knee(points: readonly LoadPoint[]): Knee | null {
  const solid = points.filter(isSolid);
  if (solid.length < KNEE_BUCKETS_MIN) return null;
  const power = (point: LoadPoint): number => point.throughputPerS! / point.meanNs;
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
 * weight is the inverse of its variance, held / (N/X)^2. sigma and kappa are not negative: the best of the fits with and
 * without each.
 */
export function fitUsl(points: readonly LoadPoint[]): UslResult {
  if (points.every(({ throughputPerS }) => throughputPerS === null)) return { usl: null, why: 'no_times' };
  const solid = points.filter(isSolid);
  if (solid.length < FIT_BUCKETS_MIN) return { usl: null, why: 'few_loads' };
  if (solid.at(-1)!.meanInFlight < FIT_RANGE_MIN * solid[0]!.meanInFlight) return { usl: null, why: 'narrow_range' };
  const rows = solid.map(({ meanInFlight: n, throughputPerS, held }): Row => {
    const y = n / throughputPerS!;
    return { n, x: throughputPerS!, y, calls: held, weight: held / (y * y), terms: [1, n - 1, n * (n - 1)] };
  });
  if (isFlat(rows)) return { usl: null, why: 'flat_throughput' };
  let best: { terms: readonly number[]; loss: number } | null = null;
  for (const used of [[0, 1, 2], [0, 1], [0, 2], [0]]) {
    const terms = leastSquares(rows, used);
    if (terms === null || terms[0]! <= 0 || terms[1]! < 0 || terms[2]! < 0) continue;
    const loss = rows.reduce((sum, row) => sum + row.weight * (row.y - predict(terms, row)) ** 2, 0);
    if (best === null || loss < best.loss) best = { terms, loss };
  }
  if (best === null) return { usl: null, why: 'other_curve' };
  const [a, b, c] = best.terms as [number, number, number];
  const total = rows.reduce((sum, { calls }) => sum + calls, 0);
  const mean = rows.reduce((sum, { x, calls }) => sum + x * calls, 0) / total;
  const spread = rows.reduce((sum, { x, calls }) => sum + calls * (x - mean) ** 2, 0);
  const missed = rows.reduce((sum, row) => sum + row.calls * (row.x - row.n / predict(best.terms, row)) ** 2, 0);
  const r2 = 1 - missed / spread;
  return r2 < R2_MIN ? { usl: null, why: 'other_curve' } : { usl: { lambda: 1 / a, sigma: b / a, kappa: c / a, r2 } };
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

/** Throughput differs by too little to matter, or by no more than counting calls does by chance: chi-square against its mean plus four deviations. */
function isFlat(rows: readonly Row[]): boolean {
  const weights = rows.reduce((sum, { calls, x }) => sum + calls / (x * x), 0);
  const mean = rows.reduce((sum, { calls, x }) => sum + calls / x, 0) / weights;
  const chi2 = rows.reduce((sum, { calls, x }) => sum + calls * (x / mean - 1) ** 2, 0);
  const freedom = rows.length - 1;
  const all = rows.reduce((sum, { calls }) => sum + calls, 0);
  return chi2 < Math.max(freedom + 4 * Math.sqrt(2 * freedom), all * FLAT_SPREAD ** 2);
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
