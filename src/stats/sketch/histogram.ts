/**
 * Base-2 exponential histogram, as OTLP and Prometheus native histograms define it: at scale s bucket i holds the values in
 * (2^(i / 2^s), 2^((i + 1) / 2^s)]. Sources: opentelemetry-proto metrics.proto (ExponentialHistogramDataPoint),
 * opentelemetry-specification metrics/data-model.md; a Prometheus native bucket's index is ours plus one (its index names
 * the upper bound), and its schema is the scale.
 *
 * Values are recorded in a fine unit (nanoseconds, bytes); bounds are powers in `unit` of those (1e9: seconds), so that a
 * histogram of nanoseconds is one of seconds in Prometheus bucket by bucket. Sum, minimum and maximum stay in the fine unit.
 *
 * At SCALE_START a quantile is at most 0.55 % away from the exact one (nearest rank): the answer is the harmonic middle of
 * the bucket that holds it. Values further apart than BUCKETS_MAX buckets halve the resolution, which is exact: two
 * neighbours become one. Merging is exact, associative and commutative.
 */
import { assert } from '../../base/assert.ts';
import type { ByteReader, ByteWriter } from '../bytes.ts';
import { finestIndex, SCALE_MAX, SCALE_MIN, SMALLEST_NORMAL, upperBound } from './bucket.ts';

/** 2^(1/64): 64 buckets for each doubling; quantiles within 0.55 %. */
export const SCALE_START = 6;
/** 42 doublings at SCALE_START: a nanosecond to 73 minutes. */
export const BUCKETS_MAX = 2_688;
/** OTLP's usual bound: 2.2 % over 3.6 doublings, 4.3 % over 7.3. What a histogram may have when memory is short. */
export const BUCKETS_TIGHT = 160;

/** The array of counts grows by pieces of this size. */
const PIECE = 16;
/** What a typed array takes besides its elements; measured. */
const ARRAY_BYTES = 256;
const COUNT32_MAX = 2 ** 32 - 1;

/** What histograms share when their memory is bounded together. */
export interface HistogramMemory {
  /** Bytes that all of them hold. */
  bytes: number;
  /** Beyond this they stay coarse instead of growing. */
  readonly bytesMax: number;
  /** Times a histogram was made coarser because of it. */
  coarsened: number;
}

const NO_COUNTS = new Uint32Array(0);
const sizeOf = (counts: Uint32Array | Float64Array): number =>
  counts.length === 0 ? 0 : counts.byteLength + ARRAY_BYTES;

export class ExponentialHistogram {
  /** How many of the recorded unit make one unit of the bounds: 1e9 for nanoseconds and seconds. */
  readonly unit: number;
  readonly #memory: HistogramMemory | null;
  readonly #scaleStart: number;
  #scale: number;
  /** Index of #counts[0]; meaningless while #counts is empty. */
  #offset = 0;
  /** Float64Array once a count may pass 2^32. */
  #counts: Uint32Array | Float64Array = NO_COUNTS;
  #count = 0;
  #zero = 0;
  #sum = 0;
  #min = Infinity;
  #max = -Infinity;

  constructor(unit = 1, memory: HistogramMemory | null = null, scale = SCALE_START) {
    assert(scale >= SCALE_MIN && scale <= SCALE_MAX, 'the scale of a histogram lies within -4 and 8');
    this.unit = unit;
    this.#memory = memory;
    this.#scaleStart = scale;
    this.#scale = scale;
  }

