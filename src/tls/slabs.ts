/**
 * Memory for records that come in pieces. On a network most do, and a new block for each of them costs more than its decryption:
 * blocks are kept for the next record. Only what is still encrypted is in them.
 */
import { Memory } from '../base/memory.ts';
import { RECORD_BYTES_MAX } from './workspace.ts';

/** Bytes searched at once for the next record: the longest record, wherever it begins, and a header behind it. */
export const SEARCH_BYTES_MAX = 2 * RECORD_BYTES_MAX;
const SIZES = [1_024, 2_048, 4_096, 8_192, RECORD_BYTES_MAX, SEARCH_BYTES_MAX];
/** Bytes kept while nobody needs them. */
const KEPT_BYTES_MAX = 1 << 20;

export class Slabs {
  readonly #free: Memory[][] = SIZES.map(() => []);
  #kept = 0;

  /** A block of at least `bytes` (SEARCH_BYTES_MAX at most) with anything in it. */
  take(bytes: number): Memory {
    const i = SIZES.findIndex((size) => size >= bytes);
    const known = this.#free[i]!.pop();
    if (known === undefined) return Memory.alloc(SIZES[i]!);
    this.#kept -= known.size;
    return known;
  }

  /** How large the block is that `take` gives. */
  static sizeOf(bytes: number): number {
    return SIZES.find((size) => size >= bytes)!;
  }

  /** What `take` gave, and nobody looks at any more. */
  give(slab: Memory): void {
    if (this.#kept + slab.size > KEPT_BYTES_MAX) return;
    this.#free[SIZES.indexOf(slab.size)]!.push(slab);
    this.#kept += slab.size;
  }
}
