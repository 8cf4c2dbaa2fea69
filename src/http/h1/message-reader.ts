/**
 * One direction of an HTTP/1 connection as long as no byte is missing: bytes become messages (RFC 9112). What is not the
 * next byte of a message as the RFC has it - gaps, other protocols, requests that nobody saw - is stream.ts's.
 */
import type { Memory } from '../../base/memory.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd, type MessageKind } from '../../model/message.ts';
import type { MessageSink } from '../../model/stages.ts';
import { Begun } from './begun.ts';
import { Body } from './body.ts';
import { endInDoubt } from './ends.ts';
import { type Framing, requestFraming, responseFraming } from './framing.ts';
import { Learnt } from './learnt.ts';
import type { Section, SectionOutcome } from './section.ts';
import type { H1Shared } from './shared.ts';
import type { H1State } from './state.ts';

const CR = 13;
const LF = 10;
/** Every status line begins with it. */
const CAPITAL_H = 72;

export abstract class MessageReader {
  readonly kind: MessageKind;
  /** Of its requests; "": what their targets say. */
  scheme = '';
  /** Stream offset where HTTP/1 ended, or -1. Bytes from there on are not read here. */
  switchedAt = -1;
  state: H1State;
  protected readonly sink: MessageSink;
  protected readonly shared: H1Shared;
  protected readonly losses: LossSink;
  /** Of the section at hand; its own while that is not whole. */
  protected section: Section;
  #keeps = false;
  readonly #learnt = new Learnt();
  protected readonly body = new Body();
  protected message: Message | null = null;
  protected readonly begun = new Begun();
  /** Offset of the next byte that will come. */
  protected position = 0;
  protected ts = 0;
  protected ack = -1;
  /** Time of the last byte of the head. */
  protected headAt = 0;
  protected framing: Framing = 'none';
  /** The request in the making was answered already; it asks for another protocol. */
  protected answered = false;
  protected upgrade = false;
  /** The message in the making ends HTTP/1. */
  protected switchNext = false;
  /** What was taken for a message start may have been a body that quotes one: what is read from there on is no more certain. */
  protected unsure = false;
  /** Message starts were looked for, so what stands where one is due may be anything. */
  protected guessed: boolean;

  constructor(kind: MessageKind, sink: MessageSink, shared: H1Shared, losses: LossSink, start: ConnectionStart) {
    this.kind = kind;
    this.sink = sink;
    this.shared = shared;
    this.losses = losses;
    this.state = start === 'opened' ? 'start' : 'seeking';
    this.guessed = start === 'joined';
    this.section = shared.section;
  }

  /** The bytes [at, end) came in a state that is none of a message's own; returns where reading goes on. */
  protected abstract elsewhere(memory: Memory, at: number, end: number): number;
  /** What stands where a message is due, up to `position`, is no head. */
  protected abstract unreadable(position: number): void;
  /** Nobody knows where the next message starts; `reason`: why bytes are passed over until one is found. */
  protected abstract seek(reason: LossReason): void;
  /** What was taken for a message start is none. */
  protected abstract noStart(): void;
  /** A section is larger than a bound. */
  protected abstract tooMuch(message: Message, reason: LossReason, position: number): void;
  /** An interim response came. */
  protected abstract interjected(message: Message): void;
  /** The head of a final response to the request at `startOffset` (-1: not seen) came; `framing` is known. */
  protected abstract answers(startOffset: number): void;
  /** A body may follow at `position`, or not: the request is not known. */
  protected abstract look(position: number): void;
  /** The last chunk of a body that went astray seems to end at `position`. */
  protected abstract found(position: number): void;
  /** `message` has ended; the sink is about to be told. */
  protected abstract finished(message: Message): void;

  /** How many of the next bytes are a body's of which nobody needs more than the number. */
  spares(): number {
    const { state } = this;
    const inBody = state === 'body_length' || state === 'chunks' || state === 'body_close';
    return inBody ? this.body.spares(this.message!) : 0;
  }

  /** `length` bytes of a chunked body will never come, with size lines among them: it goes on until the next message begins. */
  protected stray(message: Message, length: number, why: LossReason | 'left_out'): void {
    // Of an answer that was when its head came: bytes that miss are often told when the next request has been read.
    if (!this.body.astray && this.kind === 'request') this.begun.listen(Number.POSITIVE_INFINITY);
    this.body.stray(message, length, why);
    this.guessed = true;
    if (why === 'left_out') this.losses.lose('window', 1, length);
  }

