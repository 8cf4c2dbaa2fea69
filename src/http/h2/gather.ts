import { Memory } from '../../base/memory.ts';
import { FieldBlock } from '../../model/fields.ts';
import type { MessagePool } from '../../model/pool.ts';
import { BLOCK_BYTES_MAX } from '../hpack/decoder.ts';

/** Holds most control frames and every frame header. */
const SMALL_BYTES = 64;
const GATHERS_KEPT = 64;

/** Bytes that must be together and came in pieces. Its memory is the pool's, which is bounded for all connections. */
export class Gather {
  length = 0;
  readonly #pool: MessagePool;
  #small: Memory | null = null;
  #block: FieldBlock | null = null;

  constructor(pool: MessagePool) {
    this.#pool = pool;
  }

  get memory(): Memory {
    return this.#block?.memory ?? this.#small ?? FieldBlock.NO_MEMORY;
  }

  /** Takes bytes of [at, end) until `need` are there; returns where the rest begins, or -1: there is no room for so many. */
  add(memory: Memory, at: number, end: number, need: number): number {
    const taken = Math.min(end - at, need - this.length);
    if (need <= SMALL_BYTES && this.#block === null) this.#small ??= Memory.alloc(SMALL_BYTES);
    else if (!this.#reserve(need)) return -1;
    memory.buf.copy(this.memory.buf, this.length, at, at + taken);
    this.length += taken;
    return at + taken;
  }

  /** Appends all of [at, end); false: there is no room. */
  append(memory: Memory, at: number, end: number): boolean {
    return this.add(memory, at, end, this.length + end - at) >= 0;
  }

  /** Hands the bytes over; they stay until giveBack(). */
  take(): { readonly memory: Memory; readonly block: FieldBlock | null } {
    const held = { memory: this.memory, block: this.#block };
    this.#block = null;
    this.length = 0;
    return held;
  }

  giveBack(held: { readonly block: FieldBlock | null }): void {
    if (held.block !== null) this.#pool.giveBlock(held.block);
  }

  clear(): void {
    if (this.#block !== null) this.#pool.giveBlock(this.#block);
    this.#block = null;
    this.length = 0;
  }

  #reserve(bytes: number): boolean {
    if (bytes > BLOCK_BYTES_MAX) return false;
    const first = this.#block === null;
    this.#block ??= this.#pool.takeBlock();
    if (!this.#pool.reserve(this.#block, first ? 0 : this.length, bytes)) return false;
    if (first && this.length > 0) this.#small!.buf.copy(this.#block.memory.buf, 0, 0, this.length);
    return true;
  }
}

/** Gathers that nobody needs now; most connections never need one, and none for long. */
export class Gathers {
  readonly #pool: MessagePool;
  readonly #free: Gather[] = [];

  constructor(pool: MessagePool) {
    this.#pool = pool;
  }

  take(): Gather {
    return this.#free.pop() ?? new Gather(this.#pool);
  }

  give(gather: Gather): void {
    gather.clear();
    if (this.#free.length < GATHERS_KEPT) this.#free.push(gather);
  }
}
