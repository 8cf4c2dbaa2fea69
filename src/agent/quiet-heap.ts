/**
 * V8 collects when something is allocated, and then it moves little together: after a burst the heap would stay as it was until the next one, 60 MB of which 25
 * are alive after 10,000 connections. So when a while has passed in which hardly anything came, a heap that has become large is collected once, to the last byte.
 */
import { getHeapStatistics } from 'node:v8';

/** Segments in one look that are no more than quiet. */
export const QUIET_SEGMENTS = 100;
/** Looks in a row that find it quiet. */
export const QUIET_LOOKS = 4;
/** It takes a quarter of a second: a heap that has not outgrown what an agent of few connections has, by this much, stays as it is. */
export const USUAL_BYTES = 40 << 20;
export const GROWN_BYTES = 4 << 20;

export class QuietHeap {
  readonly #collect: NodeJS.GCFunction | undefined;
  #segments = 0;
  #quiet = 0;
  /** Size of the heap after the last collection, or the least since; at least the usual one. */
  #least = USUAL_BYTES;

  /** `collect`: undefined where the runtime was not told to lend it (--expose-gc). */
  constructor(collect: NodeJS.GCFunction | undefined = globalThis.gc) {
    this.#collect = collect;
  }

  /** To be called once a second with the segments seen so far. True: the heap was collected, and memory may be given back. */
  look(segments: number, size = (): number => getHeapStatistics().total_heap_size): boolean {
    const came = segments - this.#segments;
    this.#segments = segments;
    this.#quiet = came <= QUIET_SEGMENTS ? this.#quiet + 1 : 0;
    if (this.#quiet < QUIET_LOOKS || this.#collect === undefined) return false;
    const now = size();
    if (now < this.#least + GROWN_BYTES) {
      this.#least = Math.max(USUAL_BYTES, Math.min(this.#least, now));
      return false;
    }
    this.#collect({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    this.#least = Math.max(USUAL_BYTES, size());
    return true;
  }
}
