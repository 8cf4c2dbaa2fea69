/**
 * Field lines and names that all HPACK tables of a pipeline share, found by their bytes: a line that many connections
 * repeat is one object, so that redacting and formatting it is done once. Hits are verified byte by byte. Bounded: a
 * direct set-associative table, and a value enters at its second sight only (unique ids evict nothing).
 */
import type { Memory } from '../../base/memory.ts';
import { FieldLine } from '../../model/fields.ts';
import { hashBytes } from '../lines.ts';
import { NAMES_MAX, type NameTable } from '../names.ts';
import { STATIC_TABLE } from './static-table.ts';

const SETS = 2_048;
const WAYS = 4;
/** Longest value, and name, that is shared. */
const SHARED_BYTES_MAX = 512;
const DOOR_SIGHTS = 1 << 13;
/** Indices up to here have a name of their own in the name table. */
const UNKNOWN_NAMED_MAX = 256;
/** Hashing of names starts elsewhere than that of any line's values. */
const NAME_SEED = 0x6e616d65;
/** So many new values of a name are taken on trust, until it must have shown repeats: so many for each new one. */
const NEW_TRUSTED = 64;
const REPEATS_EXPECTED = 16;
/** Of a name without repeats, one value in so many is looked at all the same, because names change their ways; a power of two. */
const LOOKED_AT = 16;

export class SharedLines {
  /** Static entries 1 to 61 by index: with their value, and the name alone. */
  readonly staticLines: FieldLine[];
  readonly staticNames: FieldLine[];
  readonly #names: NameTable;
  /** The names' lines, for names that have an id: as many as the name table holds. */
  readonly #nameLines = new Map<string, FieldLine>();
  readonly #values = new HashedLines();
  readonly #spelled = new HashedLines();
  readonly #door = new Int32Array(DOOR_SIGHTS);
  /** By name id: new values, and values that came again, halved together; values that were not looked at. */
  readonly #fresh = new Uint8Array(NAMES_MAX + 1);
  readonly #repeated = new Float64Array(NAMES_MAX + 1);
  readonly #passed = new Uint8Array(NAMES_MAX + 1);

  constructor(names: NameTable) {
    this.#names = names;
    this.staticNames = STATIC_TABLE.map(([name]) => this.nameLine(name));
    this.staticLines = STATIC_TABLE.map(([, value], i) => {
      const { name, raw } = this.staticNames[i]!;
      return new FieldLine(name, raw, value);
    });
    const none = new FieldLine(names.intern('?0'), '?0', '');
    this.staticNames.unshift(none);
    this.staticLines.unshift(none);
  }

