import { Memory } from '../base/memory.ts';

/** Of each segment only the beginning is kept (heads are there), so that bulk data costs no copying. */
const KEPT_PER_SEGMENT = 2048;
const HEADER_BYTES = 24;
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
 * The last bytes that were delivered, of all connections, in one ring: what a retransmission is compared with, without
 * a buffer for each connection. A direction's segments are chained backwards; the ring overwrites the oldest, so old
 * retransmissions go unchecked (their bytes are duplicates either way, the first copy stays).
 *
 * A record: previous record's address (f64), stream position (f64), length (i32), bytes. Addresses only grow; a record
 * is intact while its address is at most the ring's size behind. At 500 bytes a segment 4 MiB reach back 8,000 segments.
 */
export class History {
  readonly #memory: Memory;
  readonly #size: number;
  #end = 0;

  constructor(size: number) {
    this.#memory = Memory.alloc(size);
    this.#size = size;
  }

  /** Keeps the beginning of a segment at stream offset `position`; gives the record's address for the next call. */
  append(previous: number, position: number, memory: Memory, offset: number, length: number): number {
    const kept = Math.min(length, KEPT_PER_SEGMENT);
    let address = this.#end;
    let at = address % this.#size;
    if (at + HEADER_BYTES + kept > this.#size) {
      address += this.#size - at;
      at = 0;
    }
    const { view, buf } = this.#memory;
    view.setFloat64(at, previous, true);
    view.setFloat64(at + 8, position, true);
    view.setInt32(at + 16, kept, true);
    memory.buf.copy(buf, at + HEADER_BYTES, offset, offset + kept);
    this.#end = address + ((HEADER_BYTES + kept + 7) & ~7);
    return address;
  }

  /** How many of the `length` bytes, said to be at `position`, differ from what is kept of the chain at `address`. */
  conflicts(address: number, position: number, memory: Memory, offset: number, length: number): number {
    const { view } = this.#memory;
    let count = 0;
    for (let i = 0; i < CHAIN_MAX && address >= 0 && address >= this.#end - this.#size; i++) {
      const at = address % this.#size;
      const start = view.getFloat64(at + 8, true);
      const from = Math.max(start, position);
      const to = Math.min(start + view.getInt32(at + 16, true), position + length);
      if (to > from) {
        count += differing(
          this.#memory,
          at + HEADER_BYTES + (from - start),
          memory,
          offset + (from - position),
          to - from,
        );
      }
      if (start <= position) break;
      address = view.getFloat64(at, true);
    }
    return count;
  }
}
