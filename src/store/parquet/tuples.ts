/**
 * What many rows have in common, kept once: rows whose records agree in some words (32 bits each) have the same tuple, and a row is its tuple's number.
 * The columns made of these words (tuple-columns.ts) cost nothing until they are written.
 */
import { grown, release } from './grown.ts';

const START_ROWS = 1_024;
const START_TUPLES = 64;
/** A direct-mapped table: rows that differ all the time make tuples anew instead of a larger table. */
const SLOTS = 4_096;
/** A flood of tuples must not keep its memory for ever. */
const KEPT_TUPLES_MAX = 1 << 14;

export class Tuples {
  rows = 0;
  /** Tuples so far; some may be equal. */
  count = 0;
  /** Tuple of each row. */
  of = new Uint32Array(START_ROWS);
  readonly #offsets: readonly number[];
  readonly #width: number;
  #words: Uint32Array;
  readonly #slots = new Uint32Array(SLOTS);
  readonly #candidate: Uint32Array;

  /** Where the words lie in a record, little endian. */
  constructor(offsets: readonly number[]) {
    this.#offsets = offsets;
    this.#width = offsets.length;
    this.#words = new Uint32Array(START_TUPLES * offsets.length);
    this.#candidate = new Uint32Array(offsets.length);
  }

  /** Takes the row whose record is at `at`. */
  push(view: DataView, at: number): void {
    const width = this.#width;
    const candidate = this.#candidate;
    const offsets = this.#offsets;
    let hash = 0;
    for (let i = 0; i < width; i++) {
      const word = view.getUint32(at + offsets[i]!, true);
      candidate[i] = word;
      hash = Math.imul(hash ^ word, 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const slot = hash & (SLOTS - 1);
    let tuple = this.#slots[slot]! - 1;
    if (tuple < 0 || !this.#is(tuple)) {
      tuple = this.#add();
      this.#slots[slot] = tuple + 1;
    }
    if (this.rows === this.of.length) this.of = grown(this.of, START_ROWS);
    this.of[this.rows++] = tuple;
  }

  /** Word number `place` (by the order of the offsets) of a tuple. */
  word(tuple: number, place: number): number {
    return this.#words[tuple * this.#width + place]!;
  }

  /** How many rows have a tuple that is so. */
  rowsOf(is: (tuple: number) => boolean): number {
    let rows = 0;
    for (let i = 0; i < this.rows; i++) if (is(this.of[i]!)) rows++;
    return rows;
  }

  clear(): void {
    this.rows = 0;
    this.count = 0;
    this.#slots.fill(0);
    if (this.#words.length <= KEPT_TUPLES_MAX * this.#width) return;
    release(this.#words);
    this.#words = new Uint32Array(START_TUPLES * this.#width);
  }

  #is(tuple: number): boolean {
    const at = tuple * this.#width;
    for (let i = 0; i < this.#width; i++) if (this.#words[at + i] !== this.#candidate[i]) return false;
    return true;
  }

  #add(): number {
    const at = this.count * this.#width;
    if (at === this.#words.length) this.#words = grown(this.#words, at + this.#width);
    this.#words.set(this.#candidate, at);
    return this.count++;
  }
}
