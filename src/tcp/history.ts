import { Memory } from '../base/memory.ts';

/** Of each segment only the beginning is kept (heads are there), so that bulk data costs no copying. */
const KEPT_PER_SEGMENT = 2048;
const HEADER_BYTES = 32;
const COPIED = -1;
/** Segments of one direction that a retransmission is compared with. */
const CHAIN_MAX = 64;

/** Nothing of this direction is kept. */
export const NO_HISTORY = -1;

/** How many bytes differ between two ranges of equal length. */
export function differing(a: Memory, at: number, b: Memory, bt: number, length: number): number {
  if (a.buf.compare(b.buf, bt, bt + length, at, at + length) === 0) return 0;
  let n = 0;
  for (let i = 0; i < length; i++) if (a.buf[at + i] !== b.buf[bt + i]) n++;
  return n;
}

/**
 * The last bytes that were delivered, of all connections: what a retransmission is compared with, without a buffer for each
 * connection. A direction's segments are chained backwards in a ring that overwrites the oldest, so old retransmissions go
 * unchecked (their bytes are duplicates either way, the first copy stays). Bytes that stay where they are for a while (the
 * kernel's ring) are looked at there; of others the beginning is copied.
 *
 * A record, as doubles: previous record's address, stream position, length, address of the bytes in lasting memory (-1: they
 * follow). Addresses only grow; a record is intact while its address is at most the ring's size behind. Copied, at 500 bytes a
 * segment 4 MiB reach back 8,000 segments.
 */
export class History {
  readonly #memory: Memory;
  readonly #facts: Float64Array;
  readonly #size: number;
  readonly #mask: number;
  #end = 0;
  /** The memory whose bytes are looked at where they are. */
  #lasting: Memory | null = null;

  /** `bytes`: at most so many are used, a power of two. */
  constructor(bytes: number) {
    this.#size = 2 ** Math.floor(Math.log2(bytes));
    this.#mask = this.#size - 1;
    const memory = new ArrayBuffer(this.#size);
    this.#memory = new Memory(memory);
    this.#facts = new Float64Array(memory);
  }

  /** Keeps a segment at stream offset `position`; gives the record's address for the next call. */
  append(previous: number, position: number, memory: Memory, offset: number, length: number): number {
    if (memory.lasting !== null) {
      this.#lasting ??= memory;
      if (this.#lasting === memory) return this.#put(previous, position, length, memory.lasting.addressOf(offset), 0);
    }
    const kept = Math.min(length, KEPT_PER_SEGMENT);
    const address = this.#put(previous, position, kept, COPIED, kept);
    memory.buf.copy(this.#memory.buf, (address & this.#mask) + HEADER_BYTES, offset, offset + kept);
    return address;
  }

  #put(previous: number, position: number, length: number, where: number, bytes: number): number {
    let address = this.#end;
    // The mask takes the lower 32 bits of any address.
    const at = address & this.#mask;
    if (at + HEADER_BYTES + bytes > this.#size) address += this.#size - at;
    const facts = this.#facts;
    const i = (address & this.#mask) >> 3;
    facts[i] = previous;
    facts[i + 1] = position;
    facts[i + 2] = length;
    facts[i + 3] = where;
    this.#end = address + ((HEADER_BYTES + bytes + 7) & ~7);
    return address;
  }

  /** How many of the `length` bytes, said to be at `position`, differ from what is kept of the chain at `address`. */
  conflicts(address: number, position: number, memory: Memory, offset: number, length: number): number {
    const facts = this.#facts;
    let count = 0;
    for (let i = 0; i < CHAIN_MAX && address >= 0 && address >= this.#end - this.#size; i++) {
      const at = address & this.#mask;
      const record = at >> 3;
      const start = facts[record + 1]!;
      const from = Math.max(start, position);
      const to = Math.min(start + facts[record + 2]!, position + length);
      if (to > from) count += this.#differing(at, from - start, memory, offset + (from - position), to - from);
      if (start <= position) break;
      address = facts[record]!;
    }
    return count;
  }

  /** The same for `length` bytes of the record at `at`, `skipped` behind its first. */
  #differing(at: number, skipped: number, memory: Memory, offset: number, length: number): number {
    const where = this.#facts[(at >> 3) + 3]!;
    if (where === COPIED) return differing(this.#memory, at + HEADER_BYTES + skipped, memory, offset, length);
    const kept = this.#lasting!;
    const lasting = kept.lasting!;
    const count = differing(kept, lasting.offsetOf(where) + skipped, memory, offset, length);
    return lasting.intact(where) ? count : 0;
  }
}
