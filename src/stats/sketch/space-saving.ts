/**
 * The most frequent values of a stream in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, 2005) kept in its Misra-Gries form.
 * Both hold the same counts up to one shared offset (Agarwal et al., "Mergeable summaries", 2013, section 3), and this form lets a whole
 * stream of values that never repeat pass for the price of an insertion each: instead of replacing one counter for each newcomer, a full table
 * subtracts its median from all counters and drops what is then empty (Anderson et al., "A high-performance algorithm for identifying
 * frequent items in data streams", 2017).
 *
 * For every value, kept or not: count - lower bound <= `offset`, and `offset` <= 2 x total / capacity, also after merging. While there were
 * no more values than the capacity, `offset` is 0 and every count is exact.
 */

import type { ByteBudget } from './budget.ts';

/** Counters that a new table has room for. */
const START = 8;
/** Capacities beyond this would not fit the index's 16 bits. */
const CAPACITY_MAX = 1 << 14;

/** Values are 64-bit hashes as two 32-bit lanes; `T` is whatever the owner wants to remember beside a counter. O(1) amortised. */
export class SpaceSaving<T> {
  readonly capacity: number;
  /** Counters in use; the arrays below hold them at [0, size), in no order. */
  size = 0;
  lows: Int32Array;
  highs: Int32Array;
  /** Lower bounds: the true count lies in [counts[i], counts[i] + offset]. */
  counts: Float64Array;
  labels: (T | undefined)[] = [];
  /** What may be missing from any counter, and the most that a value without a counter can have had. */
  offset = 0;
  /** Sum of all that was added. */
  total = 0;
  /** Set by `add`: the value had no counter before. */
  inserted = false;
  readonly #budget: ByteBudget | null;
  /** index[h & mask]: place of a counter + 1, 0 where there is none; linear probing. */
  #index: Int16Array;
  #mask: number;

  /** `budget`: asked before the tables grow; when it has nothing left, the capacity is what there is. */
  constructor(capacity: number, budget: ByteBudget | null = null) {
    this.#budget = budget;
    this.capacity = Math.max(2, Math.min(capacity, CAPACITY_MAX));
    const room = Math.min(START, this.capacity);
    this.lows = new Int32Array(room);
    this.highs = new Int32Array(room);
    this.counts = new Float64Array(room);
    this.#mask = powerOfTwo(room * 2) - 1;
    this.#index = new Int16Array(this.#mask + 1);
  }

  /** Bytes of the tables, labels apart. */
  get bytes(): number {
    return this.lows.length * 24 + this.#index.length * 2;
  }

  /** Place of the value's counter, valid until the next `add`; -1: it has none. */
  find(low: number, high: number): number {
    const index = this.#index;
    const mask = this.#mask;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const place = index[slot]! - 1;
      if (place < 0) return -1;
      if (this.lows[place] === low && this.highs[place] === high) return place;
    }
  }

  /** Counts the value `weight` times more; returns the place of its counter, valid until the next `add`. */
  add(low: number, high: number, weight: number): number {
    this.total += weight;
    const index = this.#index;
    const mask = this.#mask;
    let slot = low & mask;
    for (; ; slot = (slot + 1) & mask) {
      const place = index[slot]! - 1;
      if (place < 0) break;
      if (this.lows[place] === low && this.highs[place] === high) {
        this.counts[place]! += weight;
        this.inserted = false;
        return place;
      }
    }
    this.inserted = true;
    const { size } = this;
    if (size === this.lows.length) {
      if (size < this.capacity && (this.#budget === null || this.#budget.take(this.bytes))) this.#grow();
      else this.#purge();
      slot = this.#free(low);
    }
    const place = this.size++;
    this.#index[slot] = place + 1;
    this.lows[place] = low;
    this.highs[place] = high;
    this.counts[place] = weight;
    this.labels[place] = undefined;
    return place;
  }

  /** Adds what another summary of the same hash counted; the error bounds add up. `label` joins what both remember. */
  merge(other: SpaceSaving<T>, label: (mine: T | undefined, theirs: T | undefined) => T | undefined): void {
    const total = this.total + other.total;
    const offset = other.offset;
    for (let i = 0; i < other.size; i++) {
      const place = this.add(other.lows[i]!, other.highs[i]!, other.counts[i]!);
      this.labels[place] = label(this.labels[place], other.labels[i]);
    }
    this.offset += offset;
    this.total = total;
  }

  clear(): void {
    this.size = 0;
    this.offset = 0;
    this.total = 0;
    this.#index.fill(0);
    this.labels.length = 0;
  }

  #free(low: number): number {
    let slot = low & this.#mask;
    while (this.#index[slot] !== 0) slot = (slot + 1) & this.#mask;
    return slot;
  }

  #grow(): void {
    const room = Math.min(this.lows.length * 2, this.capacity);
    this.lows = grown(this.lows, new Int32Array(room));
    this.highs = grown(this.highs, new Int32Array(room));
    this.counts = grown(this.counts, new Float64Array(room));
    this.#mask = powerOfTwo(room * 2) - 1;
    this.#index = new Int16Array(this.#mask + 1);
    this.#reindex();
  }

  /** Frees at least half of the counters. */
  #purge(): void {
    const { size, counts, lows, highs, labels } = this;
    const sorted = counts.slice(0, size).sort();
    // At least half of the counters hold this much: what one purge adds to the offset took size / 2 times as much from the total.
    const cut = sorted[size >> 1]!;
    let kept = 0;
    for (let i = 0; i < size; i++) {
      const rest = counts[i]! - cut;
      if (rest <= 0) continue;
      lows[kept] = lows[i]!;
      highs[kept] = highs[i]!;
      counts[kept] = rest;
      labels[kept] = labels[i];
      kept++;
    }
    labels.length = kept;
    this.size = kept;
    this.offset += cut;
    this.#index.fill(0);
    this.#reindex();
  }

  #reindex(): void {
    for (let i = 0; i < this.size; i++) this.#index[this.#free(this.lows[i]!)] = i + 1;
  }
}

function grown<A extends Int32Array | Float64Array>(from: A, to: A): A {
  to.set(from);
  return to;
}

const powerOfTwo = (n: number): number => 2 ** Math.ceil(Math.log2(n));
