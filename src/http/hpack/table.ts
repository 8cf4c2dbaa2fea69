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
const PLACES_FIRST = 16;

/** What all tables hold. */
export interface TableBudget {
  bytes: number;
}

export class DynamicTable {
  /** Deeper entries than those kept may exist: an index beyond them is unknown and no error. */
  lost: boolean;
  count = 0;
  /** By place; the newest is before `#next`. A line without value: its value is in `#values`. */
  #lines: (FieldLine | null)[] = [];
  #values: (string | null)[] = [];
  #sizes: number[] = [];
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
    this.#add(null, null, valueLength + ENTRY_OVERHEAD);
  }

  #add(line: FieldLine | null, value: string | null, size: number): void {
    if (size > this.#max) {
      this.#evict(0);
      return;
    }
    this.#evict(this.#max - size);
    if (this.#budget.bytes + size > ALL_BYTES_MAX) {
      this.lose();
      return;
    }
    if (this.count === this.#lines.length) this.#grow();
    const place = this.#next;
    this.#lines[place] = line;
    if (this.#values[place] !== value) this.#values[place] = value;
    this.#sizes[place] = size;
    this.#next = (place + 1) & (this.#lines.length - 1);
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
    const place = (this.#next - 1 - i) & (this.#lines.length - 1);
    const line = this.#lines[place]!;
    const value = this.#values[place]!;
    if (value === null) return line;
    const whole = new FieldLine(line.name, line.raw, value);
    this.#lines[place] = whole;
    this.#values[place] = null;
    return whole;
  }

  /** The name of entry `i` of those that exist; null: it was not seen. */
  raw(i: number): string | null {
    return this.#lines[(this.#next - 1 - i) & (this.#lines.length - 1)]?.raw ?? null;
  }

  #evict(room: number): void {
    while (this.#size > room) {
      const place = (this.#next - this.count) & (this.#lines.length - 1);
      this.#size -= this.#sizes[place]!;
      this.#budget.bytes -= this.#sizes[place]!;
      this.#lines[place] = null;
      if (this.#values[place] !== null) this.#values[place] = null;
      this.count--;
    }
  }

  #grow(): void {
    const old = this.#lines.length;
    const length = old === 0 ? PLACES_FIRST : old * 2;
    const places = Array.from({ length: old }, (_, i) => (this.#next + i) & (old - 1));
    const fill = length - old;
    this.#lines = [...places.map((p) => this.#lines[p]!), ...new Array<null>(fill).fill(null)];
    this.#values = [...places.map((p) => this.#values[p]!), ...new Array<null>(fill).fill(null)];
    this.#sizes = [...places.map((p) => this.#sizes[p]!), ...new Array<number>(fill).fill(0)];
    this.#next = old;
  }
}
