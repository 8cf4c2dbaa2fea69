import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Segment } from '../model/segment.ts';
import type { StreamEnd, StreamSink } from '../model/stages.ts';
import type { ReassemblyContext } from './context.ts';
import { NO_HISTORY } from './history.ts';

const DEAF: StreamSink = { data() {}, gap() {}, end() {} };

/**
 * The end of one direction's way: where its stream is, what goes to its sink, and the accounts of what misses. Knows
 * nothing of order; the reassembler calls it with the next bytes or with a hole.
 */
export class Delivery {
  /** Stream offset of the next byte. */
  position = 0;
  /** Sequence number of `position`, as a signed 32-bit number. */
  nextSeq = 0;
  ended = false;
  /** Highest position that the peer acknowledged. */
  ackedTo = 0;
  /** Why the kernel leaves bytes out at present: its capture window, or pressure. */
  leftOutWhy: LossReason | 'left_out' = 'left_out';
  /** Bytes that the kernel left out, or lost, and that no hole has used up yet. */
  leftOut = 0;
  lost = 0;

  readonly #context: ReassemblyContext;
  #sink: StreamSink;
  #history = NO_HISTORY;
  /** What the kernel saw in the hole before the next bytes (see Segment). */
  #records = 0;
  #turns = 0;
  #turn = false;
  #gapUnacked = 0;
  #gapEnd = 0;

  constructor(context: ReassemblyContext, sink: StreamSink) {
    this.#context = context;
    this.#sink = sink;
  }

  /** The stream begins at what was position `first` so far. */
  startAt(first: number): void {
    this.nextSeq = (this.nextSeq + (first - this.position)) | 0;
    this.position = 0;
    this.ackedTo = Math.max(0, this.ackedTo - first);
  }

  /** The peer has everything before `at`, which is more than before. */
  acknowledge(at: number): void {
    this.ackedTo = at;
    if (this.#gapUnacked > 0 && at >= this.#gapEnd) {
      this.#context.counters.ackedUnseen += this.#gapUnacked;
      this.#gapUnacked = 0;
    }
  }

  /** The next `length` bytes, of which the first `captured` are there. */
  deliver(memory: Memory, offset: number, captured: number, length: number, ts: number, ack: number): void {
    const { counters, history } = this.#context;
    const position = this.position;
    this.position = position + length;
    this.nextSeq = (this.nextSeq + length) | 0;
    if (captured > 0) {
      this.#history = history.append(this.#history, position, memory, offset, captured);
      counters.delivered += captured;
      this.#sink.data(memory, offset, captured, position, ts, ack < 0 ? -1 : ack);
    }
    if (captured < length) this.#cut(position + captured, length - captured, ts, ack < 0 ? -1 : ack);
  }

  #cut(position: number, length: number, ts: number, ack: number): void {
    const { counters, cutReason, losses } = this.#context;
    counters.cut += length;
    if (cutReason !== 'left_out') losses.lose(cutReason, 1, length);
    this.#sink.gap(position, length, cutReason === 'left_out' ? this.leftOutWhy : cutReason, ts, ack);
  }

  /** Bytes at a position that is behind: nothing to deliver, but they should be what they were. */
  repeated(memory: Memory, offset: number, captured: number, at: number, length: number, fromSyn: boolean): void {
    const { counters, losses, history } = this.#context;
    const before = Math.min(length, Math.max(0, -at));
    if (before > 0) {
      counters.unusable += before;
      if (!fromSyn) losses.lose('joined_midstream', 1, before);
    }
    counters.duplicate += length - before;
    // A keep-alive probe carries one byte of garbage that was acknowledged before (RFC 9293 3.8.4).
    if (captured <= before || (length === 1 && at === this.position - 1)) return;
    const differ = history.conflicts(this.#history, at + before, memory, offset + before, captured - before);
    if (differ > 0) losses.lose('overlap_conflict', 1, differ);
  }

  /** Gives up the bytes up to `edge`: the kernel's share by its own reasons, the rest by `why`. */
  giveUp(edge: number, why: LossReason, ts: number): void {
    const hole = edge - this.position;
    const leftOut = Math.min(this.leftOut, hole);
    const ringFull = Math.min(this.lost, hole - leftOut);
    const rest = hole - leftOut - ringFull;
    this.leftOut -= leftOut;
    this.lost -= ringFull;
    if (this.ackedTo >= edge) this.#context.counters.ackedUnseen += hole;
    else {
      this.#gapUnacked += hole;
      this.#gapEnd = edge;
    }
    if (rest > 0) this.#context.losses.lose(why, 1, rest);
    this.#skip(leftOut, this.leftOutWhy, ts);
    this.#skip(ringFull, 'ring_full', ts);
    this.#skip(rest, why, ts);
    // Of a hole that the kernel's counts do not explain to the byte it is not known where in it they belong.
    this.#tell(rest === 0 && this.leftOut === 0 && this.lost === 0);
  }

  /** The kernel's word, with a segment at `position`, on what is missing before it. */
  saw({ records, turns, turn }: Segment, position: number): void {
    this.#records += records;
    this.#turns += turns;
    this.#turn = turn;
    if (position <= this.position) this.#tell(position === this.position);
  }

  #tell(exact: boolean): void {
    if (this.#records === 0 && this.#turns === 0) return;
    this.#sink.followed?.(exact ? this.#records : 0, this.#turns, exact && this.#turn);
    this.#records = 0;
    this.#turns = 0;
  }

  #skip(length: number, why: LossReason | 'left_out', ts: number): void {
    if (length <= 0) return;
    const position = this.position;
    this.position = position + length;
    this.nextSeq = (this.nextSeq + length) | 0;
    this.#sink.gap(position, length, why, ts);
  }

  /** More that the kernel's counts explain. Below zero they take back what was told twice, and may find it used already. */
  explained(leftOut: number, lost: number): void {
    this.leftOut = Math.max(0, this.leftOut + leftOut);
    this.lost = Math.max(0, this.lost + lost);
  }

  /** Nothing is missing any more that the kernel's counts could explain. */
  forget(): void {
    this.leftOut = 0;
    this.lost = 0;
  }

  unusable(length: number): void {
    this.#context.counters.unusable += length;
  }

  end(how: StreamEnd, ts: number): void {
    const sink = this.#sink;
    // Late segments are held against the ended flow for long; its parsers must not stay for that.
    this.#sink = DEAF;
    sink.end(how, ts);
  }
}
