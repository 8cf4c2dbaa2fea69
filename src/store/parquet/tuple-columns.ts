/** Columns of what rows share with many others (tuples.ts): nothing is kept for a row but its tuple, values are put down when a page is written. */
import {
  BYTE_ARRAY,
  type Column,
  DELTA_BINARY_PACKED,
  type INT32,
  type INT64,
  levels,
  plainNumber,
  plainTexts,
  RLE_DICTIONARY,
  sameLevels,
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
    return plainTexts(page, this.#words, this.#text);
  }

  page(page: PageBuffer, from: number, to: number): number {
    if (this.uniform) return this.#samePage(page, to - from);
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

  /** A page of rows that all have the only word there is, or none. */
  #samePage(page: PageBuffer, rows: number): number {
    if (this.optional) sameLevels(page, this.#anyNull ? 0 : 1, rows);
    page.byte(0);
    if (!this.#anyNull) page.same(0, rows, 0);
    return rows;
  }

  nulls(): number {
    this.#look();
    if (!this.#anyNull) return 0;
    if (this.uniform) return this.rows;
    return this.#tuples.rowsOf((tuple) => this.#placeOf[tuple]! < 0);
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
  /** By tuple; NaN: null. */
  #numberOf = new Float64Array(64);
  /** Tuples that were looked at. */
  #seen = 0;
  #least = Number.POSITIVE_INFINITY;
  #most = Number.NEGATIVE_INFINITY;
  #anyNull = false;

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
    this.#look();
    return this.#anyNull ? this.#least > this.#most : this.#least >= this.#most;
  }

  clear(): void {
    this.#seen = 0;
    this.#least = Number.POSITIVE_INFINITY;
    this.#most = Number.NEGATIVE_INFINITY;
    this.#anyNull = false;
  }

  dictionary(): null {
    return null;
  }

  page(page: PageBuffer, from: number, to: number): number {
    this.#look();
    const rows = to - from;
    if (numbers.length < rows) numbers = grown(numbers, rows);
    let count = rows;
    if (this.uniform) {
      if (this.optional) sameLevels(page, this.#anyNull ? 0 : 1, rows);
      if (this.#anyNull) count = 0;
      else numbers.fill(this.#least, 0, rows);
    } else count = this.#numbers(page, from, to);
    page.deltas(numbers, 0, count, 0n);
    return rows;
  }

  /** Levels of rows [from, to) into the page, and their numbers into `numbers`; returns how many there are. */
  #numbers(page: PageBuffer, from: number, to: number): number {
    const { of } = this.#tuples;
    const numberOf = this.#numberOf;
    if (!this.#anyNull) {
      if (this.optional) sameLevels(page, 1, to - from);
      for (let i = from; i < to; i++) numbers[i - from] = numberOf[of[i]!]!;
      return to - from;
    }
    if (present.length < to - from) present = grown(present, to - from);
    let count = 0;
    for (let i = from; i < to; i++) {
      const value = numberOf[of[i]!]!;
      const there = !Number.isNaN(value);
      present[i - from] = there ? 1 : 0;
      if (there) numbers[count++] = value;
    }
    levels(page, present, 0, to - from);
    return count;
  }

  nulls(): number {
    this.#look();
    if (!this.#anyNull) return 0;
    if (this.uniform) return this.rows;
    return this.#tuples.rowsOf((tuple) => Number.isNaN(this.#numberOf[tuple]));
  }

  bounds(): readonly [Uint8Array, Uint8Array] | null {
    this.#look();
    if (this.#least > this.#most) return null;
    return [plainNumber(this.#least, this.physical, 0n), plainNumber(this.#most, this.physical, 0n)];
  }

  /** At tuples that have come since. */
  #look(): void {
    const { count } = this.#tuples;
    if (this.#numberOf.length < count) this.#numberOf = grown(this.#numberOf, count);
    for (; this.#seen < count; this.#seen++) {
      const value = this.#number(this.#seen);
      this.#numberOf[this.#seen] = value ?? Number.NaN;
      if (value === null) {
        this.#anyNull = true;
        continue;
      }
      if (value < this.#least) this.#least = value;
      if (value > this.#most) this.#most = value;
    }
  }
}