  get scale(): number {
    return this.#scale;
  }
  get count(): number {
    return this.#count;
  }
  get zeroCount(): number {
    return this.#zero;
  }
  /** The counts as they are kept, zeros at both ends included: to be read until the next change. */
  get counts(): Uint32Array | Float64Array {
    return this.#counts;
  }
  /** Index of the first of `counts`. */
  get offset(): number {
    return this.#offset;
  }
  /** In the recorded unit. Exact while below 2^53 and recorded in integers. */
  get sum(): number {
    return this.#sum;
  }
  /** Smallest value recorded; Infinity while there is none. */
  get min(): number {
    return this.#min;
  }
  /** Largest value recorded; -Infinity while there is none. */
  get max(): number {
    return this.#max;
  }
  /** NaN while empty. */
  get mean(): number {
    return this.#sum / this.#count;
  }
  /** Memory of the counts. */
  get bytes(): number {
    return sizeOf(this.#counts);
  }
  /** Largest relative error of a quantile, as the scale is now. */
  get relativeError(): number {
    const base = 2 ** (2 ** -this.#scale);
    return (base - 1) / (base + 1);
  }

  /** Records a finite number >= 0, O(1) and without allocation once its bucket's neighbourhood was seen. */
  record(value: number): void {
    const scaled = value / this.unit;
    if (!(scaled >= SMALLEST_NORMAL && scaled < Infinity)) {
      assert(value >= 0 && value < Infinity, 'a histogram records finite numbers from 0 on');
      this.#zero++;
    } else {
      const finest = finestIndex(scaled);
      let at = (finest >> (SCALE_MAX - this.#scale)) - this.#offset;
      if (at < 0 || at >= this.#counts.length) {
        this.#cover(finest, finest, SCALE_MAX);
        at = (finest >> (SCALE_MAX - this.#scale)) - this.#offset;
      }
      this.#counts[at]!++;
    }
    if (++this.#count === COUNT32_MAX) this.#widen();
    this.#sum += value;
    if (value < this.#min) this.#min = value;
    if (value > this.#max) this.#max = value;
  }

  /**
   * Value at `q` (0 to 1) by nearest rank, within `relativeError` of the exact one and within [min, max]; NaN while empty.
   * O(buckets).
   */
  quantile(q: number): number {
    const rank = Math.min(this.#count, Math.max(1, Math.ceil(q * this.#count)));
    if (this.#count === 0) return Number.NaN;
    if (rank === this.#count) return this.#max;
    let seen = this.#zero;
    if (rank <= seen) return 0;
    for (let i = 0; i < this.#counts.length; i++) {
      seen += this.#counts[i]!;
      if (seen < rank) continue;
      const upper = upperBound(this.#offset + i, this.#scale);
      const lower = upperBound(this.#offset + i - 1, this.#scale);
      const middle = ((2 * lower * upper) / (lower + upper)) * this.unit;
      return Math.min(this.#max, Math.max(this.#min, middle));
    }
    return this.#max;
  }

  /** Adds what `other`, of the same unit, holds; `other` stays as it is. */
  merge(other: ExponentialHistogram): void {
    assert(other.unit === this.unit, 'histograms of one unit can be merged');
    if (other.#scale < this.#scale) this.#coarsen(this.#scale - other.#scale);
    const [low, high] = other.#occupied();
    if (low <= high) {
      if (this.#count + other.#count >= COUNT32_MAX) this.#widen();
      this.#cover(low + other.#offset, high + other.#offset, other.#scale);
      const shift = other.#scale - this.#scale;
      for (let i = low; i <= high; i++) {
        const count = other.#counts[i]!;
        if (count !== 0) this.#counts[((i + other.#offset) >> shift) - this.#offset]! += count;
      }
    }
    this.#zero += other.#zero;
    this.#count += other.#count;
    this.#sum += other.#sum;
    if (other.#min < this.#min) this.#min = other.#min;
    if (other.#max > this.#max) this.#max = other.#max;
  }

  /**
   * Takes away what `part`, whose values this one holds too, holds: exact. `min` and `max` stay as they are. `part` may be finer,
   * not coarser: a histogram's own past is.
   */
  subtract(part: ExponentialHistogram): void {
    assert(
      part.unit === this.unit && part.#scale >= this.#scale,
      'only what a histogram holds can be taken away from it',
    );
    const shift = part.#scale - this.#scale;
    const [low, high] = part.#occupied();
    for (let i = low; i <= high; i++) {
      const count = part.#counts[i]!;
      if (count === 0) continue;
      const at = ((i + part.#offset) >> shift) - this.#offset;
      assert((this.#counts[at] ?? 0) >= count, 'only what a histogram holds can be taken away from it');
      this.#counts[at]! -= count;
    }
    this.#zero -= part.#zero;
    this.#count -= part.#count;
    this.#sum -= part.#sum;
  }

  /** Halves the resolution until the scale is `scale`; exact. No effect when it is as coarse already. */
  downscale(scale: number): void {
    assert(scale >= SCALE_MIN, 'the scale of a histogram lies within -4 and 8');
    if (scale < this.#scale) this.#coarsen(this.#scale - scale);
  }

  /** Empty again, at the scale it began with; the memory is kept for the next values, unless it is coarse. */
  clear(): void {
    if (this.#scale !== this.#scaleStart) this.release();
    this.#counts.fill(0);
    this.#count = 0;
    this.#zero = 0;
    this.#sum = 0;
    this.#min = Infinity;
    this.#max = -Infinity;
  }

  /** Empty again, and its memory given back. */
  release(): void {
    this.#replace(NO_COUNTS);
    this.#scale = this.#scaleStart;
    this.#count = 0;
    this.clear();
  }

  /** Appends it: scale, counts, sum, bounds, then the occupied buckets as gaps and counts. About two bytes a bucket. */
  encode(out: ByteWriter): void {
    out.varint(this.#count);
    if (this.#count === 0) return;
    out.zigzag(this.#scale);
    out.varint(this.#zero);
    const whole = Number.isSafeInteger(this.#sum) && Number.isInteger(this.#min) && Number.isInteger(this.#max);
    out.byte(whole ? 1 : 0);
    for (const value of [this.#sum, this.#min, this.#max]) {
      if (whole) out.varint(value);
      else out.float64(value);
    }
    const [low, high] = this.#occupied();
    let filled = 0;
    for (let i = low; i <= high; i++) if (this.#counts[i] !== 0) filled++;
    out.varint(filled);
    if (filled === 0) return;
    out.zigzag(low + this.#offset);
    out.varint(high - low);
    let last = low;
    for (let i = low; i <= high; i++) {
      const count = this.#counts[i]!;
      if (count === 0) continue;
      out.varint(i - last);
      out.varint(count);
      last = i;
    }
  }

  /**
   * Replaces what it holds by what `encode` wrote. False, and empty, when the bytes are none of ours: counts that do not add
   * up, bounds or buckets out of range.
   */
  decode(from: ByteReader): boolean {
    this.clear();
    const count = from.varint();
    if (!from.ok) return false;
    if (count === 0) return true;
    const good = this.#decode(from, count);
    if (!good) {
      from.fail();
      this.release();
    }
    return good;
  }

  #decode(from: ByteReader, count: number): boolean {
    const scale = from.zigzag();
    const zero = from.varint();
    const whole = from.byte() === 1;
    const sum = whole ? from.varint() : from.float64();
    const min = whole ? from.varint() : from.float64();
    const max = whole ? from.varint() : from.float64();
    const filled = from.varint();
    if (!from.ok || scale < SCALE_MIN || scale > SCALE_MAX || filled > BUCKETS_MAX) return false;
    if (!(min >= 0 && min <= max && max < Infinity && sum >= 0 && sum < Infinity)) return false;
    const first = filled === 0 ? 0 : from.zigzag();
    // Exponents of doubles, 2^8 buckets each: what lies beyond cannot have been recorded.
    if (Math.abs(first) > 1_100 << SCALE_MAX) return false;
    const span = filled === 0 ? 0 : from.varint();
    if (span >= BUCKETS_MAX) return false;
    if (scale !== this.#scale) this.release();
    this.#scale = scale;
    if (count >= COUNT32_MAX) this.#widen();
    if (filled > 0) this.#cover(first, first + span, scale);
    const shift = scale - this.#scale;
    let index = first;
    let total = zero;
    for (let n = 0; n < filled; n++) {
      const gap = from.varint();
      const here = from.varint();
      index += gap;
      total += here;
      if (!from.ok || (gap === 0) !== (n === 0) || here === 0 || index > first + span || total > count) return false;
      this.#counts[(index >> shift) - this.#offset]! += here;
    }
    if (total !== count) return false;
    this.#count = count;
    this.#zero = zero;
    this.#sum = sum;
    this.#min = min;
    this.#max = max;
    return true;
  }

  /** Positions of the first and last count that is not 0; low > high when there is none. */
  #occupied(): [low: number, high: number] {
    if (this.#count === this.#zero) return [0, -1];
    let low = 0;
    let high = this.#counts.length - 1;
    while (low <= high && this.#counts[low] === 0) low++;
    while (high >= low && this.#counts[high] === 0) high--;
    return [low, high];
  }

  /** Makes room for the indices [from, to] at `scale` (>= ours), coarser if they are too far from what is there. */
  #cover(from: number, to: number, scale: number): void {
    const [first, last] = this.#occupied();
    const empty = first > last;
    let shift = scale - this.#scale;
    let low = from >> shift;
    let high = to >> shift;
    if (!empty) {
      low = Math.min(low, first + this.#offset);
      high = Math.max(high, last + this.#offset);
    }
    const inside = this.#counts.length > 0 && low >= this.#offset && high < this.#offset + this.#counts.length;
    if (inside) return;
    let fewer = 0;
    while (high - low >= BUCKETS_MAX) {
      low >>= 1;
      high >>= 1;
      fewer++;
    }
    const memory = this.#memory;
    if (memory !== null && memory.bytes >= memory.bytesMax && high - low >= BUCKETS_TIGHT) {
      memory.coarsened++;
      while (high - low >= BUCKETS_TIGHT) {
        low >>= 1;
        high >>= 1;
        fewer++;
      }
    }
    assert(this.#scale - fewer >= SCALE_MIN, 'all doubles fit into a histogram at its coarsest');
    if (fewer > 0) this.#coarsen(fewer);
    shift += fewer;
    const begin = low & ~(PIECE - 1);
    const size = (high | (PIECE - 1)) + 1 - begin;
    const grown = this.#counts instanceof Float64Array ? new Float64Array(size) : new Uint32Array(size);
    for (let i = 0; i < this.#counts.length; i++) {
      const count = this.#counts[i]!;
      if (count !== 0) grown[i + this.#offset - begin] = count;
    }
    this.#replace(grown);
    this.#offset = begin;
  }

  /** Merges each 2^by neighbours into one. */
  #coarsen(by: number): void {
    this.#scale -= by;
    const [first, last] = this.#occupied();
    if (first > last) {
      this.#replace(this.#counts instanceof Float64Array ? new Float64Array(0) : NO_COUNTS);
      return;
    }
    const begin = ((first + this.#offset) >> by) & ~(PIECE - 1);
    const size = (((last + this.#offset) >> by) | (PIECE - 1)) + 1 - begin;
    const coarse = this.#counts instanceof Float64Array ? new Float64Array(size) : new Uint32Array(size);
    for (let i = first; i <= last; i++) coarse[((i + this.#offset) >> by) - begin]! += this.#counts[i]!;
    this.#replace(coarse);
    this.#offset = begin;
  }

  #widen(): void {
    if (!(this.#counts instanceof Float64Array)) this.#replace(Float64Array.from(this.#counts));
  }

  #replace(counts: Uint32Array | Float64Array): void {
    if (this.#memory !== null) this.#memory.bytes += sizeOf(counts) - sizeOf(this.#counts);
    this.#counts = counts;
  }
}
