/** The texts of a segment by their numbers, in one piece of memory: a flood of new ones makes no objects. */
import { grown, grownBytes, release } from './parquet/grown.ts';

const START_BYTES = 1 << 14;
const START_WORDS = 1_024;
/** One segment with many words must not keep its memory for ever. */
const KEPT_BYTES_MAX = 1 << 20;

export class SegmentWords {
  #bytes = Buffer.allocUnsafeSlow(START_BYTES);
  #length = 0;
  /** Where each word ends; number 0 is the empty text. */
  #ends = new Uint32Array(START_WORDS);
  #count = 1;

  /** Bytes of a word; none when there is no such number. Valid until the segment is cleared. */
  readonly text = (id: number): Uint8Array =>
    id > 0 && id < this.#count ? this.#bytes.subarray(this.#ends[id - 1]!, this.#ends[id]!) : NOTHING;

  /** Copies a word; returns its number: 1, 2, ... */
  add(from: Uint8Array, at: number, length: number): number {
    const end = this.#length + length;
    if (end > this.#bytes.length) this.#bytes = grownBytes(this.#bytes, this.#length, end);
    this.#bytes.set(from.subarray(at, at + length), this.#length);
    this.#length = end;
    if (this.#count === this.#ends.length) this.#ends = grown(this.#ends, this.#count + 1);
    this.#ends[this.#count] = end;
    return this.#count++;
  }

  clear(): void {
    this.#length = 0;
    this.#count = 1;
    if (this.#bytes.length <= KEPT_BYTES_MAX) return;
    release(this.#bytes);
    this.#bytes = Buffer.allocUnsafeSlow(START_BYTES);
  }
}

const NOTHING = new Uint8Array(0);