  /** The machine: consumes all bytes, or up to a switch of protocols. */
  protected read(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const end = offset + length;
    const origin = position - offset;
    const view = memory.view;
    this.ts = ts;
    this.ack = ack;
    this.position = position + length;
    let at = offset;
    while (at < end) {
      switch (this.state) {
        case 'start': {
          const first = view.getUint8(at);
          // Empty lines before a message (RFC 9112 2.2).
          if (first === LF) at++;
          else if (first === CR) {
            this.state = 'start_lf';
            at++;
          } else {
            if (first !== CAPITAL_H && this.kind === 'response' && this.sink.stray?.() === true) this.seek('desync');
            else at = this.#readSection(this.take(at + origin), memory, at, end, origin);
          }
          break;
        }
        case 'start_lf':
          this.state = 'start';
          if (view.getUint8(at) === LF) at++;
          else {
            this.take(at - 1 + origin);
            this.section.head.anomalies = ANOMALY_BIT.bare_cr | ANOMALY_BIT.bad_start_line;
            if (this.guessed) this.noStart();
            else this.reject(at + origin);
          }
          break;
        case 'head':
        case 'trailers':
          at = this.#readSection(this.message!, memory, at, end, origin);
          break;
        case 'body_length':
        case 'body_close':
        case 'chunks':
          at = this.#readBody(memory, at, end, origin);
          break;
        default:
          at = this.elsewhere(memory, at, end);
      }
    }
  }

  /** Takes a message that starts at `position`. */
  protected take(position: number): Message {
    const message = this.shared.pool.take(this.kind);
    this.begun.begin(position, this.ack);
    if (this.unsure) this.unsure = !this.begun.turns(position);
    if (this.unsure) message.lose('desync', 0);
    message.scheme = this.scheme;
    message.firstByteAt = this.ts;
    message.startOffset = position;
    message.ackOffset = this.ack;
    this.message = message;
    this.answered = false;
    this.upgrade = false;
    this.#dropSection();
    this.section.begin(message.fields, false, this.#learnt);
    return message;
  }

  /** What was read of the section comes with its rest: nobody else may use it meanwhile. */
  #keepSection(): void {
    if (this.#keeps) return;
    this.#keeps = true;
    this.shared.keepSection();
  }

  #dropSection(): void {
    if (this.#keeps) this.shared.giveSection(this.section);
    this.#keeps = false;
    this.section = this.shared.section;
  }

  /** Reads on in the head or trailer section; returns where the next byte is. */
  #readSection(message: Message, memory: Memory, at: number, end: number, origin: number): number {
    const section = this.section;
    const outcome = section.read(message, memory, at, end);
    // What follows may begin another section.
    const { next } = section;
    this.#outcome(message, outcome, next + origin);
    const { state } = this;
    if (state === 'head' || state === 'trailers' || state === 'held') this.#keepSection();
    else this.#dropSection();
    return next;
  }

