/**
 * How many different values a stream had (Flajolet et al., 2007). Up to SPARSE_MAX of them are kept one by one, so that small counts are
 * exact; beyond that 2^precision registers, read by the estimator of Ertl ("New cardinality estimation algorithms for HyperLogLog sketches",
 * 2017, algorithm 6), which needs no correction by tables anywhere between the two. Standard error 1.04 / sqrt(2^precision): 0.8 % at 14.
 *
 * A value comes as a 64-bit hash in two 32-bit lanes: the first names the register, the second gives the rank. Sketches of different
 * precision merge to the coarser one.
 */
import type { ByteBudget } from './budget.ts';
import {
  absorbDense,
  absorbFolded,
  absorbGaps,
  DENSE,
  DENSE_HEAD,
  ENTRY,
  encodeGaps,
  GAPS,
  isSketch,
  largest,
  PRECISION,
  PRECISION_MIN,
  RANK_BITS,
  RANK_MAX,
  SPARSE,
  SPARSE_HEAD,
  SPARSE_MAX,
} from './registers.ts';

export { isSketch, PRECISION, PRECISION_MIN, SPARSE_MAX };

const START = 8;

/** Of every sketch that saw nothing yet: most that are read from the disk get others at once. Its one place is never filled. */
const NO_LANES = new Int32Array(1);
const NO_RANKS = new Uint8Array(1);

export class HyperLogLog {
  precision: number;
  /** Sparse: first lanes by open addressing, an entry is there where its rank is not 0. */
  #lanes: Int32Array | null;
  #ranks: Uint8Array;
  #size = 0;
  readonly #budget: ByteBudget | null;

  /** `budget`: asked before the sketch grows; when it has nothing left, the sketch goes on in 2^PRECISION_MIN registers. */
  constructor(precision = PRECISION, budget: ByteBudget | null = null) {
    this.#budget = budget;
    this.precision = Math.max(PRECISION_MIN, Math.min(precision, PRECISION));
    this.#lanes = NO_LANES;
    this.#ranks = NO_RANKS;
  }

  /** Whether `count` is exact (two values share a whole 32-bit lane and a rank once in 10^10 pairs). */
  get exact(): boolean {
    return this.#lanes !== null;
  }

