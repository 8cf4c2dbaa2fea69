/**
 * A dynamic table (RFC 7541 2.3.2, 4) as an observer has it: what the encoder put in, as far as it was seen. After bytes
 * were lost the entries before are unknown; new ones come at its head and are known again, so the table heals.
 */
import { FieldLine } from '../../model/fields.ts';

/** What an entry costs beyond its octets (RFC 7541 4.1). */
const ENTRY_OVERHEAD = 32;
/** Larger tables are kept up to here; what lies deeper is unknown. */
export const TABLE_BYTES_MAX = 64 << 10;
/** The size that both ends start with (RFC 9113 6.5.2). */
export const TABLE_BYTES_DEFAULT = 4_096;
/** All tables of a pipeline together, as RFC 7541 4.1 counts; beyond it a table forgets what it had. */
const ALL_BYTES_MAX = 64 << 20;
const PLACES_FIRST = 8;

/** What all tables hold. */
export interface TableBudget {
  bytes: number;
}

export class DynamicTable {
  /** Deeper entries than those kept may exist: an index beyond them is unknown and no error. */
  lost: boolean;
  count = 0;
  /**
   * Two for each place: a line, and its value where that is not the line's own (then null). Of an entry whose name was not
   * seen: null, and its size. One array, for there are two tables a connection; the newest is before `#next`.
   */
  #entries: (FieldLine | string | number | null)[] = [];
  #next = 0;
  #size = 0;
  #max = TABLE_BYTES_DEFAULT;

  readonly #budget: TableBudget;

  /** `lost`: the encoder was at work before the first block. */
  constructor(lost: boolean, budget: TableBudget) {
    this.lost = lost;
    this.#budget = budget;
  }

  /** Octets as RFC 7541 4.1 counts them. */
  get size(): number {
    return this.#size;
  }

  get max(): number {
    return this.#max;
  }

  /** The encoder's dynamic table size update. */
  resize(max: number): void {
    if (max > TABLE_BYTES_MAX) this.lost = true;
    this.#max = Math.min(max, TABLE_BYTES_MAX);
    this.#evict(this.#max);
  }

  /** What was there is not known any more. */
  lose(): void {
    this.#evict(0);
    this.lost = true;
  }

  /** Adds a line; `value` is null when it is the line's own. An entry larger than the table empties it (4.4). */
  add(line: FieldLine, value: string | null, valueLength: number): void {
    this.#add(line, value, line.raw.length + valueLength + ENTRY_OVERHEAD);
  }

  /**
   * Adds an entry whose name was not seen, so that the others keep their places. It counts for less than it is: what is
   * kept longer than the encoder does is never asked for.
   */
  addUnknown(valueLength: number): void {
    const size = valueLength + ENTRY_OVERHEAD;
    this.#add(null, size, size);
  }

  #add(line: FieldLine | null, value: string | number | null, size: number): void {
    if (size > this.#max) {
      this.#evict(0);
      return;
    }
    this.#evict(this.#max - size);
    if (this.#budget.bytes + size > ALL_BYTES_MAX) {
      this.lose();
      return;
    }
    if (2 * this.count === this.#entries.length) this.#grow();
    const entries = this.#entries;
    const at = this.#next;
    entries[at] = line;
    if (entries[at + 1] !== value) entries[at + 1] = value;
    this.#next = (at + 2) & (entries.length - 1);
    this.#size += size;
    this.#budget.bytes += size;
    this.count++;
  }

  /** Would an entry of so many octets be kept? */
  holds(nameLength: number, valueLength: number): boolean {
    return nameLength + valueLength + ENTRY_OVERHEAD <= this.#max;
  }

  /** Entry `i` of those that exist, 0 being the newest, with its value; null: its name was not seen. */
  line(i: number): FieldLine | null {
    const entries = this.#entries;
    const at = this.#at(i);
    const line = entries[at] as FieldLine | null;
    if (line === null) return null;
    const value = entries[at + 1] as string | null;
    if (value === null) return line;
    const whole = new FieldLine(line.name, line.raw, value);
    entries[at] = whole;
    entries[at + 1] = null;
    return whole;
  }

  /** The name of entry `i` of those that exist; null: it was not seen. */
  raw(i: number): string | null {
    const line = this.#entries[this.#at(i)] as FieldLine | null | undefined;
    return line?.raw ?? null;
  }

  #at(i: number): number {
    return (this.#next - 2 - 2 * i) & (this.#entries.length - 1);
  }

  #evict(room: number): void {
    const entries = this.#entries;
    while (this.#size > room) {
      const at = this.#at(this.count - 1);
      const size = sizeOf(entries[at] as FieldLine | null, entries[at + 1] as string | number | null);
      this.#size -= size;
      this.#budget.bytes -= size;
      entries[at] = null;
      if (entries[at + 1] !== null) entries[at + 1] = null;
      this.count--;
    }
  }

  /** Called when every place is taken. */
  #grow(): void {
    const old = this.#entries;
    const entries = new Array<FieldLine | string | number | null>(Math.max(2 * PLACES_FIRST, 2 * old.length)).fill(
      null,
    );
    for (let i = 0; i < old.length; i++) entries[i] = old[(this.#next + i) & (old.length - 1)]!;
    this.#entries = entries;
    this.#next = old.length;
  }
}

/** Octets of an entry as RFC 7541 4.1 counts them. */
function sizeOf(line: FieldLine | null, value: string | number | null): number {
  if (line === null) return value as number;
  return (value === null ? line.octets : line.raw.length + (value as string).length) + ENTRY_OVERHEAD;
}
