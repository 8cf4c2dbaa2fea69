import { Memory } from '../base/memory.ts';

/** Id of every name beyond the table's bound: such names compare by text. */
export const OTHER_NAME_ID = 0;

/**
 * A header field name, interned: compare by identity or `id`. Names beyond the table's bound share `OTHER_NAME_ID`
 * but keep their own text.
 */
export class HeaderName {
  readonly id: number;
  /** Lower case, latin1. */
  readonly lower: string;
  /** What the redaction policy says of the name alone; 0 until `redact/` has looked. Owned by redact/. */
  policy = 0;

  constructor(id: number, lower: string) {
    this.id = id;
    this.lower = lower;
  }
}

const COLON = 58;

/** Field lines made so far. */
let lines = 0;

/**
 * A field line that was seen before and is shared by all blocks that repeat it, or (value === null) a name whose value
 * differs from block to block and lies in the block's memory. The cache makes a repeated line
 * cost nothing to redact; the header log keeps the text of whole sequences of lines.
 */
export class FieldLine {
  /** Unique in the process: stands for this line where sequences of lines are compared. */
  readonly serial = ++lines;
  readonly name: HeaderName;
  /** The name in the case that was sent. */
  readonly raw: string;
  /** latin1, whitespace trimmed, folding replaced by one space; null: look in the block. */
  readonly value: string | null;
  /** Characters of both. */
  readonly octets: number;
  /** HTTP/2: a pseudo-header field. */
  readonly pseudo: boolean;
  /** Which redaction policy filled the cache below; 0: none. Owned by redact/, which empties it when it is another's. */
  policy = 0;
  /** Redacted value; owned by redact/. Only used when `value` is not null. */
  redacted: string | null = null;
  /** Which KeyedHash filled the two lanes below; 0: none. Only used when `value` is not null. */
  hashedBy = 0;
  hashLow = 0;
  hashHigh = 0;
  constructor(name: HeaderName, raw: string, value: string | null) {
    this.name = name;
    this.raw = raw;
    this.value = value;
    this.octets = raw.length + (value === null ? 0 : value.length);
    this.pseudo = raw.charCodeAt(0) === COLON;
  }
}

const NOTHING = Memory.alloc(0);

/**
 * The header fields (or trailers) of one message in wire order, duplicates kept: a struct of arrays. Values are decoded
 * only when somebody asks. Reused: reset by `clear()`.
 */
export class FieldBlock {
  /** What `memory` is while the block needs none. */
  static readonly NO_MEMORY = NOTHING;

  memory: Memory = NOTHING;
  readonly lines: FieldLine[] = [];
  /** Where line i's value lies in `memory`; used when `lines[i].value === null`. */
  readonly valueOffset: number[] = [];
  readonly valueLength: number[] = [];
  count = 0;

  clear(): void {
    this.count = 0;
  }

  push(line: FieldLine, valueOffset: number, valueLength: number): void {
    const i = this.count++;
    this.lines[i] = line;
    this.valueOffset[i] = valueOffset;
    this.valueLength[i] = valueLength;
  }

  /** Takes the lines of `from` and the memory they lie in; gives its own memory for it. `this` has no lines yet. */
  takeFrom(from: FieldBlock): void {
    for (let i = 0; i < from.count; i++) this.push(from.lines[i]!, from.valueOffset[i]!, from.valueLength[i]!);
    const { memory } = this;
    this.memory = from.memory;
    from.memory = memory;
    from.clear();
  }

  name(i: number): HeaderName {
    return this.lines[i]!.name;
  }

  /** Value of line i as latin1 code points (RFC 9110 5.5: opaque bytes stay what they are). */
  value(i: number): string {
    const shared = this.lines[i]!.value;
    if (shared !== null) return shared;
    const from = this.valueOffset[i]!;
    return this.memory.buf.latin1Slice(from, from + this.valueLength[i]!);
  }

  /** Index of the first line named `lower` at or after `from`, or -1. */
  find(lower: string, from = 0): number {
    for (let i = from; i < this.count; i++) if (this.lines[i]!.name.lower === lower) return i;
    return -1;
  }

  /** Value of the first line named `lower`, or null. */
  get(lower: string): string | null {
    const i = this.find(lower);
    return i < 0 ? null : this.value(i);
  }
}
