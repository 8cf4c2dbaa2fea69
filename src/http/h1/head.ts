/** Where reading stands in a head or trailer section. */
import type { Entry } from '../lines.ts';
import { CODING_NONE, type Coding, LENGTH_NONE, type Lengths } from './framing.ts';
import type { Learnt } from './learnt.ts';
import { LineScan } from './scan.ts';

export type HeadOutcome =
  /** The empty line was read. */
  | 'done'
  | 'need_more'
  /** A folded line, in memory that must not be changed: call again with a copy. */
  | 'fold'
  /** Lines that cannot be trusted; `anomalies` says which rule they break. */
  | 'bad'
  /** More lines than a block may have. */
  | 'too_many';

/** Lines with a value of their own up to which the list of them is kept. */
const VARIED_KEPT = 256;

/** Where reading stands in the section of one direction of one connection. */
export class Head implements Lengths {
  /** Offset of the first unread line, from the section's start. */
  at = 0;
  /** The start line was read (always in trailers). */
  started = false;
  trailers = false;
  anomalies = 0;
  /** LENGTH_NONE, LENGTH_BAD or the length. */
  contentLength = LENGTH_NONE;
  coding: Coding = CODING_NONE;
  hosts = 0;
  upgrade = false;
  /** A framing field was folded: parsers differ on what it says. */
  foldedFraming = false;
  /** Lines whose value lies in memory, not in a shared line: which, how many, and the bytes of their values. */
  readonly varied: number[] = [];
  variedCount = 0;
  variedBytes = 0;
  readonly scan = new LineScan();
  /** The line before, for folding: entry, value offset (from the section's start) and length. */
  lastEntry: Entry | null = null;
  lastValueAt = 0;
  lastValueLength = 0;
  /** What the direction has learnt of its heads, and where in its lines reading is. */
  learnt!: Learnt;
  cursor = 0;

  begin(trailers: boolean, learnt: Learnt): void {
    this.learnt = learnt;
    this.at = 0;
    this.started = trailers;
    this.trailers = trailers;
    this.anomalies = 0;
    this.contentLength = LENGTH_NONE;
    this.coding = CODING_NONE;
    this.hosts = 0;
    this.upgrade = false;
    this.foldedFraming = false;
    if (this.varied.length > VARIED_KEPT) this.varied.length = 0;
    this.variedCount = 0;
    this.variedBytes = 0;
    this.scan.begin(0);
    this.lastEntry = null;
    this.cursor = 0;
    learnt.sections++;
  }

  /** Line `index` has a value of its own, `length` bytes. */
  vary(index: number, length: number): void {
    this.varied[this.variedCount++] = index;
    this.variedBytes += length;
  }
}
