/** Counts of lengths in bytes: exact below 16, above that eight buckets an octave (within 7 % of the truth). Mergeable. */

const EXACT = 16;
const BUCKETS_AN_OCTAVE = 8;
/** Longer ones count as this long in the quantiles; `max` stays exact. */
const LENGTH_MAX = (1 << 20) - 1;
const BUCKETS = bucketOf(LENGTH_MAX) + 1;

function bucketOf(length: number): number {
  if (length < EXACT) return length;
  const capped = Math.min(length, LENGTH_MAX);
  const octave = 31 - Math.clz32(capped);
  return EXACT + (octave - 4) * BUCKETS_AN_OCTAVE + ((capped >>> (octave - 3)) & (BUCKETS_AN_OCTAVE - 1));
}

/** Middle of a bucket. */
function lengthOf(bucket: number): number {
  if (bucket < EXACT) return bucket;
  const octave = 4 + Math.floor((bucket - EXACT) / BUCKETS_AN_OCTAVE);
  const step = 2 ** (octave - 3);
  return 2 ** octave + ((bucket - EXACT) % BUCKETS_AN_OCTAVE) * step + Math.floor((step - 1) / 2);
}

export class LengthCounts {
  total = 0;
  min = 0;
  max = 0;
  /** null while all lengths were the same. */
  buckets: Float64Array | null = null;

  add(length: number, weight: number): void {
    if (this.total === 0) {
      this.min = length;
      this.max = length;
    } else if (this.buckets === null && length !== this.min) this.#spread();
    this.total += weight;
    if (length < this.min) this.min = length;
    if (length > this.max) this.max = length;
    if (this.buckets !== null) this.buckets[bucketOf(length)]! += weight;
  }

  merge(other: LengthCounts): void {
    if (other.total === 0) return;
    if (other.buckets === null) {
      this.add(other.min, other.total);
      return;
    }
    if (this.buckets === null) this.#spread();
    if (this.total === 0) {
      this.min = other.min;
      this.max = other.max;
    }
    this.total += other.total;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    for (let i = 0; i < BUCKETS; i++) this.buckets![i]! += other.buckets[i]!;
  }

  /** The length that a share `q` of the counted ones does not exceed; 0 when there are none. */
  quantile(q: number): number {
    if (this.buckets === null) return this.min;
    let left = Math.ceil(this.total * q);
    for (let i = 0; i < BUCKETS; i++) {
      left -= this.buckets[i]!;
      if (left <= 0) return Math.max(this.min, Math.min(this.max, lengthOf(i)));
    }
    return this.max;
  }

  /** Non-empty buckets as [bucket, count]. */
  entries(): [number, number][] {
    const out: [number, number][] = [];
    this.buckets?.forEach((count, bucket) => {
      if (count > 0) out.push([bucket, count]);
    });
    return out;
  }

  /** What `entries`, `min` and `max` said; null when they contradict one another. */
  static of(
    total: number,
    min: number,
    max: number,
    entries: readonly (readonly [number, number])[],
  ): LengthCounts | null {
    const made = new LengthCounts();
    if (min > max || (entries.length === 0 && min !== max)) return null;
    made.total = total;
    made.min = min;
    made.max = max;
    if (entries.length === 0) return made;
    made.buckets = new Float64Array(BUCKETS);
    let sum = 0;
    for (const [bucket, count] of entries) {
      if (bucket >= BUCKETS) return null;
      made.buckets[bucket]! += count;
      sum += count;
    }
    return sum === total ? made : null;
  }

  #spread(): void {
    this.buckets = new Float64Array(BUCKETS);
    if (this.total > 0) this.buckets[bucketOf(this.min)] = this.total;
  }
}
