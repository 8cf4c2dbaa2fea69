/** Columns of a Parquet file while their rows come in. All are bounded by whoever fills them (see segment.ts). */
import { ByteValues } from './byte-values.ts';
import { grown } from './grown.ts';
import { bitsFor, type PageBuffer } from './page.ts';

/** Physical types and encodings by their numbers in parquet.thrift. */
export const INT32 = 1;
export const INT64 = 2;
export const BYTE_ARRAY = 6;
export const PLAIN = 0;
export const RLE = 3;
export const DELTA_BINARY_PACKED = 5;
export const DELTA_LENGTH_BYTE_ARRAY = 6;
export const RLE_DICTIONARY = 8;

/** What the bytes mean. */
export type Meaning = 'integer' | 'timestamp_ns' | 'timestamp_ms' | 'text' | 'blob' | 'texts';

export interface Column {
  readonly name: string;
  readonly meaning: Meaning;
  readonly physical: number;
  readonly optional: boolean;
  readonly encoding: number;
  readonly rows: number;
  /** Every row has the same value, or none has one: a page has room for all. */
  readonly uniform: boolean;
  /** Of its values, where these are text of their own; 0: they are small. */
  readonly bytes: number;
  clear(): void;
  /** The dictionary page's body, PLAIN; null: this column has none. Asked once, before the pages. */
  dictionary(page: PageBuffer): number | null;
  /** Body of a data page v1 (levels, then values) of rows [from, to); returns its number of values, nulls included. */
  page(page: PageBuffer, from: number, to: number): number;
  nulls(): number;
  /** Least and largest value in Parquet's plain form; null: not known, or not worth it. */
  bounds(): readonly [Uint8Array, Uint8Array] | null;
}

/** Definition levels of rows: length, then the hybrid of one bit each. */
export function levels(page: PageBuffer, bits: Uint8Array, from: number, to: number): void {
  const at = page.length;
  page.u32(0);
  page.hybrid(bits, from, to, 1);
  page.bytes.writeUInt32LE(page.length - at - 4, at);
}

/** The same of `count` rows that have the same level. */
export function sameLevels(page: PageBuffer, bit: 0 | 1, count: number): void {
  const at = page.length;
  page.u32(0);
  page.same(bit, count, 1);
  page.bytes.writeUInt32LE(page.length - at - 4, at);
}

/** A dictionary page's body: texts in Parquet's plain form; returns how many. */
export function plainTexts(page: PageBuffer, ids: readonly number[], textOf: (id: number) => Uint8Array): number {
  for (const id of ids) {
    const text = textOf(id);
    page.u32(text.length);
    page.append(text, 0, text.length);
  }
  return ids.length;
}

const START_ROWS = 1_024;

/** Whole numbers below 2^53, to which `base` is added. */
export class NumberColumn implements Column {
  readonly name: string;
  readonly meaning: Meaning;
  readonly physical: number;
  readonly optional: boolean;
  readonly encoding = DELTA_BINARY_PACKED;
  /** Added to every value: the anchor of times. */
  base = 0n;
  readonly bytes = 0;
  rows = 0;
  /** Values that are there, without gaps for nulls. */
  #values = new Float64Array(START_ROWS);
  #count = 0;
  #present = new Uint8Array(START_ROWS);

  constructor(
    name: string,
    physical: typeof INT32 | typeof INT64,
    optional = false,
    meaning: 'integer' | 'timestamp_ns' | 'timestamp_ms' = 'integer',
  ) {
    this.name = name;
    this.physical = physical;
    this.optional = optional;
    this.meaning = meaning;
  }