  #outcome(message: Message, outcome: SectionOutcome, position: number): void {
    const inTrailers = this.section.head.trailers;
    switch (outcome) {
      case 'done':
        if (inTrailers) this.#trailersDone(message, position);
        else this.#headDone(message, position);
        return;
      case 'bad':
        if (inTrailers) {
          this.keepPart(message);
          if (this.body.doubtful) {
            this.found(position);
            this.seek('desync');
          } else this.finish('error', position);
        } else this.unreadable(position);
        return;
      case 'too_many':
      case 'too_large':
        this.tooMuch(message, 'head_too_large', position);
        return;
      case 'no_room':
        this.tooMuch(message, 'reassembly_limit', position);
        return;
      case 'need_more':
      case 'fold':
        this.state = inTrailers ? 'trailers' : 'head';
        if (!inTrailers && this.kind === 'response') this.sink.begins?.(message.startOffset);
        return;
    }
  }

  #headDone(message: Message, position: number): void {
    const head = this.section.head;
    message.anomalies |= head.anomalies;
    message.headBytes = position - message.startOffset;
    message.lastByteAt = this.ts;
    this.headAt = this.ts;
    if (this.kind === 'request') {
      this.framing = requestFraming(message, head);
      this.upgrade = head.upgrade || message.method === 'CONNECT';
      this.sink.head(message);
      this.#startBody(position, false);
      return;
    }
    if (message.status < 200 && message.status !== 101) {
      responseFraming(message, head, null);
      message.end = this.unsure ? endInDoubt('framed') : 'framed';
      message.endOffset = position;
      this.message = null;
      this.state = 'start';
      this.interjected(message);
      this.sink.interim(message);
      this.shared.pool.give(message);
      return;
    }
    const request = this.sink.requestFor(message);
    this.framing = responseFraming(message, head, request === null ? null : request.method);
    // The sink may end the exchange and take the request back with the response's head.
    const answered = request === null ? -1 : request.startOffset;
    this.sink.head(message);
    this.answers(answered);
    this.#startBody(position, request === null);
  }

  #startBody(position: number, unasked: boolean): void {
    switch (this.framing) {
      case 'none':
        this.finish('framed', position);
        return;
      case 'switched':
        this.switchNext = true;
        this.finish('switched', position);
        return;
      case 'error':
        this.finish('error', position);
        return;
      case 'length':
        if (this.section.head.contentLength === 0) {
          this.finish('framed', position);
          return;
        }
        break;
    }
    this.body.begin(this.framing, this.section.head.contentLength);
    const message = this.message!;
    message.units = this.shared.bodies.of(message, false);
    if (unasked) this.look(position);
    else this.toBody();
  }

  protected toBody(): void {
    this.state = BODY_STATES[this.framing as keyof typeof BODY_STATES];
  }

  #readBody(memory: Memory, at: number, end: number, origin: number): number {
    const body = this.body;
    const message = this.message!;
    const next = body.read(message, memory, at, end, this.ts, this.shared.limits.chunkLineBytes);
    switch (body.outcome) {
      case 'more':
        break;
      case 'ended':
        this.finish('framed', next + origin);
        break;
      case 'trailers':
        message.trailers = this.shared.pool.takeBlock();
        this.#dropSection();
        this.section.begin(message.trailers, true, this.#learnt);
        this.#keepSection();
        this.state = 'trailers';
        break;
      case 'bad':
        this.finish('error', next + origin);
    }
    return next;
  }

  #trailersDone(message: Message, position: number): void {
    message.anomalies |= this.section.head.anomalies;
    this.#dropEmptyTrailers(message);
    if (this.body.doubtful) this.found(position);
    else this.finish('framed', position);
  }

  #dropEmptyTrailers(message: Message): void {
    if (message.trailers === null || message.trailers.count > 0) return;
    this.shared.pool.giveBlock(message.trailers);
    message.trailers = null;
  }

  /** Ends the message at `position` with a byte that came now. */
  protected finish(end: MessageEnd, position: number): void {
    this.finishAt(end, position, this.ts);
  }

  protected finishAt(end: MessageEnd, position: number, at: number): void {
    const message = this.message!;
    this.message = null;
    message.end = this.unsure ? endInDoubt(end) : end;
    message.endOffset = position;
    message.lastByteAt = at;
    if (end === 'error') this.state = 'failed';
    else if (this.switchNext) {
      this.state = 'switched';
      this.switchedAt = position;
    } else this.state = 'start';
    this.finished(message);
    this.sink.end(message);
  }

  /** A head that cannot be read: an error from its first line on, with the lines that could. */
  protected reject(position: number): void {
    const message = this.message!;
    message.anomalies |= this.section.head.anomalies;
    message.headBytes = position - message.startOffset;
    this.announce(message);
    this.finish('error', position);
  }

  /** The head of a message that will not be complete. */
  protected announce(message: Message): void {
    if (this.kind === 'response') this.sink.requestFor(message);
    this.sink.head(message);
  }

  /** Keeps the lines that were read of a section that will not be complete. */
  protected keepPart(message: Message): void {
    message.anomalies |= this.section.head.anomalies;
    if (this.section.head.trailers) this.#dropEmptyTrailers(message);
    else {
      message.headBytes = this.section.gathered;
      this.announce(message);
    }
  }

  /** Bytes of a message that never got a start line. */
  protected dropGathered(): void {
    const message = this.message!;
    this.message = null;
    if (this.section.gathered > 0) this.losses.lose('desync', 1, this.section.gathered);
    this.shared.pool.give(message);
  }
}

const BODY_STATES = { length: 'body_length', close: 'body_close', chunked: 'chunks' } as const;
