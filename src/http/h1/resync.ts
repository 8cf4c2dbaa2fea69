/** Finding a message start again, when bytes are missing or the connection is older than the capture. */
import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import type { MessageKind } from '../../model/message.ts';
import { LineScan } from './scan.ts';
import { emptyStartLine, readCutStartLine, readStartLine } from './start.ts';

/** The most turns that are remembered besides the last. */
const KEPT = 15;

const start = emptyStartLine();
const scan = new LineScan();

/**
 * What one direction knows of its message starts. It remembers turns: offsets of this direction that data of the other
 * one acknowledged, and that are still to come: mostly there is one. A message that does not share a burst with the one before it starts at such an offset; a piece of a
 * body does not, save where the other side answers early. That tells a message from a body that looks like one.
 */
export class Resync {
  /** What bytes that are passed over are called. */
  reason: LossReason = 'joined_midstream';
  /** The last acknowledgement noted; -1: not known. */
  #last = -1;
  /** The last turn, and those before it that are still to come. */
  #turn = -1;
  #turns: readonly number[] | null = null;
  /** What the first segment that was passed over acknowledged, -1: none since the last gap. */
  #skipped = -1;

  /** Data of the other side acknowledged `ack` of this one; -1: not known. Turns before `from` are of no use any more. */
  spoke(ack: number, from: number): void {
    if (ack === this.#last) return;
    if (this.#turn >= from) this.#remember(from);
    this.#last = ack;
    this.#turn = ack;
  }

  #remember(from: number): void {
    const kept = this.#turns?.filter((turn) => turn >= from) ?? [];
    this.#turns = [...kept.slice(-(KEPT - 1)), this.#turn];
  }

  /** What was said at `ack` was no turn: the other side only interjected (100 Continue). */
  interjected(ack: number): void {
    if (ack === this.#turn) this.#turn = -1;
    else if (this.#turns !== null) this.#turns = this.#turns.filter((turn) => turn !== ack);
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
    return position === this.#turn || this.#turns?.includes(position) === true;
  }
}

/** Is a whole start line at `at`, and without fault? */
export function wholeStartLine(kind: MessageKind, memory: Memory, at: number, end: number): boolean {
  scan.begin(0);
  if (scan.find(memory.view, at, end) < 0) return false;
  return readStartLine(kind, memory, at, at + scan.contentEnd, scan.flags, start) && start.anomalies === 0;
}