  push(value: number): void {
    if (this.#count === this.#values.length) this.#values = grown(this.#values, START_ROWS);
    this.#values[this.#count++] = value;
    if (this.optional) this.#mark(1);
    this.rows++;
  }

  pushNull(): void {
    this.#mark(0);
    this.rows++;
  }

  #mark(present: number): void {
    if (this.rows >= this.#present.length) this.#present = grown(this.#present, this.rows + 1);
    this.#present[this.rows] = present;
  }

  get uniform(): boolean {
    if (this.#count !== 0 && this.#count !== this.rows) return false;
    for (let i = 1; i < this.#count; i++) if (this.#values[i] !== this.#values[0]) return false;
    return true;
  }

  clear(): void {
    this.rows = 0;
    this.#count = 0;
  }

  dictionary(): null {
    return null;
  }

  page(page: PageBuffer, from: number, to: number): number {
    let start = from;
    let end = to;
    if (this.optional && this.#count === this.rows) sameLevels(page, 1, to - from);
    else if (this.optional) {
      levels(page, this.#present, from, to);
      start = 0;
      for (let i = 0; i < from; i++) start += this.#present[i]!;
      end = start;
      for (let i = from; i < to; i++) end += this.#present[i]!;
    }
    page.deltas(this.#values, start, end, this.base);
    return to - from;
  }

  nulls(): number {
    return this.rows - this.#count;
  }

  bounds(): readonly [Uint8Array, Uint8Array] | null {
    if (this.#count === 0) return null;
    const values = this.#values;
    const count = this.#count;
    let min = values[0]!;
    let max = min;
    for (let i = 1; i < count; i++) {
      const value = values[i]!;
      if (value < min) min = value;
      else if (value > max) max = value;
    }
    return [plainNumber(min, this.physical, this.base), plainNumber(max, this.physical, this.base)];
  }
}

/** `value` plus `base` as PLAIN writes it. */
export function plainNumber(value: number, physical: number, base: bigint): Uint8Array {
  const bytes = Buffer.alloc(physical === INT32 ? 4 : 8);
  if (physical === INT32) bytes.writeInt32LE(value);
  else bytes.writeBigInt64LE(BigInt(value) + base);
  return bytes;
}

/** Longest text worth a bound in the footer. */
const BOUND_BYTES_MAX = 64;
/** More entries than this, and finding the least one costs more than it saves. */
const BOUND_ENTRIES_MAX = 4_096;

/** Texts of the segment's dictionary, by their ids. Id 0 is the empty text, or null in an optional column. */
export class WordColumn implements Column {
  readonly name: string;
  readonly meaning = 'text';
  readonly physical = BYTE_ARRAY;
  readonly optional: boolean;
  readonly encoding = RLE_DICTIONARY;
  readonly bytes = 0;
  rows = 0;
  readonly #text: (id: number) => Uint8Array;
  /** Place in this column's dictionary by id, plus 1; 0: not there. */
  #placeOf = new Uint32Array(START_ROWS);
  #ids: number[] = [];
  #indices = new Uint32Array(START_ROWS);
  #count = 0;
  #present = new Uint8Array(START_ROWS);

  constructor(name: string, text: (id: number) => Uint8Array, optional = false) {
    this.name = name;
    this.#text = text;
    this.optional = optional;
  }

  push(id: number): void {
    const { rows } = this;
    this.rows++;
    if (this.optional) {
      if (rows >= this.#present.length) this.#present = grown(this.#present, rows + 1);
      this.#present[rows] = id === 0 ? 0 : 1;
      if (id === 0) return;
    }
    if (id >= this.#placeOf.length) this.#placeOf = grown(this.#placeOf, id + 1);
    let place = this.#placeOf[id]!;
    if (place === 0) {
      place = this.#ids.push(id);
      this.#placeOf[id] = place;
    }
    if (this.#count === this.#indices.length) this.#indices = grown(this.#indices, START_ROWS);
    this.#indices[this.#count++] = place - 1;
  }

  get uniform(): boolean {
    return this.#ids.length + (this.#count === this.rows ? 0 : 1) <= 1;
  }

  clear(): void {
    this.rows = 0;
    this.#count = 0;
    this.#ids = [];
    this.#placeOf.fill(0);
  }

  dictionary(page: PageBuffer): number {
    return plainTexts(page, this.#ids, this.#text);
  }

  page(page: PageBuffer, from: number, to: number): number {
    let start = from;
    let end = to;
    if (this.optional) {
      levels(page, this.#present, from, to);
      start = 0;
      for (let i = 0; i < from; i++) start += this.#present[i]!;
      end = start;
      for (let i = from; i < to; i++) end += this.#present[i]!;
    }
    const width = bitsFor(Math.max(0, this.#ids.length - 1));
    page.byte(width);
    page.hybrid(this.#indices, start, end, width);
    return to - from;
  }

  nulls(): number {
    return this.rows - this.#count;
  }

  bounds(): readonly [Uint8Array, Uint8Array] | null {
    return wordBounds(this.#ids, this.#text);
  }
}

/** Bounds of a dictionary's texts. */
export function wordBounds(
  ids: readonly number[],
  textOf: (id: number) => Uint8Array,
): readonly [Uint8Array, Uint8Array] | null {
  if (ids.length === 0 || ids.length > BOUND_ENTRIES_MAX) return null;
  let min = textOf(ids[0]!);
  let max = min;
  for (const id of ids) {
    const text = textOf(id);
    if (text.length > BOUND_BYTES_MAX) return null;
    if (Buffer.compare(text, min) < 0) min = text;
    else if (Buffer.compare(text, max) > 0) max = text;
  }
  return [min, max];
}

/** Text (UTF-8) or bytes that are not worth a dictionary. */
export class TextColumn implements Column {
  readonly name: string;
  readonly meaning: 'text' | 'blob';
  readonly physical = BYTE_ARRAY;
  readonly optional = false;
  readonly encoding = DELTA_LENGTH_BYTE_ARRAY;
  readonly values = new ByteValues();
  /** Whether its rows are alike is not looked for, unless all are empty. */
  get uniform(): boolean {
    return this.values.length === 0;
  }

  constructor(name: string, meaning: 'text' | 'blob' = 'text') {
    this.name = name;
    this.meaning = meaning;
  }

  get bytes(): number {
    return this.values.length;
  }

  get rows(): number {
    return this.values.count;
  }

  push(from: Uint8Array, at: number, length: number): void {
    this.values.push(from, at, length);
  }

  /** The same from a view. */
  copy(from: DataView, at: number, length: number): void {
    this.values.copy(from, at, length);
  }

  clear(): void {
    this.values.clear();
  }

  dictionary(): null {
    return null;
  }

  page(page: PageBuffer, from: number, to: number): number {
    this.values.write(page, from, to);
    return to - from;
  }

  nulls(): number {
    return 0;
  }

  bounds(): null {
    return null;
  }
}