  get bytes(): number {
    return (this.#lanes === null ? 0 : this.#lanes.length * 4) + this.#ranks.length;
  }

  add(low: number, high: number): void {
    this.#put(low, Math.clz32(high) + 1);
  }

  /** Rounded estimate of the number of different values. */
  count(): number {
    return this.#lanes === null ? Math.round(estimate(this.#ranks, this.precision)) : this.#size;
  }

  /** Takes what another sketch saw. */
  merge(other: HyperLogLog): void {
    if (other.precision < this.precision) this.fold(other.precision);
    const lanes = other.#lanes;
    if (lanes !== null) {
      for (let i = 0; i < lanes.length; i++) if (other.#ranks[i] !== 0) this.#put(lanes[i]!, other.#ranks[i]!);
      return;
    }
    this.#densify();
    const shift = other.precision - this.precision;
    const mine = this.#ranks;
    const theirs = other.#ranks;
    if (shift === 0) {
      largest(mine, theirs);
      return;
    }
    for (let i = 0; i < theirs.length; i++) if (theirs[i]! > mine[i >> shift]!) mine[i >> shift] = theirs[i]!;
  }

  /** The same in registers, whatever it is in now. */
  dense(): this {
    this.#densify();
    return this;
  }

  /** A copy of at most this precision. */
  folded(precision: number): HyperLogLog {
    const copy = new HyperLogLog(Math.min(precision, this.precision));
    copy.merge(this);
    return copy;
  }

  /** The same sketch outside the budget, without a copy: this one must not be used any more. */
  released(): HyperLogLog {
    const whole = new HyperLogLog(this.precision);
    whole.#lanes = this.#lanes;
    whole.#ranks = this.#ranks;
    whole.#size = this.#size;
    return whole;
  }

  /** Lowers the precision; the sketch is what it would have been at that precision from the start. */
  fold(precision: number): void {
    if (precision >= this.precision) return;
    const shift = this.precision - precision;
    this.precision = precision;
    if (this.#lanes !== null) return;
    const old = this.#ranks;
    this.#ranks = new Uint8Array(2 ** precision);
    for (let i = 0; i < old.length; i++) if (old[i]! > this.#ranks[i >> shift]!) this.#ranks[i >> shift] = old[i]!;
  }

  /**
   * Form, precision, then the sorted entries (5 bytes each), or the registers: those that are not 0 by their distances, or all of them as 4
   * bits above the smallest, whichever is shorter.
   */
  encode(): Uint8Array {
    const lanes = this.#lanes;
    if (lanes !== null) {
      const entries: number[] = [];
      for (let i = 0; i < lanes.length; i++)
        if (this.#ranks[i] !== 0) entries.push((lanes[i]! >>> 0) * 64 + this.#ranks[i]!);
      entries.sort((a, b) => a - b);
      const out = new Uint8Array(4 + entries.length * 5);
      out[0] = SPARSE;
      out[1] = this.precision;
      out[2] = entries.length & 0xff;
      out[3] = entries.length >> 8;
      entries.forEach((entry, i) => {
        let rest = entry;
        for (let b = 0; b < 5; b++, rest = Math.floor(rest / 256)) out[4 + i * 5 + b] = rest & 0xff;
      });
      return out;
    }
    const registers = this.#ranks;
    const gaps = encodeGaps(registers, this.precision);
    if (gaps !== null) return gaps;
    const base = registers.reduce((least, rank) => Math.min(least, rank), RANK_MAX);
    // Ranks lie close together: 4 bits above the smallest hold almost all, and the few that do not follow one by one.
    const beyond: number[] = [];
    const out = new Uint8Array(DENSE_HEAD + registers.length / 2 + registers.length * 3);
    out[0] = DENSE;
    out[1] = this.precision;
    out[2] = base;
    for (let i = 0; i < registers.length; i++) {
      const above = registers[i]! - base;
      if (above >= 15) beyond.push(i);
      out[DENSE_HEAD + (i >> 1)]! |= Math.min(above, 15) << ((i & 1) << 2);
    }
    out[3] = beyond.length & 0xff;
    out[4] = beyond.length >> 8;
    let at = DENSE_HEAD + registers.length / 2;
    for (const i of beyond) {
      out[at++] = i & 0xff;
      out[at++] = i >> 8;
      out[at++] = registers[i]!;
    }
    return out.slice(0, at);
  }

  /** Reads what `encode` wrote; null when these bytes are none of that. */
  static decode(bytes: Uint8Array): HyperLogLog | null {
    if (!isSketch(bytes)) return null;
    const sketch = new HyperLogLog(bytes[1]!);
    sketch.absorb(bytes);
    return sketch;
  }

  /** Takes what another sketch saw, as `encode` wrote it (`isSketch` says whether it did), without making that one. */
  absorb(bytes: Uint8Array): void {
    const precision = bytes[1]!;
    if (precision < this.precision) this.fold(precision);
    const shift = precision - this.precision;
    switch (bytes[0]) {
      case SPARSE:
        if (this.#lanes === NO_LANES && this.#budget === null) this.#reserve((bytes.length - SPARSE_HEAD) / ENTRY);
        for (let at = SPARSE_HEAD; at < bytes.length; at += ENTRY) {
          const low = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
          this.#put((low >>> RANK_BITS) | (bytes[at + 4]! << (32 - RANK_BITS)), low & (2 ** RANK_BITS - 1));
        }
        return;
      case GAPS:
        this.#densify();
        absorbGaps(this.#ranks, bytes, shift);
        return;
      default:
        this.#densify();
        if (shift === 0) absorbDense(this.#ranks, bytes);
        else absorbFolded(this.#ranks, bytes, precision, shift);
    }
  }

  #put(lane: number, rank: number): void {
    const lanes = this.#lanes;
    if (lanes === null) {
      const register = lane >>> (32 - this.precision);
      if (rank > this.#ranks[register]!) this.#ranks[register] = rank;
      return;
    }
    const ranks = this.#ranks;
    const mask = lanes.length - 1;
    let slot = lane & mask;
    for (; ranks[slot] !== 0; slot = (slot + 1) & mask) if (lanes[slot] === lane && ranks[slot] === rank) return;
    const full = this.#size >= SPARSE_MAX;
    if (lanes === NO_LANES) {
      this.#reserve(1);
      this.#put(lane, rank);
      return;
    }
    if (full || (this.#size + 1) * 4 > lanes.length * 3) {
      const more = full ? 2 ** this.precision : lanes.length * 5;
      if (this.#budget !== null && !this.#budget.take(more)) {
        this.precision = PRECISION_MIN;
        this.#densify();
      } else if (full) this.#densify();
      else this.#grow();
      this.#put(lane, rank);
      return;
    }
    lanes[slot] = lane;
    ranks[slot] = rank;
    this.#size++;
  }

  /** Room for so many entries, of a sketch that has none. */
  #reserve(size: number): void {
    let length = START;
    while (size * 4 > length * 3) length *= 2;
    this.#lanes = new Int32Array(length);
    this.#ranks = new Uint8Array(length);
  }

  #grow(): void {
    const lanes = this.#lanes!;
    const ranks = this.#ranks;
    this.#lanes = new Int32Array(lanes.length * 2);
    this.#ranks = new Uint8Array(lanes.length * 2);
    this.#size = 0;
    for (let i = 0; i < lanes.length; i++) if (ranks[i] !== 0) this.#put(lanes[i]!, ranks[i]!);
  }

  #densify(): void {
    const lanes = this.#lanes;
    if (lanes === null) return;
    const ranks = this.#ranks;
    this.#lanes = null;
    this.#ranks = new Uint8Array(2 ** this.precision);
    if (this.#size === 0) return;
    this.#size = 0;
    for (let i = 0; i < lanes.length; i++) if (ranks[i] !== 0) this.#put(lanes[i]!, ranks[i]!);
  }
}

/** Ertl's improved raw estimator over registers of ranks 0 to 33. */
function estimate(registers: Uint8Array, precision: number): number {
  const m = 2 ** precision;
  const histogram = ranksOf(registers);
  const q = RANK_MAX - 1;
  let z = m * tau(1 - histogram[q + 1]! / m);
  for (let k = q; k >= 1; k--) z = 0.5 * (z + histogram[k]!);
  z += m * sigma(histogram[0]! / m);
  return ((m / (2 * Math.LN2)) * m) / z;
}

/** How many registers have each rank. Four counts side by side: neighbours are often alike, and one would wait for the store of the other. */
function ranksOf(registers: Uint8Array): Int32Array {
  const counts = new Int32Array(4 * (RANK_MAX + 1));
  for (let i = 0; i < registers.length; i += 4) {
    counts[4 * registers[i]!]!++;
    counts[4 * registers[i + 1]! + 1]!++;
    counts[4 * registers[i + 2]! + 2]!++;
    counts[4 * registers[i + 3]! + 3]!++;
  }
  const all = new Int32Array(RANK_MAX + 1);
  for (let i = 0; i < counts.length; i++) all[i >> 2]! += counts[i]!;
  return all;
}

function sigma(x: number): number {
  if (x === 1) return Number.POSITIVE_INFINITY;
  let power = x;
  let y = 1;
  let z = x;
  for (let last = -1; z !== last; ) {
    power *= power;
    last = z;
    z += power * y;
    y += y;
  }
  return z;
}

function tau(x: number): number {
  if (x === 0 || x === 1) return 0;
  let root = x;
  let y = 1;
  let z = 1 - x;
  for (let last = -1; z !== last; ) {
    root = Math.sqrt(root);
    last = z;
    y *= 0.5;
    z -= (1 - root) ** 2 * y;
  }
  return z / 3;
}
