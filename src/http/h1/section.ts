import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { LossReason } from '../../model/loss.ts';
import type { Message } from '../../model/message.ts';
import { Head, type HeadOutcome } from './head.ts';
import type { Learnt } from './learnt.ts';
import type { H1Shared } from './shared.ts';
import { emptyStartLine, readCutStartLine } from './start.ts';
import { keepValues } from './values.ts';

/** Bytes that join a piecewise section at a time: enough for the rest of most, little to copy of what follows it. */
const PIECE_BYTES = 2_048;

const start = emptyStartLine();

export type SectionOutcome = HeadOutcome | 'too_large' | 'no_room';

/**
 * A head or a trailer section of one direction, which keeps it only while the section is not whole. One that is all there is read where it lies; of one that is not, the
 * bytes are gathered in the block's memory, and every line is read once.
 */
export class Section {
  readonly head = new Head();
  /** Bytes in the block's memory while it is gathered. */
  gathered = 0;
  /** Set by read: offset in the caller's memory just after what was used. */
  next = 0;
  readonly #shared: H1Shared;
  #block: FieldBlock | null = null;
  #inParts = false;

  constructor(shared: H1Shared) {
    this.#shared = shared;
  }

  /** A section begins: its fields go to `block`, an empty one. */
  begin(block: FieldBlock, trailers: boolean, learnt: Learnt): void {
    this.#block = block;
    this.#inParts = false;
    this.gathered = 0;
    this.head.begin(trailers, learnt);
  }

  /** Reads on with the bytes at `memory[at]`. `need_more` or `fold`: call again with what is behind `next`. */
  read(message: Message, memory: Memory, at: number, end: number): SectionOutcome {
    const outcome = this.#inParts ? this.#gather(message, memory, at, end) : this.#inPlace(message, memory, at, end);
    if (outcome === 'need_more' && this.gathered >= this.#shared.limits.headBytes) return 'too_large';
    return outcome;
  }

  /** Adds bytes of [at, end) as they are, `max` in all; returns how many. */
  keep(memory: Memory, at: number, end: number, max: number): number {
    const block = this.#block!;
    const length = Math.min(end - at, max - this.gathered);
    if (length <= 0 || !this.#shared.pool.reserve(block, this.gathered, this.gathered + length)) return 0;
    memory.buf.copy(block.memory.buf, this.gathered, at, at + length);
    this.gathered += length;
    return length;
  }

  /**
   * The rest of the head will not come because of `why`: was its start line read? What is there of one goes to `message` if it
   * is enough to be one. A head that was left out under pressure is the kernel's to count.
   */
  hasStart(message: Message, why: LossReason | 'left_out'): boolean {
    if (this.head.started) return true;
    if (why === 'shed_head') return false;
    if (!readCutStartLine(message.kind, this.#block!.memory, 0, this.gathered, start)) return false;
    message.version = start.version;
    message.method = start.method;
    message.target = start.target;
    message.status = start.status;
    message.reason = start.reason;
    return true;
  }

  #inPlace(message: Message, memory: Memory, at: number, end: number): SectionOutcome {
    const { pool, reader, limits } = this.#shared;
    const head = this.head;
    const block = this.#block!;
    let limit = at + limits.headBytes;
    if (limit > end) limit = end;
    const outcome = reader.read(head, message, block, memory, at, limit, false);
    // Of a complete section only the values are kept that are not shared; else all that was there is needed.
    const done = outcome === 'done';
    const kept = done ? head.variedBytes : outcome === 'need_more' ? limit - at : head.at;
    this.next = at + (outcome === 'need_more' ? kept : head.at);
    this.gathered = kept;
    this.#inParts = true;
    if (kept === 0) return outcome;
    if (!pool.reserve(block, 0, kept)) {
      this.gathered = head.at;
      this.next = at + head.at;
      block.clear();
      return 'no_room';
    }
    if (done) keepValues(head, block, memory, at);
    else memory.buf.copy(block.memory.buf, 0, at, at + kept);
    return outcome;
  }

  #gather(message: Message, memory: Memory, at: number, end: number): SectionOutcome {
    const { reader, limits } = this.#shared;
    const block = this.#block!;
    const before = this.gathered;
    const piece = this.keep(memory, at, Math.min(end, at + PIECE_BYTES), limits.headBytes);
    this.next = at;
    if (piece === 0) return 'no_room';
    const outcome = reader.read(this.head, message, block, block.memory, 0, this.gathered, true);
    if (outcome === 'need_more') this.next = at + piece;
    else {
      this.next = at + this.head.at - before;
      this.gathered = this.head.at;
    }
    return outcome;
  }
}
