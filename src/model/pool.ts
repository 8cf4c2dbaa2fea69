import { assert } from '../base/assert.ts';
import { Memory } from '../base/memory.ts';
import { FieldBlock, FieldLine, HeaderName, OTHER_NAME_ID } from './fields.ts';
import { Message, type MessageKind } from './message.ts';

/**
 * Slab sizes in bytes. The first holds what of most heads is their own, and most that are half there; the second almost every head; the last one is the largest
 * head there can be.
 */
export const SLAB_SIZES: readonly number[] = [256, 1_024, 4_096, 16_384, 65_536, 131_072];
/** The first of them that is large; smaller ones stay with their message. */
const LARGE = 2;
const SMALL_BYTES_MAX = SLAB_SIZES[LARGE - 1]!;

export interface PoolBounds {
  /** Messages (each with a small slab) kept for reuse. */
  readonly freeMessages: number;
  /** Bytes of free slabs kept for each size. */
  readonly freeSlabBytes: number;
  /** Bytes of large slabs in use at one time, by all connections together. */
  readonly largeBytes: number;
}

export const POOL_BOUNDS: PoolBounds = { freeMessages: 4_096, freeSlabBytes: 1 << 20, largeBytes: 32 << 20 };

/** Lines up to which a pooled block keeps its arrays. */
const BLOCK_LINES_KEPT = 128;
const TRAILER_BLOCKS_KEPT = 64;
/** Lines of all messages that keep longer arrays, because a peer that sends thousands of lines sends them again. */
const WIDE_LINES_MAX = 1 << 16;
const NO_LINE = new FieldLine(new HeaderName(OTHER_NAME_ID, ''), '', null);
const CARVED_BYTES = 64 << 10;

/**
 * Messages and the memory of their fields, reused. One for each pipeline: the parser takes, whoever ends an exchange
 * gives back. Large slabs are bounded in all, because a hundred thousand half-sent heads must not fill the machine.
 */
export class MessagePool {
  readonly bounds: PoolBounds;
  /** Messages taken and not given back. */
  taken = 0;
  /** Bytes of large slabs that are in use. */
  largeBytes = 0;
  readonly #messages: Message[] = [];
  readonly #wide: Message[] = [];
  #wideLines = 0;
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

  /** `wide`: it may get many lines. */
  take(kind: MessageKind, wide = false): Message {
    this.taken++;
    const message = (wide ? this.#takeWide() : undefined) ?? this.#messages.pop() ?? new Message();
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
    if (this.#giveWide(message)) return;
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
    if (size >= LARGE) {
      if (this.largeBytes + length > this.bounds.largeBytes) return false;
      this.largeBytes += length;
    }
    const slab = this.#slabs[size]!.pop() ?? (size < LARGE ? this.#carve(length) : Memory.alloc(length));
    if (used > 0) block.memory.buf.copy(slab.buf, 0, 0, used);
    this.#release(block);
    block.memory = slab;
    return true;
  }

  /** A small slab out of a larger allocation: one allocation for each costs more than the slab. */
  #carve(size: number): Memory {
    if (this.#carved + size > this.#carving.byteLength) {
      this.#carving = new ArrayBuffer(CARVED_BYTES);
      this.#carved = 0;
    }
    this.#carved += size;
    return new Memory(this.#carving, this.#carved - size, size);
  }

  #takeWide(): Message | undefined {
    const message = this.#wide.pop();
    if (message !== undefined) this.#wideLines -= message.fields.lines.length;
    return message;
  }

  #giveWide(message: Message): boolean {
    const { fields } = message;
    const { lines } = fields;
    if (lines.length <= BLOCK_LINES_KEPT || this.#wideLines + lines.length > WIDE_LINES_MAX) return false;
    // Whatever a peer made up must not live on here.
    lines.fill(NO_LINE);
    this.#release(fields);
    this.#wideLines += lines.length;
    this.#wide.push(message);
    return true;
  }

  /** What a kept block may hold: a small slab and short arrays. */
  #trim(block: FieldBlock): void {
    if (block.memory.size > SMALL_BYTES_MAX) this.#release(block);
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
    if (size >= LARGE) this.largeBytes -= slab.size;
    const free = this.#slabs[size]!;
    if ((free.length + 1) * slab.size <= this.bounds.freeSlabBytes) free.push(slab);
  }
}