  /** The line without value of the name spelled `raw`. */
  nameLine(raw: string): FieldLine {
    const known = this.#nameLines.get(raw);
    if (known !== undefined) return known;
    const before = this.#names.size;
    const name = this.#names.intern(/[A-Z\xc0-\xde]/.test(raw) ? raw.toLowerCase() : raw);
    const line = new FieldLine(name, raw, null);
    // Only spellings that are lower case and have an id are kept, so this map is as bounded as the name table.
    if (name.id !== 0 && name.lower === raw && this.#names.size >= before) this.#nameLines.set(raw, line);
    return line;
  }

  /** The line that stands for a dynamic table entry which was not seen: "?62", and the same for its value. */
  unknown(index: number): FieldLine {
    const text = `?${index}`;
    const { name } = this.nameLine(index <= UNKNOWN_NAMED_MAX ? text : '?');
    return new FieldLine(name, text, text);
  }

  /** The line without value of the name at `memory[at]`. */
  name(memory: Memory, at: number, length: number): FieldLine {
    if (length > SHARED_BYTES_MAX) return this.nameLine(memory.buf.latin1Slice(at, at + length));
    const hash = hashBytes(memory.view, at, length, NAME_SEED);
    const known = this.#spelled.find(memory, at, length, hash, null);
    if (known !== null) return known;
    const line = this.nameLine(memory.buf.latin1Slice(at, at + length));
    if (line.name.id !== 0) this.#spelled.add(hash, line);
    return line;
  }

  /** The shared line of `name` with the value at `memory[at]`; null: not seen often enough to be worth one. */
  value(name: FieldLine, memory: Memory, at: number, length: number): FieldLine | null {
    const { id } = name.name;
    const repeats = this.repeats(id);
    if (length > SHARED_BYTES_MAX || (!repeats && !this.#looksAt(id))) return null;
    const hash = hashBytes(memory.view, at, length, name.serial);
    const known = this.#values.find(memory, at, length, hash, name);
    if (known !== null) {
      this.#repeated[id]!++;
      return repeats ? known : null;
    }
    const place = (hash >>> 8) & (DOOR_SIGHTS - 1);
    if (this.#door[place] !== hash) {
      this.#door[place] = hash;
      this.#fresh[id]!++;
      if (this.#fresh[id]! >= 2 * NEW_TRUSTED) {
        this.#fresh[id] = NEW_TRUSTED;
        this.#repeated[id]! /= 2;
      }
      return null;
    }
    this.#repeated[id]!++;
    if (!repeats) return null;
    const line = new FieldLine(name.name, name.raw, memory.buf.latin1Slice(at, at + length));
    this.#values.add(hash, line);
    return line;
  }

  /** A shared line came again, and was known by other means. */
  repeated(line: FieldLine): void {
    this.#repeated[line.name.id]!++;
  }

  /**
   * Whether values of this name come again as a rule. A counter, or a time in milliseconds, is seen some times and then never
   * again: lines of their own for each would evict what does repeat, and no two blocks would have the same lines.
   */
  repeats(id: number): boolean {
    const fresh = this.#fresh[id]!;
    return fresh < NEW_TRUSTED || this.#repeated[id]! >= fresh * REPEATS_EXPECTED;
  }

  #looksAt(id: number): boolean {
    this.#passed[id]! = (this.#passed[id]! + 1) & (LOOKED_AT - 1);
    return this.#passed[id] === 0;
  }
}

/** A set-associative table of lines by the hash of their value, or of their name. */
class HashedLines {
  readonly #hashes = new Int32Array(SETS * WAYS);
  readonly #lines: (FieldLine | null)[] = new Array<FieldLine | null>(SETS * WAYS).fill(null);
  readonly #used = new Uint8Array(SETS * WAYS);

  /** The line whose value (with `name`), or whose name (null), is the bytes at `memory[at]`. */
  find(memory: Memory, at: number, length: number, hash: number, name: FieldLine | null): FieldLine | null {
    const first = (hash & (SETS - 1)) * WAYS;
    for (let i = first; i < first + WAYS; i++) {
      if (this.#hashes[i] !== hash) continue;
      const line = this.#lines[i]!;
      if (line === null || (name !== null && (line.name !== name.name || line.raw !== name.raw))) continue;
      if (!same(name === null ? line.raw : line.value!, memory.view, at, length)) continue;
      this.#used[i] = 1;
      return line;
    }
    return null;
  }

  /** Takes an empty place of the set, else one that was not used since the last newcomer. */
  add(hash: number, line: FieldLine): void {
    const first = (hash & (SETS - 1)) * WAYS;
    let place = -1;
    for (let i = first; i < first + WAYS && place < 0; i++) if (this.#lines[i] === null) place = i;
    for (let i = first; i < first + WAYS && place < 0; i++) {
      if (this.#used[i] === 0) place = i;
      else this.#used[i] = 0;
    }
    if (place < 0) place = first;
    this.#hashes[place] = hash;
    this.#lines[place] = line;
    this.#used[place] = 0;
  }
}

function same(text: string, view: DataView, at: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== view.getUint8(at + i)) return false;
  return true;
}
