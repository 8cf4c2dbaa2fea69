/** The shared batches as the thread that parses has them: which one is free, and whose memory nobody needs. */
import type { Memory } from '../base/memory.ts';
import { SLAB_FREE, SLAB_TAKEN, SLABS, slabMemory, slabStates } from './protocol.ts';

/** What became of a batch's memory: 0 it was given back, 1 it was not taken since the last look, 2 it was. */
const GIVEN_BACK = 0;
const UNUSED = 1;
const USED = 2;

export class Slabs {
  readonly memory: readonly Memory[];
  readonly #states: Int32Array;
  readonly #used = new Uint8Array(SLABS);

  /** `shared`: SHARED_BYTES, all zero. */
  constructor(shared: SharedArrayBuffer) {
    this.memory = Array.from({ length: SLABS }, (_, i) => slabMemory(shared, i));
    this.#states = slabStates(shared);
  }

  /** Number of a free one, which is the caller's until the writing thread frees it; -1: there is none. */
  take(): number {
    for (let slab = 0; slab < SLABS; slab++) {
      if (!this.isFree(slab)) continue;
      Atomics.store(this.#states, slab, SLAB_TAKEN);
      this.#used[slab] = USED;
      return slab;
    }
    return -1;
  }

  isFree(slab: number): boolean {
    return Atomics.load(this.#states, slab) === SLAB_FREE;
  }

  /** How many are not free. */
  get taken(): number {
    let taken = 0;
    for (let slab = 0; slab < SLABS; slab++) if (!this.isFree(slab)) taken++;
    return taken;
  }

  /** Memory of those that are free and were not taken since the last call, each once: their bytes may be lost, because only this thread takes one. */
  idle(): Buffer[] {
    const idle: Buffer[] = [];
    for (let slab = 0; slab < SLABS; slab++) {
      if (this.#used[slab] === GIVEN_BACK || !this.isFree(slab)) continue;
      if (this.#used[slab] === UNUSED) idle.push(this.memory[slab]!.buf);
      this.#used[slab]!--;
    }
    return idle;
  }
}
