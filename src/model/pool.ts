import { assert } from '../base/assert.ts';
import { Memory } from '../base/memory.ts';
import { FieldBlock } from './fields.ts';
import { Message, type MessageKind } from './message.ts';

/** Slab sizes in bytes. The first holds almost every head; the last one is the largest head there can be. */
export const SLAB_SIZES: readonly number[] = [1_024, 4_096, 16_384, 65_536, 131_072];

export interface PoolBounds {
  /** Messages (each with its first slab) kept for reuse. */
  readonly freeMessages: number;
  /** Bytes of free slabs kept for each size. */
  readonly freeSlabBytes: number;
  /** Bytes of slabs above the first size in use at one time, by all connections together. */
  readonly largeBytes: number;
}

export const POOL_BOUNDS: PoolBounds = { freeMessages: 4_096, freeSlabBytes: 1 << 20, largeBytes: 32 << 20 };

/** Lines up to which a pooled block keeps its arrays. */
const BLOCK_LINES_KEPT = 128;
const TRAILER_BLOCKS_KEPT = 64;
const CARVED_BYTES = 64 << 10;

/**
 * Messages and the memory of their fields, reused. One for each pipeline: the parser takes, whoever ends an exchange
 * gives back. Large slabs are bounded in all, because a hundred thousand half-sent heads must not fill the machine.
 */
export class MessagePool {
  readonly bounds: PoolBounds;
  /** Messages taken and not given back. */
  taken = 0;
  /** Bytes of slabs above the first size that are in use. */
  largeBytes = 0;
  readonly #messages: Message[] = [];
  readonly #blocks: FieldBlock[] = [];
  #carving = new ArrayBuffer(0);
  #carved = 0;
  readonly #slabs: Memory[][] = SLAB_SIZES.map(() => []);

  constructor(bounds: PoolBounds = POOL_BOUNDS) {
    this.bounds = bounds;
  }

  /** Messages kept for reuse now. */
  get free(): number {
    return this.#messages.length;
  }

  take(kind: MessageKind): Message {
    this.taken++;
    const message = this.#messages.pop() ?? new Message();
    message.reset(kind);
    return message;
  }

  /** Takes `message` back; nothing of it may be used afterwards. */
  give(message: Message): void {
    this.taken--;
    if (message.trailers !== null) {
      this.giveBlock(message.trailers);
      message.trailers = null;
    }
    this.#trim(message.fields);
    if (this.#messages.length < this.bounds.freeMessages) this.#messages.push(message);
    else this.#release(message.fields);
  }

  /** An empty block for trailers. It comes back with its message, or by `giveBlock`. */
  takeBlock(): FieldBlock {
    return this.#blocks.pop() ?? new FieldBlock();
  }

  giveBlock(block: FieldBlock): void {
    block.clear();
    this.#trim(block);
    if (this.#blocks.length < TRAILER_BLOCKS_KEPT) this.#blocks.push(block);
    else this.#release(block);
  }

  /**
   * Makes `block.memory` hold at least `bytes` (at most the last of SLAB_SIZES), keeping its first `used` bytes.
   * False: the bound for all connections is reached; the block is as it was.
   */
  reserve(block: FieldBlock, used: number, bytes: number): boolean {
    if (block.memory.size >= bytes) return true;
    let size = 0;
    while (SLAB_SIZES[size]! < bytes) {
      size++;
      assert(size < SLAB_SIZES.length, 'a block never needs more than the largest slab');
    }
    const length = SLAB_SIZES[size]!;
    if (size > 0) {
      if (this.largeBytes + length > this.bounds.largeBytes) return false;
      this.largeBytes += length;
    }
    const slab = this.#slabs[size]!.pop() ?? (size === 0 ? this.#carve() : Memory.alloc(length));
    if (used > 0) block.memory.buf.copy(slab.buf, 0, 0, used);
    this.#release(block);
    block.memory = slab;
    return true;
  }

  /** A first slab out of a larger allocation: one allocation for each costs more than the slab. */
  #carve(): Memory {
    const size = SLAB_SIZES[0]!;
    if (this.#carved + size > this.#carving.byteLength) {
      this.#carving = new ArrayBuffer(CARVED_BYTES);
      this.#carved = 0;
    }
    this.#carved += size;
    return new Memory(this.#carving, this.#carved - size, size);
  }

  /** What a kept block may hold: its first slab and short arrays. */
  #trim(block: FieldBlock): void {
    if (block.memory.size > SLAB_SIZES[0]!) this.#release(block);
    if (block.lines.length > BLOCK_LINES_KEPT) {
      block.lines.length = 0;
      block.valueOffset.length = 0;
      block.valueLength.length = 0;
    }
  }

  #release(block: FieldBlock): void {
    const slab = block.memory;
    block.memory = FieldBlock.NO_MEMORY;
    if (slab.size === 0) return;
    const size = SLAB_SIZES.indexOf(slab.size);
    assert(size >= 0, 'a pooled block holds a slab of this pool');
    if (size > 0) this.largeBytes -= slab.size;
    const free = this.#slabs[size]!;
    if ((free.length + 1) * slab.size <= this.bounds.freeSlabBytes) free.push(slab);
  }
}
