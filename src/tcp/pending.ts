import { Memory } from '../base/memory.ts';
import { differing } from './history.ts';

/** What a chunk costs beside its bytes (objects, ArrayBuffer): counted, so that tiny segments cannot cheat the bounds. */
export const CHUNK_OVERHEAD = 512;

const EMPTY = Memory.alloc(0);

/** A piece of the stream that waits for what comes before it. */
export interface Chunk {
  /** Stream offset of its first byte. */
  position: number;
  /** Bytes of the stream; the first `captured` of them are at `memory[offset]`. */
  readonly length: number;
  readonly captured: number;
  readonly memory: Memory;
  readonly offset: number;
  readonly ts: number;
  /** Position that it acknowledges in the other direction; negative when not known, or not yet (NO_ACK: never). */
  ack: number;
}

/** Chunks beyond a hole, sorted by position, never overlapping. Bounds are the caller's. */
export class Pending {
  readonly #chunks: Chunk[] = [];
  /** Memory held, CHUNK_OVERHEAD for each chunk included. */
  bytes = 0;
  /** Bytes of the stream that wait, captured or not. */
  length = 0;

  get count(): number {
    return this.#chunks.length;
  }

  first(): Chunk | undefined {
    return this.#chunks[0];
  }

  shift(): void {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return;
    this.bytes -= chunk.captured + CHUNK_OVERHEAD;
    this.length -= chunk.length;
  }

  /** Moves every position, when the stream's first byte becomes known late. */
  rebase(by: number): void {
    for (const chunk of this.#chunks) chunk.position -= by;
  }

  /** The same for what the chunks acknowledge of the other direction. */
  rebaseAcks(by: number): void {
    for (const chunk of this.#chunks) chunk.ack -= by;
  }

  /**
   * Copies in what is not there yet of [position, position + length). Where chunks overlap the first copy stays.
   * Returns how many bytes differed; what was there already is `length` minus the growth of `this.length`.
   */
  insert(
    memory: Memory,
    offset: number,
    captured: number,
    position: number,
    length: number,
    ts: number,
    ack: number,
  ): number {
    const chunks = this.#chunks;
    const end = position + length;
    let i = this.#firstEndingAfter(position);
    let at = position;
    let conflicts = 0;
    while (at < end) {
      const next = chunks[i];
      const until = next === undefined ? end : Math.min(end, next.position);
      if (until > at) {
        const from = at - position;
        const bytes = Math.max(0, Math.min(captured - from, until - at));
        const copy = bytes === 0 ? EMPTY : Memory.from(memory.buf.subarray(offset + from, offset + from + bytes));
        chunks.splice(i++, 0, { position: at, length: until - at, captured: bytes, memory: copy, offset: 0, ts, ack });
        this.bytes += bytes + CHUNK_OVERHEAD;
        this.length += until - at;
        at = until;
      }
      if (next === undefined || at >= end) break;
      const overlap = Math.min(end, next.position + next.length) - at;
      const mine = at - position;
      const theirs = at - next.position;
      const both = Math.min(overlap, captured - mine, next.captured - theirs);
      if (both > 0) conflicts += differing(memory, offset + mine, next.memory, next.offset + theirs, both);
      at += overlap;
      i++;
    }
    return conflicts;
  }

  /** Index of the first chunk that ends after `position`: by far most often a segment follows the last one. */
  #firstEndingAfter(position: number): number {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length;
    const last = chunks[high - 1];
    if (last !== undefined && last.position + last.length <= position) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = chunks[middle]!;
      if (chunk.position + chunk.length <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
