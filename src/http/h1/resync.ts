/** Finding a message start again, when bytes are missing or the connection is older than the capture. */
import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import type { MessageKind } from '../../model/message.ts';
import { LineScan } from './scan.ts';
import { emptyStartLine, readCutStartLine, readStartLine } from './start.ts';

/** The most turns that are remembered. */
const KEPT = 16;

const start = emptyStartLine();
const scan = new LineScan();

/**
 * What one direction knows of its message starts. It remembers turns: offsets of this direction that data of the other
 * one acknowledged. A message that does not share a burst with the one before it starts at such an offset; a piece of a
 * body does not, save where the other side answers early. That tells a message from a body that looks like one.
 */
export class Resync {
  /** What bytes that are passed over are called. */
  reason: LossReason = 'joined_midstream';
  /** The last acknowledgement noted; -1: not known. */
  #last = -1;
  #turns: number[] | null = null;
  #next = 0;
  /** What the first segment that was passed over acknowledged, -1: none since the last gap. */
  #skipped = -1;

  /** Data of the other side acknowledged `ack` of this one; -1: not known. */
  spoke(ack: number): void {
    if (ack === this.#last) return;
    this.#last = ack;
    if (ack < 0) return;
    this.#turns ??= [];
    this.#turns[this.#next] = ack;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** What was said at `ack` was no turn: the other side only interjected (100 Continue). */
  interjected(ack: number): void {
    const i = this.#turns === null ? -1 : this.#turns.indexOf(ack);
    if (i >= 0) this.#turns![i] = -1;
  }

  /** The search begins. */
  begin(reason: LossReason): void {
    this.reason = reason;
    this.#skipped = -1;
  }

  gap(): void {
    this.#skipped = -1;
  }

  /** A segment that acknowledged `ack` was passed over. */
  skip(ack: number): void {
    if (this.#skipped < 0) this.#skipped = ack;
  }

  /** Did the other side speak at `position`? null: that cannot be known. */
  isTurn(position: number): boolean | null {
    return this.#last < 0 ? null : this.#spokeAt(position);
  }

  /**
   * Does a message start at the first byte of the segment [at, end)? Its whole start line must be there and without
   * fault. And the other side must have spoken just before: it acknowledged exactly this offset, or this segment
   * acknowledges more than one that was passed over. Where neither can be known - nothing was heard of the other side, and
   * this is the direction's first byte or comes without acknowledgement - the start line alone must do. Where the other
   * side has spoken, or nothing came before, a segment that is all the beginning of a start line begins a message too.
   */
  startsHere(kind: MessageKind, memory: Memory, at: number, end: number, position: number, ack: number): boolean {
    const turn = this.#spokeAt(position) || (this.#skipped >= 0 && ack > this.#skipped);
    if (!turn && (this.#last >= 0 || (ack >= 0 && position > 0))) return false;
    if (wholeStartLine(kind, memory, at, end)) return true;
    return (turn || position === 0) && readCutStartLine(kind, memory, at, end, start);
  }

  #spokeAt(position: number): boolean {
    return this.#turns?.includes(position) === true;
  }
}

/** Is a whole start line at `at`, and without fault? */
export function wholeStartLine(kind: MessageKind, memory: Memory, at: number, end: number): boolean {
  scan.begin(0);
  if (scan.find(memory.view, at, end) < 0) return false;
  return readStartLine(kind, memory, at, at + scan.contentEnd, scan.flags, start) && start.anomalies === 0;
}
