/** Counts of lengths in bytes: exact below 16, above that eight buckets an octave (within 7 % of the truth). Mergeable. */

const EXACT = 16;
const BUCKETS_AN_OCTAVE = 8;
/** Longer ones count as this long in the quantiles; `max` stays exact. */
const LENGTH_MAX = (1 << 20) - 1;
export const BUCKETS = bucketOf(LENGTH_MAX) + 1;

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
  /** Of `begin`. */
  #room: Float64Array | null = null;

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

  /** Takes the place of what was counted: `total` lengths in buckets that are put in next; the memory is used again. */
  begin(total: number, min: number, max: number, spread: boolean): void {
    this.total = total;
    this.min = min;
    this.max = max;
    if (!spread) {
      this.buckets = null;
      return;
    }
    this.#room ??= new Float64Array(BUCKETS);
    this.#room.fill(0);
    this.buckets = this.#room;
  }

  #spread(): void {
    this.buckets = new Float64Array(BUCKETS);
    if (this.total > 0) this.buckets[bucketOf(this.min)] = this.total;
  }
}
