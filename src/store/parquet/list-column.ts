/** A column of lists of texts while its rows come in. */
import { ByteValues } from './byte-values.ts';
import { BYTE_ARRAY, type Column, DELTA_LENGTH_BYTE_ARRAY, levels, sameLevels } from './columns.ts';
import { grown, release } from './grown.ts';
import type { PageBuffer } from './page.ts';

const START_ROWS = 1_024;
/** Entries of a page of lists whose memory is kept for the next: more than a usual one has. */
const KEPT_ENTRIES_MAX = 1 << 18;

/** Levels of a page of lists while it is written. */
let repetition = new Uint8Array(START_ROWS);
let definition = new Uint8Array(START_ROWS);

/** A list of texts in each row; never null, perhaps empty. */
export class TextsColumn implements Column {
  readonly name: string;
  readonly meaning = 'texts';
  readonly physical = BYTE_ARRAY;
  readonly optional = false;
  readonly encoding = DELTA_LENGTH_BYTE_ARRAY;
  rows = 0;
  /** The texts of all rows. */
  readonly values = new ByteValues();
  /** First value of each row. */
  #valueAt = new Uint32Array(START_ROWS);
  #empty = 0;

  constructor(name: string) {
    this.name = name;
  }

  get bytes(): number {
    // A flood of empty ones has bytes in a page too: the length and two levels of each.
    return this.values.length + this.values.count;
  }

  get uniform(): boolean {
    return this.#empty === this.rows;
  }

  /** Begins a row of `count` values: each is pushed next. */
  row(count: number): void {
    if (this.rows === this.#valueAt.length) this.#valueAt = grown(this.#valueAt, this.rows + 1);
    this.#valueAt[this.rows++] = this.values.count;
    if (count === 0) this.#empty++;
  }

  push(from: Uint8Array, at: number, length: number): void {
    this.values.push(from, at, length);
  }

  /** A row of `count` values, each behind its length; returns where the last one ends. */
  copyRow(from: DataView, at: number, count: number): number {
    this.row(count);
    return this.values.copyCounted(from, at, count);
  }

  clear(): void {
    this.rows = 0;
    this.#empty = 0;
    this.values.clear();
  }

  dictionary(): null {
    return null;
  }

  page(page: PageBuffer, from: number, to: number): number {
    const begin = this.#begin(from);
    const end = this.#begin(to);
    const most = end - begin + (to - from);
    if (most > repetition.length) {
      repetition = grown(repetition, most);
      definition = grown(definition, most);
    }
    // Repetition 0: a row begins. Definition 1: a value, 0: the list is empty.
    const anyEmpty = this.#empty > 0;
    repetition.fill(1, 0, most);
    if (anyEmpty) definition.fill(1, 0, most);
    let entries = 0;
    for (let row = from; row < to; row++) {
      const values = this.#begin(row + 1) - this.#valueAt[row]!;
      repetition[entries] = 0;
      if (values === 0) definition[entries] = 0;
      entries += Math.max(1, values);
    }
    levels(page, repetition, 0, entries);
    if (anyEmpty) levels(page, definition, 0, entries);
    else sameLevels(page, 1, entries);
    this.values.write(page, begin, end);
    if (repetition.length > KEPT_ENTRIES_MAX) {
      release(repetition);
      release(definition);
      repetition = new Uint8Array(START_ROWS);
      definition = new Uint8Array(START_ROWS);
    }
    return entries;
  }

  nulls(): number {
    return this.#empty;
  }

  bounds(): null {
    return null;
  }

  #begin(row: number): number {
    return row < this.rows ? this.#valueAt[row]! : this.values.count;
  }
}
