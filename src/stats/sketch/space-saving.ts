/**
 * The most frequent values of a stream in bounded memory: Space-Saving (Metwally, Agrawal, El Abbadi, 2005) kept in its Misra-Gries form.
 * Both hold the same counts up to one shared offset (Agarwal et al., "Mergeable summaries", 2013, section 3), and this form lets a whole
 * stream of values that never repeat pass for the price of an insertion each: instead of replacing one counter for each newcomer, a full table
 * subtracts its median from all counters and drops what is then empty (Anderson et al., "A high-performance algorithm for identifying
 * frequent items in data streams", 2017).
 *
 * For every value, kept or not: true count - counter <= `offset`, counter <= true count, and `offset` <= 2 x total / capacity, also after
 * merging. While there were no more values than the capacity, `offset` is 0 and every count is exact.
 */
import type { ByteBudget } from './budget.ts';

/** Counters that a new table has room for. */
const START = 8;
/** Counts up to here are ranked without sorting: a stream of ids has nothing else. */
const SMALL = 32;
const ofCount = new Uint32Array(SMALL + 1);
/** The counters of a table that is being rebuilt. */
let scratch = new Int32Array(0);
let scratchCounts = new Float64Array(0);

/** Values are 64-bit hashes as two 32-bit lanes; `T` is whatever the owner wants to remember beside a counter. O(1) amortised. */
export class SpaceSaving<T> {
  readonly capacity: number;
  /** Counters in use. */
  size = 0;
  /** What may be missing from any counter, and the most that a value without a counter can have had. */
  offset = 0;
  /** Sum of all that was added. */
  total = 0;
  /** Set by `add`: the value had no counter before. */
  inserted = false;
  readonly #budget: ByteBudget | null;
  /** Open addressing, 16 bytes a place so that a look-up touches one cache line: two lanes, then the count as a double, 0 where it is free. */
  #lanes: Int32Array;
  #counts: Float64Array;
  #mask: number;
  #room: number;
  #labels: (T | undefined)[] | null = null;

  /** `budget`: asked before the tables grow; when it has nothing left, the capacity is what there is. */
  constructor(capacity: number, budget: ByteBudget | null = null) {
    this.#budget = budget;
    this.capacity = Math.max(2, capacity);
    this.#room = Math.min(START, this.capacity);
    this.#mask = placesFor(this.#room) - 1;
    this.#lanes = new Int32Array((this.#mask + 1) * 4);
    this.#counts = new Float64Array(this.#lanes.buffer);
  }

  /** Bytes of the table, labels apart. */
  get bytes(): number {
    return this.#lanes.byteLength;
  }

  /** Place of the value's counter, valid until the next `add`; -1: it has none. */
  find(low: number, high: number): number {
    const place = this.#place(low, high);
    return this.#counts[place * 2 + 1] === 0 ? -1 : place;
  }

  /** Lower bound of the count at a place; the true one is at most `offset` more. */
  count(place: number): number {
    return this.#counts[place * 2 + 1]!;
  }

  label(place: number): T | undefined {
    return this.#labels?.[place];
  }

  setLabel(place: number, label: T | undefined): void {
    this.#labels ??= new Array(this.#mask + 1);
    this.#labels[place] = label;
  }

