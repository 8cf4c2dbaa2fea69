/**
 * Literals as they were encoded, and the lines that they stand for: a peer that does not use its table sends the same bytes
 * again and again, and comparing them is cheaper than decoding them. Hits are verified byte by byte. Bounded: one block of
 * memory, and a literal enters at its second sight only. Which literal comes is guessed from the one before: a server sends
 * its fields in the same order each time.
 */
import { Memory } from '../../base/memory.ts';
import type { FieldLine } from '../../model/fields.ts';

const SETS = 512;
const WAYS = 4;
/** Longest literal that is remembered. */
export const ENCODED_BYTES_MAX = 256;
const DOOR_SIGHTS = 1 << 12;

export class EncodedLines {
  readonly #hashes = new Int32Array(SETS * WAYS);
  readonly #lengths = new Uint16Array(SETS * WAYS);
  readonly #lines: (FieldLine | null)[] = new Array<FieldLine | null>(SETS * WAYS).fill(null);
  readonly #bytes = Memory.alloc(SETS * WAYS * ENCODED_BYTES_MAX);
  readonly #door = new Int32Array(DOOR_SIGHTS);
  /** Which of its ways each set fills next. */
  readonly #next = new Uint8Array(SETS);
  /** By place: the literal that came after it last. */
  readonly #after = new Uint16Array(SETS * WAYS);
  /** Where the literal is that was found last. */
  #last = 0;
  /** Bytes of the literal that was guessed last. */
  length = 0;

  /** The line of the literal at `view[at]`, if it is the one that followed the last one found before; `length` says how long it is. */
  guess(view: DataView, at: number, end: number): FieldLine | null {
    const place = this.#after[this.#last]!;
    const length = this.#lengths[place]!;
    if (length === 0 || length > end - at) return null;
    if (!same(view, at, this.#bytes.view, place * ENCODED_BYTES_MAX, length)) return null;
    this.#last = place;
    this.length = length;
    return this.#lines[place]!;
  }

  /** The line that the `length` bytes at `view[at]` stand for; null: none is known. `hash`: hashBytes of them. */
  find(view: DataView, at: number, length: number, hash: number): FieldLine | null {
    const first = (hash & (SETS - 1)) * WAYS;
    for (let i = first; i < first + WAYS; i++) {
      if (this.#hashes[i] !== hash || this.#lengths[i] !== length) continue;
      if (!same(view, at, this.#bytes.view, i * ENCODED_BYTES_MAX, length)) continue;
      this.#after[this.#last] = i;
      this.#last = i;
      return this.#lines[i]!;
    }
    return null;
  }

  /** Whether bytes with this hash came before, so that they are worth remembering. */
  again(hash: number): boolean {
    const place = (hash >>> 9) & (DOOR_SIGHTS - 1);
    if (this.#door[place] === hash) return true;
    this.#door[place] = hash;
    return false;
  }

  /** Remembers at most ENCODED_BYTES_MAX bytes, in the place of the oldest of the set. */
  add(memory: Memory, at: number, length: number, hash: number, line: FieldLine): void {
    const set = hash & (SETS - 1);
    const place = set * WAYS + this.#next[set]!;
    this.#next[set] = (this.#next[set]! + 1) % WAYS;
    memory.buf.copy(this.#bytes.buf, place * ENCODED_BYTES_MAX, at, at + length);
    this.#hashes[place] = hash;
    this.#lengths[place] = length;
    this.#lines[place] = line;
  }
}

function same(view: DataView, at: number, other: DataView, from: number, length: number): boolean {
  if (length < 4) {
    for (let i = 0; i < length; i++) if (view.getUint8(at + i) !== other.getUint8(from + i)) return false;
    return true;
  }
  // The last four bytes may overlap those before.
  const last = length - 4;
  for (let i = 0; i < last; i += 4) if (view.getInt32(at + i, true) !== other.getInt32(from + i, true)) return false;
  return view.getInt32(at + last, true) === other.getInt32(from + last, true);
}
