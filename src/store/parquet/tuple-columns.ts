/** Columns of what rows share with many others (tuples.ts): nothing is kept for a row but its tuple, values are put down when a page is written. */
import {
  BYTE_ARRAY,
  type Column,
  DELTA_BINARY_PACKED,
  type INT32,
  type INT64,
  levels,
  plainNumber,
  RLE_DICTIONARY,
  wordBounds,
} from './columns.ts';
import { grown } from './grown.ts';
import { bitsFor, type PageBuffer } from './page.ts';
import type { Tuples } from './tuples.ts';

/** Rows of a page while it is written; pages have a bound (file.ts), and so have these. */
let present = new Uint8Array(1_024);
let indices = new Uint32Array(1_024);
let numbers = new Float64Array(1_024);

/** Texts of the segment's dictionary: word 0 is the empty text, or null in an optional column. */
export class TupleWords implements Column {
  readonly name: string;
  readonly meaning = 'text';
  readonly physical = BYTE_ARRAY;
  readonly optional: boolean;
  readonly encoding = RLE_DICTIONARY;
  readonly bytes = 0;
  readonly #tuples: Tuples;
  readonly #word: (tuple: number) => number;
  readonly #text: (word: number) => Uint8Array;
  /** The words in the column, each once, and by tuple the place of its word among them; -1: null. */
  #words: number[] = [];
  #placeOf = new Int32Array(64);
  /** Tuples that were looked at. */
  #seen = 0;
  #anyNull = false;

  /** `word`: of a tuple; `text`: of a word. */
  constructor(
    name: string,
    tuples: Tuples,
    word: (tuple: number) => number,
    text: (word: number) => Uint8Array,
    optional = false,
  ) {
    this.name = name;
    this.#tuples = tuples;
    this.#word = word;
    this.#text = text;
    this.optional = optional;
  }

  get rows(): number {
    return this.#tuples.rows;
  }

  /** The texts that are in it, each once. */
  get texts(): readonly Uint8Array[] {
    this.#look();
    return this.#words.map(this.#text);
  }

  get uniform(): boolean {
    this.#look();
    return this.#words.length + (this.#anyNull ? 1 : 0) <= 1;
  }

  clear(): void {
    this.#words = [];
    this.#seen = 0;
    this.#anyNull = false;
  }

  dictionary(page: PageBuffer): number {
    this.#look();
    for (const word of this.#words) {
      const text = this.#text(word);
      page.u32(text.length);
      page.append(text, 0, text.length);
    }
    return this.#words.length;
  }

  page(page: PageBuffer, from: number, to: number): number {
    const { of } = this.#tuples;
    const placeOf = this.#placeOf;
    if (indices.length < to - from) indices = grown(indices, to - from);
    let count = 0;
    if (this.optional) {
      if (present.length < to - from) present = grown(present, to - from);
      for (let i = from; i < to; i++) {
        const place = placeOf[of[i]!]!;
        present[i - from] = place < 0 ? 0 : 1;
        if (place >= 0) indices[count++] = place;
      }
      levels(page, present, 0, to - from);
    } else for (let i = from; i < to; i++) indices[count++] = placeOf[of[i]!]!;
    const width = bitsFor(Math.max(0, this.#words.length - 1));
    page.byte(width);
    page.hybrid(indices, 0, count, width);
    return to - from;
  }

  nulls(): number {
    this.#look();
    if (!this.#anyNull) return 0;
    const { of, rows } = this.#tuples;
    let nulls = 0;
    for (let i = 0; i < rows; i++) if (this.#placeOf[of[i]!]! < 0) nulls++;
    return nulls;
  }

  bounds(): readonly [Uint8Array, Uint8Array] | null {
    return wordBounds(this.#words, this.#text);
  }

  /** At tuples that have come since. */
  #look(): void {
    const { count } = this.#tuples;
    if (this.#seen === count) return;
    if (this.#placeOf.length < count) this.#placeOf = grown(this.#placeOf, count);
    const places = new Map(this.#words.map((word, place) => [word, place]));
    for (; this.#seen < count; this.#seen++) {
      const word = this.#word(this.#seen);
      let place = -1;
      if (word !== 0 || !this.optional) {
        place = places.get(word) ?? this.#words.push(word) - 1;
        places.set(word, place);
      } else this.#anyNull = true;
      this.#placeOf[this.#seen] = place;
    }
  }
}

/** Whole numbers below 2^53. */
export class TupleNumbers implements Column {
  readonly name: string;
  readonly meaning = 'integer';
  readonly physical: number;
  readonly optional: boolean;
  readonly encoding = DELTA_BINARY_PACKED;
  readonly bytes = 0;
  readonly #tuples: Tuples;
  readonly #number: (tuple: number) => number | null;

  /** `number`: of a tuple; null only in an optional column. */
  constructor(
    name: string,
    physical: typeof INT32 | typeof INT64,
    tuples: Tuples,
    number: (tuple: number) => number | null,
    optional = false,
  ) {
    this.name = name;
    this.physical = physical;
    this.#tuples = tuples;
    this.#number = number;
    this.optional = optional;
  }

  get rows(): number {
    return this.#tuples.rows;
  }

  get uniform(): boolean {
    const { count } = this.#tuples;
    for (let tuple = 1; tuple < count; tuple++) if (this.#number(tuple) !== this.#number(0)) return false;
    return true;
  }

  clear(): void {}

  dictionary(): null {
    return null;
  }

  page(page: PageBuffer, from: number, to: number): number {
    const { of } = this.#tuples;
    if (numbers.length < to - from) numbers = grown(numbers, to - from);
    if (present.length < to - from) present = grown(present, to - from);
    let count = 0;
    for (let i = from; i < to; i++) {
      const value = this.#number(of[i]!);
      present[i - from] = value === null ? 0 : 1;
      if (value !== null) numbers[count++] = value;
    }
    if (this.optional) levels(page, present, 0, to - from);
    page.deltas(numbers, 0, count, 0n);
    return to - from;
  }

  nulls(): number {
    if (!this.optional) return 0;
    const { of, rows } = this.#tuples;
    let nulls = 0;
    for (let i = 0; i < rows; i++) if (this.#number(of[i]!) === null) nulls++;
    return nulls;
  }

  bounds(): readonly [Uint8Array, Uint8Array] | null {
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (let tuple = 0; tuple < this.#tuples.count; tuple++) {
      const value = this.#number(tuple);
      if (value === null) continue;
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
    return min > max ? null : [plainNumber(min, this.physical, 0n), plainNumber(max, this.physical, 0n)];
  }
}
