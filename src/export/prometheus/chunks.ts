/**
 * The bytes of an answer, in chunks. In text, what a series' lines share is made bytes once and copied from its first line, and counts are
 * written digit by digit: a scrape of a hundred thousand lines makes no strings but of other numbers.
 */

const CHUNK_FIRST = 1 << 10;
const CHUNK_MAX = 64 << 10;
/** UTF-8 of a UTF-16 code unit. */
export const UTF8_MAX = 3;
/** A number as JavaScript writes it. */
export const NUMBER_MAX = 24;
const COUNT_MAX = 0xffff_ffff;
const ZERO = 0x30;

/** Bytes of a chunk, which stay as they are. */
export interface Piece {
  readonly chunk: Uint8Array;
  readonly from: number;
  readonly to: number;
}

export class Chunks {
  readonly #full: Buffer[] = [];
  #chunk = Buffer.alloc(0);
  /** Where the next byte goes in the current chunk. */
  at = 0;

  get empty(): boolean {
    return this.#full.length === 0 && this.at === 0;
  }

  /** Bytes that were written. */
  get length(): number {
    return this.#full.reduce((sum, { length }) => sum + length, this.at);
  }

  /** The next `bytes` bytes will be in one chunk. To be called before the methods below, with a bound on what they write. */
  room(bytes: number): void {
    if (this.at + bytes <= this.#chunk.length) return;
    if (this.at > 0) this.#full.push(this.#chunk.subarray(0, this.at));
    const size = Math.min(CHUNK_MAX, Math.max(CHUNK_FIRST, 4 * this.#chunk.length));
    this.#chunk = Buffer.allocUnsafe(Math.max(size, bytes));
    this.at = 0;
  }

  text(text: string): void {
    this.at += this.#chunk.write(text, this.at);
  }

  /** A few bytes. */
  bytes(bytes: Uint8Array): void {
    const chunk = this.#chunk;
    let at = this.at;
    for (let i = 0; i < bytes.length; i++) chunk[at++] = bytes[i]!;
    this.at = at;
  }

  /** What was written from `from` to `to`, since room() was called, once more. */
  again(from: number, to: number): void {
    this.#chunk.copyWithin(this.at, from, to);
    this.at += to - from;
  }

  /** Many bytes. */
  block(bytes: Uint8Array): void {
    this.#chunk.set(bytes, this.at);
    this.at += bytes.length;
  }

  /** What was written from `from` on, since room() was called. */
  piece(from: number): Piece {
    return { chunk: this.#chunk, from, to: this.at };
  }

  /** Calls room() itself. @returns where it begins. */
  copy({ chunk, from, to }: Piece): number {
    this.room(to - from);
    const { at } = this;
    this.block(chunk.subarray(from, to));
    return at;
  }

  number(value: number): void {
    if (!(Number.isInteger(value) && value >= 0 && value <= COUNT_MAX) || Object.is(value, -0)) {
      this.text(`${value}`);
      return;
    }
    const chunk = this.#chunk;
    let digits = 1;
    for (let bound = 10; value >= bound; bound *= 10) digits++;
    let rest = value >>> 0;
    for (let i = this.at + digits - 1; i >= this.at; i--) {
      const next = (rest / 10) >>> 0;
      chunk[i] = ZERO + rest - next * 10;
      rest = next;
    }
    this.at += digits;
  }

  /** What was written; nothing may be added afterwards. */
  *chunks(): Iterable<Buffer> {
    yield* this.#full;
    if (this.at > 0) yield this.#chunk.subarray(0, this.at);
  }
}
