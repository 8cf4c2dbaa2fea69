/**
 * The encodings of a Parquet page that the store writes (parquet-format, Encodings.md): the RLE/bit-packing hybrid for levels
 * and dictionary indices, DELTA_BINARY_PACKED for integers, DELTA_LENGTH_BYTE_ARRAY for text. Numbers are doubles that hold
 * integers below 2^53.
 */

import { grownBytes } from './grown.ts';

const TWO32 = 2 ** 32;
const TWO52 = 2 ** 52;
const DELTA_BLOCK = 128;
const MINIBLOCKS = 4;
const MINIBLOCK = DELTA_BLOCK / MINIBLOCKS;
/** Runs shorter than this are bit-packed. */
const RUN_MIN = 8;

/** Bits needed for `max`, a whole number below 2^53. */
export const bitsFor = (max: number): number =>
  max >= TWO32 ? 64 - Math.clz32(Math.floor(max / TWO32)) : 32 - Math.clz32(max);

/** A page while it is written; grows, and is used again. */
export class PageBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(1 << 16);
  length = 0;
  /** Of `bytes`. */
  #view = new DataView(this.bytes.buffer);
  readonly #few = new Uint32Array(RUN_MIN);
  readonly #deltas = new Float64Array(DELTA_BLOCK);

  clear(): void {
    this.length = 0;
  }

  view(): Buffer {
    return this.bytes.subarray(0, this.length);
  }

  reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted <= this.bytes.length) return;
    this.bytes = grownBytes(this.bytes, this.length, wanted);
    this.#view = new DataView(this.bytes.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.bytes[this.length++] = value;
  }

  u32(value: number): void {
    this.reserve(4);
    this.length = this.bytes.writeUInt32LE(value >>> 0, this.length);
  }

  append(bytes: Uint8Array, from: number, to: number): void {
    this.reserve(to - from);
    this.bytes.set(bytes.subarray(from, to), this.length);
    this.length += to - from;
  }

  /** ULEB128 of a whole number below 2^53. */
  varint(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.byte((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.byte(rest);
  }

  /** Zigzag ULEB128 of a 64-bit integer. */
  zigzag(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    while (rest >= 0x80n) {
      this.byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.byte(Number(rest));
  }

  /** The same of a whole number; one whose double a double still holds needs no bigint. */
  #zigzagOf(value: number): void {
    if (Math.abs(value) >= TWO52) this.zigzag(BigInt(value));
    else this.varint(value < 0 ? -value * 2 - 1 : value * 2);
  }

  /** What `hybrid` makes of `count` times the same value. */
  same(value: number, count: number, width: number): void {
    if (count >= RUN_MIN) this.#run(value, count, width);
    else this.hybrid(this.#few.fill(value), 0, count, width);
  }

  #run(value: number, count: number, width: number): void {
    this.varint(count * 2);
    for (let shift = 0; shift < width; shift += 8) this.byte((value >>> shift) & 0xff);
  }

  /** Values [from, to) of `width` bits each (at most 32) as runs and bit-packed groups of eight. */
  hybrid(values: Uint32Array | Uint8Array, from: number, to: number, width: number): void {
    let packed = from;
    let i = from;
    while (i < to) {
      let run = i + 1;
      while (run < to && values[run] === values[i]) run++;
      // A bit-packed stretch holds whole groups of eight, so it may take the start of a run to end on one.
      const fill = (8 - ((i - packed) & 7)) & 7;
      if (run - i - fill < RUN_MIN) {
        i = run;
        continue;
      }
      i += fill;
      if (i > packed) this.#group(values, packed, i, width);
      this.#run(values[i]!, run - i, width);
      packed = run;
      i = run;
    }
    if (to > packed) this.#group(values, packed, to, width);
  }

  #group(values: Uint32Array | Uint8Array, from: number, to: number, width: number): void {
    const groups = Math.ceil((to - from) / 8);
    this.varint(groups * 2 + 1);
    this.reserve(groups * width + AHEAD);
    const { bytes } = this;
    let at = this.length;
    const end = from + groups * 8;
    if (width === 1) {
      // Levels: a byte for eight of them.
      for (let i = from; i < end; i += 8) {
        let held = 0;
        for (let bit = 0; bit < 8 && i + bit < to; bit++) held |= values[i + bit]! << bit;
        bytes[at++] = held;
      }
      this.length = at;
      return;
    }
    this.length = packed(this.#view, at, values, from, to, width);
    at += groups * width;
    bytes.fill(0, this.length, at);
    this.length = at;
  }

  /** DELTA_BINARY_PACKED of values [from, to) plus `base`. */
  deltas(values: Float64Array | Int32Array, from: number, to: number, base: bigint): void {
    const count = to - from;
    this.varint(DELTA_BLOCK);
    this.varint(MINIBLOCKS);
    this.varint(count);
    this.zigzag(count === 0 ? 0n : base + BigInt(values[from]!));
    const deltas = this.#deltas;
    for (let i = from + 1; i < to; i += DELTA_BLOCK) {
      const n = Math.min(DELTA_BLOCK, to - i);
      let min = Number.POSITIVE_INFINITY;
      let max = Number.NEGATIVE_INFINITY;
      let last = values[i - 1]!;
      for (let j = 0; j < n; j++) {
        const value = values[i + j]!;
        const delta = value - last;
        last = value;
        deltas[j] = delta;
        if (delta < min) min = delta;
        if (delta > max) max = delta;
      }
      this.#zigzagOf(min);
      this.reserve(MINIBLOCKS);
      const widths = this.length;
      this.length += MINIBLOCKS;
      if (min === max) {
        this.bytes.fill(0, widths, this.length);
        continue;
      }
      for (let m = 0; m < MINIBLOCKS; m++) {
        const start = m * MINIBLOCK;
        const end = Math.min(n, start + MINIBLOCK);
        let most = 0;
        for (let j = start; j < end; j++) {
          const delta = deltas[j]! - min;
          deltas[j] = delta;
          if (delta > most) most = delta;
        }
        // Miniblocks behind the last value have width 0 and no bytes.
        const width = start < n ? bitsFor(most) : 0;
        this.bytes[widths + m] = width;
        if (width > 0) this.#miniblock(deltas, start, end, width);
      }
    }
  }

  #miniblock(deltas: Float64Array, start: number, end: number, width: number): void {
    const size = (MINIBLOCK * width) / 8;
    this.reserve(size + AHEAD);
    const after = this.length + size;
    const at = packed(this.#view, this.length, deltas, start, end, width);
    this.bytes.fill(0, at, after);
    this.length = after;
  }
}

/** Bits that are put down at once: with the seven at most that wait, they fit into a word of 32. */
const UNIT_BITS = 24;
const UNIT = 2 ** UNIT_BITS;
/** A word is written wherever one of its bytes is wanted, so that many bytes beyond the end are written too. */
const AHEAD = 4;

/** Values [from, to) as `width` bits each, the lowest first, from `at` on; returns where the byte behind the last bit is. */
function packed(
  view: DataView,
  at: number,
  values: Float64Array | Uint32Array | Uint8Array,
  from: number,
  to: number,
  width: number,
): number {
  let held = 0;
  let bits = 0;
  let next = at;
  for (let i = from; i < to; i++) {
    let rest = values[i]!;
    let left = width;
    for (; left > UNIT_BITS; left -= UNIT_BITS) {
      const part = rest % UNIT;
      rest = (rest - part) / UNIT;
      view.setInt32(next, held | (part << bits), true);
      next += UNIT_BITS / 8;
      held = part >>> (UNIT_BITS - bits);
    }
    held |= rest << bits;
    bits += left;
    view.setInt32(next, held, true);
    next += bits >>> 3;
    held >>>= bits & 0x18;
    bits &= 7;
  }
  return bits > 0 ? next + 1 : next;
}
