/**
 * Behind some heads a body may follow or the next message, and only the first bytes tell: those of a response whose request was not seen
 * (it may answer HEAD), and of a request whose expectation was refused. peek.ts keeps those bytes; this file draws the conclusion.
 */
import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import { ANOMALY_BIT } from '../../model/message.ts';
import { MessageReader } from './message-reader.ts';
import { type Peek, RefusedPeek, UnaskedPeek } from './peek.ts';
import { wholeStartLine } from './resync.ts';

export abstract class BodyOrNot extends MessageReader {
  protected peek: Peek | null = null;

  /** Did the other side speak at `position`? null: that cannot be known. */
  protected abstract isTurn(position: number): boolean | null;

  protected override look(position: number): void {
    this.peek ??= new UnaskedPeek();
    this.peek.begin(position);
    this.state = 'peek';
  }

  protected lookOn(memory: Memory, at: number, end: number): number {
    const peek = this.peek!;
    const next = at + peek.add(memory.view, at, end, this.ts, this.ack);
    if (peek.answer === 'body') this.commitPeek();
    else if (peek.answer === 'start_line' && this.kind === 'response') this.#commitNoBody();
    else if (peek.answer === 'start_line') this.#endUnsent();
    return next;
  }

  /** It was a body after all. */
  protected commitPeek(): void {
    this.toBody();
    this.#replay(this.peek!);
  }

  /**
   * A status line stands where the body should. Where the other side has spoken in between, or when that cannot be known,
   * it is the next response, and this one answered HEAD; else it may as well be a body that quotes one: both are given up.
   */
  #commitNoBody(): void {
    const peek = this.peek!;
    if (this.isTurn(peek.position) !== false) {
      this.finishAt('framed', peek.position, this.headAt);
      this.#replay(peek);
      return;
    }
    this.shared.passed[this.kind]++;
    this.abandonPeek('desync');
  }

  /** The refused body was not sent: what was looked at begins the next request. */
  #endUnsent(): void {
    this.message!.anomalies |= ANOMALY_BIT.short_body;
    this.finishAt('short', this.peek!.position, this.headAt);
    this.#replay(this.peek!);
  }

  /** Neither a body nor a message start for certain: gives up what was looked at. */
  protected abandonPeek(why: LossReason): void {
    const { length, position } = this.peek!;
    this.message!.lose(why, 0);
    this.finishAt('lost', position, this.headAt);
    if (length > 0) this.losses.lose('desync', 1, length);
    this.seek('desync');
  }

  /** Reads the bytes that were looked at, then stands where it stood. */
  #replay(peek: Peek): void {
    const position = this.position;
    const ts = this.ts;
    const ack = this.ack;
    this.read(peek.memory, 0, peek.length, peek.position, peek.ts, peek.ack);
    this.position = position;
    this.ts = ts;
    this.ack = ack;
  }

  /** The request in the making was answered before its body, which may not come any more. */
  protected refuse(position: number): void {
    this.peek ??= new RefusedPeek();
    this.peek.begin(position);
    this.state = 'refused';
  }

  /** Behind a refusal; returns where reading goes on. A body of known length may hold anything: a whole request line at its first byte is none of it. */
  protected lookPast(memory: Memory, at: number, end: number): number {
    if (this.framing === 'chunked') return this.lookOn(memory, at, end);
    if (wholeStartLine(this.kind, memory, at, end)) this.#endUnsent();
    else this.toBody();
    return at;
  }

  /** Nothing more comes. */
  protected settlePeek(): void {
    if (this.peek!.mayBeBody) this.commitPeek();
    else this.#endUnsent();
  }
}
