/**
 * What stays the same in a direction's heads: lines that follow one another each time are compared as one, eight bytes at a time,
 * and taken together. Directions that send the same lines share one outline, and remember its place only (as lines.ts has it).
 */
import type { FieldBlock, FieldLine } from '../../model/fields.ts';
import { type Entry, KIND_LINE, ROLE_NONE } from '../lines.ts';
import { type Learnt, POSITIONS_MAX } from './learnt.ts';

/** Outlines of all connections; a power of two. */
const OUTLINES_MAX = 512;
/** Bytes of the lines that an outline joins. */
const OUTLINE_BYTES_MAX = 2_048;

/** Two or more known lines, one behind the other. */
export class Run {
  readonly count: number;
  readonly length: number;
  /** Its last line. */
  readonly last: Entry;
  /** Which of its lines mean something to framing, and what. */
  readonly meant: readonly number[];
  readonly roles: readonly number[];
  /** Where the values lie, from the run's first byte. */
  readonly valueAt: readonly number[];
  readonly valueLength: readonly number[];
  readonly #lines: readonly FieldLine[];
  /** Its bytes as little-endian doubles; the last one are its last eight bytes. */
  readonly #words: readonly number[];

  /** `entries`: of kind KIND_LINE; `words`: of their bytes. */
  constructor(entries: readonly Entry[], words: readonly number[]) {
    const starts: number[] = [];
    let length = 0;
    for (const entry of entries) {
      starts.push(length);
      length += entry.length;
    }
    this.count = entries.length;
    this.length = length;
    this.last = entries.at(-1)!;
    this.meant = [...entries.keys()].filter((i) => entries[i]!.role !== ROLE_NONE);
    this.roles = this.meant.map((i) => entries[i]!.role);
    this.valueAt = entries.map((entry, i) => starts[i]! + entry.valueAt);
    this.valueLength = entries.map((entry) => entry.valueLength);
    this.#lines = entries.map((entry) => entry.line!);
    this.#words = words;
  }

  /** Are the `length` bytes at `view[at]`, which must be there, these lines? */
  isAt(view: DataView, at: number): boolean {
    const words = this.#words;
    const whole = words.length - 1;
    let o = at;
    for (let i = 0; i < whole; i++, o += 8) if (view.getFloat64(o, true) !== words[i]) return false;
    return view.getFloat64(at + this.length - 8, true) === words[whole];
  }

  /** Adds its lines to `block`; it lies at `offset`. */
  push(block: FieldBlock, offset: number): void {
    const { count, valueAt, valueLength } = this;
    const lines = this.#lines;
    for (let i = 0; i < count; i++) block.push(lines[i]!, offset + valueAt[i]!, valueLength[i]!);
  }
}

/** The runs of a list of predicted lines, each at the position where it begins. */
class Outline {
  readonly runs: readonly (Run | null)[];
  readonly serial: number;
  /** The line at each position, null: none that stays. */
  readonly #entries: readonly (Entry | null)[];

  constructor(entries: readonly (Entry | null)[], serial: number) {
    this.#entries = entries;
    this.serial = serial;
    this.runs = runsOf(entries);
  }

  joins(entries: readonly (Entry | null)[]): boolean {
    return this.#entries.length === entries.length && this.#entries.every((entry, i) => entry === entries[i]);
  }
}

const NO_RUNS: readonly (Run | null)[] = [];

/** The outlines of all directions. One that is not known any more is made again. */
export class Outlines {
  readonly #entries: readonly Entry[];
  readonly #known: Outline[] = new Array<Outline>(OUTLINES_MAX).fill(new Outline([], -1));
  #made = 0;

  /** `entries`: of the line table. */
  constructor(entries: readonly Entry[]) {
    this.#entries = entries;
  }

  /** The runs in what is predicted; none while the direction has not settled. */
  runs(learnt: Learnt): readonly (Run | null)[] {
    if (learnt.sections >= learnt.settlesAt) this.#settle(learnt);
    if (learnt.outlineSerial < 0) return NO_RUNS;
    const outline = this.#known[learnt.outline]!;
    if (outline.serial === learnt.outlineSerial) return outline.runs;
    learnt.unsettle();
    return NO_RUNS;
  }

  #settle(learnt: Learnt): void {
    const staying: (Entry | null)[] = [];
    const { predicted, changing } = learnt;
    let hash = 0;
    for (let i = 0; i < predicted.length && i < POSITIONS_MAX; i++) {
      const entry = this.#entries[predicted[i]!]!;
      const stays = entry.kind === KIND_LINE && ((changing >> i) & 1) === 0;
      staying.push(stays ? entry : null);
      hash = Math.imul(hash ^ (stays ? entry.hash : 1), 0x9e3779b1);
      hash ^= hash >>> 15;
    }
    const place = hash & (OUTLINES_MAX - 1);
    if (!this.#known[place]!.joins(staying)) this.#known[place] = new Outline(staying, ++this.#made);
    learnt.settled(place, this.#known[place]!.serial);
  }
}

function runsOf(entries: readonly (Entry | null)[]): (Run | null)[] {
  const runs: (Run | null)[] = entries.map(() => null);
  let left = OUTLINE_BYTES_MAX;
  for (let from = 0; from < entries.length; ) {
    const lines: Entry[] = [];
    for (const entry of entries.slice(from)) {
      if (entry === null || entry.length > left) break;
      lines.push(entry);
      left -= entry.length;
    }
    const words = lines.length < 2 ? null : wordsOf(lines);
    if (words !== null) runs[from] = new Run(lines, words);
    from += Math.max(1, lines.length);
  }
  return runs;
}

/** The bytes of `lines` as Run has them; null: they cannot be compared so, because a word is no number, or a zero, which has two forms. */
function wordsOf(lines: readonly Entry[]): number[] | null {
  const bytes = new DataView(new ArrayBuffer(OUTLINE_BYTES_MAX + Float64Array.BYTES_PER_ELEMENT));
  let length = 0;
  for (const line of lines) {
    // The zeros behind a line's last byte make room for the next line.
    for (let i = 0; i < line.words.length; i++) bytes.setInt32(length + 4 * i, line.words[i]!, true);
    length += line.length;
  }
  const words: number[] = [];
  for (let at = 0; at + 8 <= length; at += 8) words.push(bytes.getFloat64(at, true));
  words.push(bytes.getFloat64(length - 8, true));
  return words.some((word) => Number.isNaN(word) || word === 0) ? null : words;
}