  /** Counts the value `weight` (above 0) times more; returns the place of its counter, valid until the next `add`. */
  add(low: number, high: number, weight: number): number {
    this.total += weight;
    let place = this.#place(low, high);
    const at = place * 2 + 1;
    const count = this.#counts[at]!;
    if (count !== 0) {
      this.inserted = false;
      this.#counts[at] = count + weight;
      return place;
    }
    this.inserted = true;
    if (this.size >= this.#room) {
      if (this.#room < this.capacity && (this.#budget === null || this.#budget.take(this.bytes))) this.#grow();
      else this.#purge();
      place = this.#place(low, high);
    }
    this.#set(place, low, high, weight);
    return place;
  }

  /** Calls `visit` with each counter, in no order. */
  each(visit: (low: number, high: number, count: number, label: T | undefined) => void): void {
    for (let place = 0; place <= this.#mask; place++) {
      const count = this.count(place);
      if (count !== 0) visit(this.#lanes[place * 4]!, this.#lanes[place * 4 + 1]!, count, this.label(place));
    }
  }

  /** Adds what another summary of the same hash counted; the error bounds add up. `join` makes one label of two. */
  merge(other: SpaceSaving<T>, join: (mine: T | undefined, theirs: T | undefined) => T | undefined): void {
    const total = this.total + other.total;
    const { offset } = other;
    other.each((low, high, count, label) => {
      const place = this.add(low, high, count);
      const joined = join(this.label(place), label);
      if (joined !== undefined) this.setLabel(place, joined);
    });
    this.offset += offset;
    this.total = total;
  }

  /** Where the value is, or the free place where it would be. */
  #place(low: number, high: number): number {
    const lanes = this.#lanes;
    const counts = this.#counts;
    const mask = this.#mask;
    for (let place = low & mask; ; place = (place + 1) & mask) {
      if (lanes[place * 4] === low && lanes[place * 4 + 1] === high) return place;
      if (counts[place * 2 + 1] === 0) return place;
    }
  }

  #set(place: number, low: number, high: number, count: number): void {
    this.size++;
    this.#lanes[place * 4] = low;
    this.#lanes[place * 4 + 1] = high;
    this.#counts[place * 2 + 1] = count;
  }

  #grow(): void {
    this.#room = Math.min(this.#room * 2, this.capacity);
    this.#rebuild(placesFor(this.#room), 0);
  }

  /** Frees at least half of the counters. */
  #purge(): void {
    const cut = this.#median();
    this.offset += cut;
    this.#rebuild(this.#mask + 1, cut);
  }

  /** The largest count that at least half of the counters reach: a purge takes this much from each of those, so offset <= 2 x total / capacity. */
  #median(): number {
    ofCount.fill(0);
    const counts = this.#counts;
    let small = 0;
    for (let at = 1; at < counts.length; at += 2) {
      const count = counts[at]!;
      if (count !== 0 && count <= SMALL) {
        ofCount[Math.ceil(count)]!++;
        small++;
      }
    }
    // Rank from below, so that size - rank counters reach it.
    const rank = this.size >> 1;
    if (small > rank) {
      let below = 0;
      for (let count = 1; count <= SMALL; count++) {
        below += ofCount[count]!;
        if (below > rank) return count;
      }
    }
    const sorted = counts.filter((count, at) => (at & 1) === 1 && count !== 0).sort();
    return sorted[rank]!;
  }

  /** Moves what is left of each counter after `cut` to a table of this many places. */
  #rebuild(places: number, cut: number): void {
    const before = this.#mask + 1;
    const labels = this.#labels;
    // A stream of ids empties its tables all the time: theirs are used again.
    if (scratch.length < before * 4) {
      scratch = new Int32Array(before * 4);
      scratchCounts = new Float64Array(scratch.buffer);
    }
    const lanes = scratch;
    const counts = scratchCounts;
    lanes.set(this.#lanes);
    if (places === before) this.#lanes.fill(0);
    else {
      this.#mask = places - 1;
      this.#lanes = new Int32Array(places * 4);
      this.#counts = new Float64Array(this.#lanes.buffer);
    }
    this.#labels = null;
    this.size = 0;
    for (let place = 0; place < before; place++) {
      const count = counts[place * 2 + 1]! - cut;
      if (count <= 0) continue;
      const low = lanes[place * 4]!;
      const high = lanes[place * 4 + 1]!;
      const to = this.#place(low, high);
      this.#set(to, low, high, count);
      const label = labels?.[place];
      if (label !== undefined) this.setLabel(to, label);
    }
  }
}

/** Places for so many counters: a power of two, at most half full. */
const placesFor = (room: number): number => 2 ** Math.ceil(Math.log2(room * 2));
