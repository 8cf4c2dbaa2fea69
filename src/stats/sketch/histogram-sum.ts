/**
 * Several histograms of one unit read as the histogram of all their values, without merging them: a scrape of a hundred thousand
 * time series does this a few thousand times, and merging first costs five times as much.
 */
import { SCALE_MAX, SCALE_MIN } from './bucket.ts';
import { type ExponentialHistogram, SCALE_START } from './histogram.ts';

export type Histograms = readonly ExponentialHistogram[];

export const countOf = (parts: Histograms): number => parts.reduce((sum, { count }) => sum + count, 0);

/** In the unit of the bounds. */
export const sumOf = (parts: Histograms): number =>
  parts.length === 0 ? 0 : parts.reduce((all, { sum }) => all + sum, 0) / parts[0]!.unit;

/** How many buckets at SCALE_MAX end at each bound or below it, counted from the bound 1: for `countBelow`. */
export const limitsOf = (bounds: readonly number[]): Int32Array =>
  Int32Array.from(bounds, (bound) => Math.floor(Math.log2(bound) * 2 ** SCALE_MAX + 1e-9));

/** Sets `below` to the values at most each bound, cumulated; a bucket that straddles a bound counts above it, 1.1 % of it at scale 6. */
export function countBelow(parts: Histograms, limits: Int32Array, below: Float64Array): void {
  below.fill(0);
  for (const part of parts) {
    if (part.count === 0) continue;
    const { counts, offset, scale } = part;
    const shift = SCALE_MAX - scale;
    let i = 0;
    let seen = part.zeroCount;
    for (let b = 0; b < limits.length; b++) {
      const end = Math.min(counts.length, (limits[b]! >> shift) - offset);
      for (; i < end; i++) seen += counts[i]!;
      below[b]! += seen;
    }
  }
}

/** Buckets of all values at one scale; reused by the next call. */
export interface SummedBuckets {
  scale: number;
  /** Index of the first count. */
  offset: number;
  /** How many of `counts` are meant: the first and the last of them are not 0. */
  length: number;
  readonly counts: Float64Array;
}

/** Into at most `into.counts.length` buckets: at the finest scale at which all have one and they are so few. */
export function sumBuckets(parts: Histograms, into: SummedBuckets): void {
  const { counts: sums } = into;
  let scale = SCALE_MAX;
  for (const part of parts) if (part.count > part.zeroCount) scale = Math.min(scale, part.scale);
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const part of parts) {
    const { counts, offset } = part;
    if (part.count === part.zeroCount) continue;
    let first = 0;
    while (counts[first] === 0) first++;
    let last = counts.length - 1;
    while (counts[last] === 0) last--;
    low = Math.min(low, (first + offset) >> (part.scale - scale));
    high = Math.max(high, (last + offset) >> (part.scale - scale));
  }
  if (low > high) {
    into.scale = parts[0]?.scale ?? SCALE_START;
    into.offset = 0;
    into.length = 0;
    return;
  }
  while (high - low >= sums.length && scale > SCALE_MIN) {
    low >>= 1;
    high >>= 1;
    scale--;
  }
  const length = high - low + 1;
  sums.fill(0, 0, length);
  for (const part of parts) {
    if (part.count === part.zeroCount) continue;
    const { counts, offset } = part;
    const shift = part.scale - scale;
    for (let i = 0; i < counts.length; i++) {
      const count = counts[i]!;
      if (count !== 0) sums[((i + offset) >> shift) - low]! += count;
    }
  }
  into.scale = scale;
  into.offset = low;
  into.length = length;
}
