import { grown, grownBytes, release } from './grown.ts';
import type { PageBuffer } from './page.ts';

const START_VALUES = 1_024;
const START_BYTES = 1 << 14;
/** Up to here a loop is faster than a call into the runtime. */
const SHORT = 64;
const WORD = 4;
/** The same for a loop over words. */
const SHORT_WORDS = 256;
const KEPT_BYTES_MAX = 4 << 20;
/** A usual segment has this many. */
const KEPT_VALUES_MAX = 1 << 20;

/** Bytes of many values, one behind the other, and their lengths. */
export class ByteValues {
  bytes: Buffer = Buffer.allocUnsafeSlow(START_BYTES);
  length = 0;
  lengths = new Int32Array(START_VALUES);
  count = 0;
  /** Of `bytes`. */
  #view = new DataView(this.bytes.buffer);

  push(from: Uint8Array, at: number, length: number): void {
    const end = this.length + length;
    if (end > this.bytes.length) this.#have(grownBytes(this.bytes, this.length, end));
    if (length <= SHORT) {
      const { bytes } = this;
      for (let i = at, to = this.length; to < end; i++, to++) bytes[to] = from[i]!;
    } else this.bytes.set(from.subarray(at, at + length), this.length);
    this.length = end;
    if (this.count === this.lengths.length) this.lengths = grown(this.lengths, this.count + 1);
    this.lengths[this.count++] = length;
  }

  /** The same, word by word: what lies in [at, at + length + WORD) can be read. */
  copy(from: DataView, at: number, length: number): void {
    if (length > SHORT_WORDS || at + length + WORD > from.byteLength) {
      this.push(new Uint8Array(from.buffer, from.byteOffset, from.byteLength), at, length);
      return;
    }
    const end = this.length + length;
    if (end + WORD > this.bytes.length) this.#have(grownBytes(this.bytes, this.length, end + WORD));
    const view = this.#view;
    // What is written beyond the end is written over by the next.
    for (let i = at, to = this.length; to < end; i += WORD, to += WORD) view.setInt32(to, from.getInt32(i, true), true);
    this.length = end;
    if (this.count === this.lengths.length) this.lengths = grown(this.lengths, this.count + 1);
    this.lengths[this.count++] = length;
  }

  #have(bytes: Buffer): void {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** `count` values, each behind its length as a u32, little endian; returns where the last one ends. */
  copyCounted(from: DataView, at: number, count: number): number {
    let next = at;
    for (let n = 0; n < count; n++) {
      const length = from.getUint32(next, true);
      const begin = next + 4;
      next = begin + length;
      const to = this.length;
      const end = to + length;
      const view = this.#view;
      if (
        length > SHORT_WORDS ||
        next + WORD > from.byteLength ||
        end + WORD > view.byteLength ||
        this.count === this.lengths.length
      ) {
        this.copy(from, begin, length);
        continue;
      }
      for (let i = 0; i < length; i += WORD) view.setInt32(to + i, from.getInt32(begin + i, true), true);
      this.length = end;
      this.lengths[this.count++] = length;
    }
    return next;
  }

  clear(): void {
    this.length = 0;
    this.count = 0;
    // One huge segment must not keep its memory for ever.
    if (this.bytes.length > KEPT_BYTES_MAX) {
      release(this.bytes);
      this.#have(Buffer.allocUnsafeSlow(START_BYTES));
    }
    if (this.lengths.length > KEPT_VALUES_MAX) {
      release(this.lengths);
      this.lengths = new Int32Array(START_VALUES);
    }
  }

  /** DELTA_LENGTH_BYTE_ARRAY of values [from, to). */
  write(page: PageBuffer, from: number, to: number): void {
    let start = 0;
    for (let i = 0; i < from; i++) start += this.lengths[i]!;
    let end = start;
    for (let i = from; i < to; i++) end += this.lengths[i]!;
    page.deltas(this.lengths, from, to, 0n);
    page.append(this.bytes, start, end);
  }
}
