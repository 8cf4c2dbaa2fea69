/**
 * One direction of an HTTP/1 connection: bytes in order become messages (RFC 9112). See README.md beside this
 * file for the states, and for what happens when bytes are missing or contradict themselves.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd, type MessageKind } from '../../model/message.ts';
import type { MessageSink, StreamEnd, StreamSink } from '../../model/stages.ts';
import { Body } from './body.ts';
import { type Framing, requestFraming, responseFraming } from './framing.ts';
import { Peek } from './peek.ts';
import { Resync, wholeStartLine } from './resync.ts';
import { Section, type SectionOutcome } from './section.ts';
import type { H1Shared } from './shared.ts';

export type H1State =
  /** Between messages. */
  | 'start'
  /** Between messages, after the CR of an empty line. */
  | 'start_lf'
  /** A head came in part. */
  | 'head'
  | 'body_length'
  | 'body_close'
  | 'chunks'
  | 'trailers'
  /** The body of a response whose request was not seen: is it there at all? */
  | 'peek'
  /** The expectation of this request failed before any of its body came: does the body follow, or the next request? */
  | 'refused'
  /** Bytes that are no request after one that asked for another protocol: the answer will tell. */
  | 'held'
  /** Looking for a message start. */
  | 'seeking'
  /** Framing broke: nothing more is believed. */
  | 'failed'
  /** Another protocol from `switchedAt` on. */
  | 'switched'
  | 'ended';

const CR = 13;
const LF = 10;

/** The shortest message is "HTTP/1.0 200\r\n\r\n"; fewer bytes hide no start for certain. */
const MESSAGE_BYTES_MIN = 16;

export class H1Stream implements StreamSink {
  readonly kind: MessageKind;
  /** Of its requests; "": what their targets say. */
  scheme = '';
  /** Stream offset where HTTP/1 ended, or -1. Bytes from there on are not read here. */
  switchedAt = -1;
  /** Bytes of the other protocol that came before the switch was known: from `switchedAt` on. */
  held: Uint8Array | null = null;
  readonly #sink: MessageSink;
  readonly #shared: H1Shared;
  readonly #losses: LossSink;
  readonly #section: Section;
  readonly #resync = new Resync();
  readonly #body = new Body();
  #peek: Peek | null = null;
  #peer: H1Stream | null = null;
  #state: H1State;
  #message: Message | null = null;
  /** Offset of the next byte that will come. */
  #position = 0;
  #ts = 0;
  #ack = -1;
  /** Time of the last byte of the head. */
  #headAt = 0;
  #framing: Framing = 'none';
  /** Start offset of the request whose answer may change the protocol, -1: none. */
  #asked = -1;
  /** The request in the making may ask for another protocol; it was answered already. */
  #answered = false;
  #switchNext = false;
  /** The request in the making asks for another protocol. */
  #upgrade = false;
  /** Message starts were looked for, so what stands where one is due may be anything. */
  #guessed: boolean;
  /** Bytes that the kernel took for a body hid a message start for certain: nobody has counted it yet. */
  #hidStart = false;

  constructor(kind: MessageKind, sink: MessageSink, shared: H1Shared, losses: LossSink, start: ConnectionStart) {
    this.kind = kind;
    this.#sink = sink;
    this.#shared = shared;
    this.#losses = losses;
    this.#state = start === 'opened' ? 'start' : 'seeking';
    this.#guessed = start === 'joined';
    this.#section = new Section(shared);
  }

  get state(): H1State {
    return this.#state;
  }

  /** Tells both directions of a connection of each other: needed to switch protocols and to resynchronise soundly. */
  static pair(request: H1Stream, response: H1Stream): void {
    request.#peer = response;
    response.#peer = request;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    if (length === 0) return;
    const peer = this.#peer;
    if (peer !== null) peer.#resync.spoke(ack);
    if (this.#state === 'seeking') {
      if (this.#hidStart) this.#countHidden();
      const resync = this.#resync;
      if (!resync.startsHere(this.kind, memory, offset, offset + length, position, ack)) {
        resync.skip(ack);
        if (wholeStartLine(this.kind, memory, offset, offset + length)) this.#shared.passed[this.kind]++;
        this.#losses.lose(resync.reason, 1, length);
        this.#position = position + length;
        return;
      }
      this.#state = 'start';
    }
    this.#read(memory, offset, length, position, ts, ack);
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    if (length === 0) return;
    this.told(ack);
    this.#position = position + length;
    // A segment that was cut has a time; bytes that were in no segment have none.
    this.#ts = why === 'gap' || why === 'ring_full' ? UNSEEN : ts;
    const asBody = why === 'left_out' || why === 'shed_body';
    if (this.#state === 'peek') {
      if (!asBody) {
        // Whether there is a body at all is not known, and the missing bytes may be messages.
        this.#abandonPeek(why);
        return;
      }
      this.#commitPeek();
    }
    if (this.#state === 'refused') this.#toBody();
    const message = this.#message;
    // Body bytes that were not wanted are not missing.
    const wanted = !asBody && why !== 'shed_head';
    switch (this.#state) {
      case 'body_length':
      case 'body_close':
      case 'chunks': {
        const own = this.#body.skip(message!, length, why);
        if (own < 0) this.#loseMessage(message!, why, length, position + length);
        else if (own < length) {
          // Where this body ends is known all the same; what the gap hides behind it is not.
          this.#loseMessage(message!, why, wanted ? own : length - own, position + own);
          this.#hidStart = asBody && length - own >= MESSAGE_BYTES_MIN;
        } else {
          if (wanted) message!.lose(why, length);
          if (this.#body.outcome === 'ended') this.#finish('framed', position + length);
        }
        return;
      }
      case 'head':
      case 'trailers':
        this.#loseMessage(message!, why, length, position + length);
        return;
      case 'held':
        this.#noStart();
        return;
      case 'start':
      case 'start_lf':
        if (why === 'left_out') this.#losses.lose('window', 1, length);
        this.#seek('desync');
        this.#hidStart = asBody && length >= MESSAGE_BYTES_MIN;
        return;
      case 'seeking':
        // The same hole goes on, and what hides its messages is counted by the kernel: the order inside is not known.
        if (!asBody) this.#hidStart = false;
        this.#resync.gap();
        if (why === 'left_out') this.#losses.lose(this.#resync.reason, 1, length);
        return;
      case 'failed':
        if (why === 'left_out') this.#losses.lose('desync', 1, length);
        return;
      default:
    }
  }

  /**
   * A segment that came without its bytes acknowledged `ack` of the other side's (-1: not known). It was sent all the same,
   * so the other side's next bytes begin a message.
   */
  told(ack: number): void {
    if (ack >= 0 && this.#peer !== null) this.#peer.#resync.spoke(ack);
  }

  end(how: StreamEnd, _ts: number): void {
    // The last byte of what was sent came with the last data; the last one of what was to come did not come at all.
    if (how !== 'fin' && how !== 'rst') this.#ts = UNSEEN;
    if (this.#state === 'peek') this.#commitPeek();
    if (this.#hidStart) this.#countHidden();
    const message = this.#message;
    const before = this.#state;
    if (before === 'switched' || before === 'ended') return;
    if (message !== null) {
      if (before === 'held' || (before === 'head' && !this.#section.head.started)) this.#dropGathered();
      else {
        if (before === 'head' || before === 'trailers') this.#keepPart(message);
        if (how === 'evicted' || how === 'vanished') message.lose(GONE[how], 0);
        if (how === 'fin' && before !== 'head' && before !== 'body_close' && message.losses.length === 0) {
          message.anomalies |= ANOMALY_BIT.short_body;
        }
        this.#finish(how === 'fin' ? (before === 'body_close' ? 'fin' : 'short') : ENDS[how], this.#position);
      }
    }
    this.#state = 'ended';
  }

  /** The machine: consumes all bytes, or up to a switch of protocols. */
  #read(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const end = offset + length;
    const origin = position - offset;
    const view = memory.view;
    this.#ts = ts;
    this.#ack = ack;
    this.#position = position + length;
    let at = offset;
    while (at < end) {
      switch (this.#state) {
        case 'start': {
          const first = view.getUint8(at);
          // Empty lines before a message (RFC 9112 2.2).
          if (first === LF) at++;
          else if (first === CR) {
            this.#state = 'start_lf';
            at++;
          } else at = this.#readSection(this.#take(at + origin), memory, at, end, origin);
          break;
        }
        case 'start_lf':
          this.#state = 'start';
          if (view.getUint8(at) === LF) at++;
          else {
            this.#take(at - 1 + origin);
            this.#section.head.anomalies = ANOMALY_BIT.bare_cr | ANOMALY_BIT.bad_start_line;
            if (this.#guessed) this.#noStart();
            else this.#reject(at + origin);
          }
          break;
        case 'head':
        case 'trailers':
          at = this.#readSection(this.#message!, memory, at, end, origin);
          break;
        case 'body_length':
        case 'body_close':
        case 'chunks':
          at = this.#readBody(memory, at, end, origin);
          break;
        case 'peek': {
          const peek = this.#peek!;
          if (peek.length === 0) {
            peek.ts = ts;
            peek.ack = ack;
          }
          at += peek.add(view, at, end);
          if (peek.answer === 'body') this.#commitPeek();
          else if (peek.answer === 'start_line') this.#commitNoBody();
          break;
        }
        case 'refused':
          if (wholeStartLine(this.kind, memory, at, end)) {
            this.#message!.anomalies |= ANOMALY_BIT.short_body;
            this.#finishAt('short', at + origin, this.#headAt);
          } else this.#toBody();
          break;
        case 'held':
          at = this.#hold(memory, at, end);
          break;
        case 'switched':
        case 'ended':
          return;
        case 'seeking':
        case 'failed':
          this.#losses.lose(this.#state === 'failed' ? 'desync' : this.#resync.reason, 1, end - at);
          return;
      }
    }
  }

  /** Takes a message that starts at `position`. */
  #take(position: number): Message {
    const message = this.#shared.pool.take(this.kind);
    message.scheme = this.scheme;
    message.firstByteAt = this.#ts;
    message.startOffset = position;
    message.ackOffset = this.#ack;
    this.#message = message;
    this.#answered = false;
    this.#upgrade = false;
    this.#section.begin(message.fields, false);
    return message;
  }

  /** Reads on in the head or trailer section; returns where the next byte is. */
  #readSection(message: Message, memory: Memory, at: number, end: number, origin: number): number {
    const section = this.#section;
    const outcome = section.read(message, memory, at, end);
    // What follows may begin another section.
    const { next } = section;
    this.#outcome(message, outcome, next + origin);
    return next;
  }

  #outcome(message: Message, outcome: SectionOutcome, position: number): void {
    const inTrailers = this.#section.head.trailers;
    switch (outcome) {
      case 'done':
        if (inTrailers) this.#trailersDone(message, position);
        else this.#headDone(message, position);
        return;
      case 'bad':
        if (inTrailers) {
          this.#keepPart(message);
          this.#finish('error', position);
        } else if (!this.#section.head.started && this.#asked >= 0) this.#state = 'held';
        else if (!this.#section.head.started && this.#guessed) this.#noStart();
        else this.#reject(position);
        return;
      case 'too_many':
      case 'too_large':
        this.#giveUp(message, 'head_too_large', position);
        return;
      case 'no_room':
        this.#giveUp(message, 'reassembly_limit', position);
        return;
      case 'need_more':
      case 'fold':
        this.#state = inTrailers ? 'trailers' : 'head';
        return;
    }
  }

  #headDone(message: Message, position: number): void {
    const head = this.#section.head;
    message.anomalies |= head.anomalies;
    message.headBytes = position - message.startOffset;
    message.lastByteAt = this.#ts;
    this.#headAt = this.#ts;
    if (this.kind === 'request') {
      this.#framing = requestFraming(message, head);
      this.#upgrade = head.upgrade || message.method === 'CONNECT';
      this.#sink.head(message);
      this.#startBody(position, false);
      return;
    }
    if (message.status < 200 && message.status !== 101) {
      responseFraming(message, head, null);
      message.end = 'framed';
      message.endOffset = position;
      this.#message = null;
      this.#state = 'start';
      if (this.#peer !== null) this.#peer.#resync.interjected(message.ackOffset);
      this.#sink.interim(message);
      this.#shared.pool.give(message);
      return;
    }
    const request = this.#sink.requestFor(message);
    this.#framing = responseFraming(message, head, request === null ? null : request.method);
    // The sink may end the exchange and take the request back with the response's head.
    const answered = request === null ? -1 : request.startOffset;
    this.#sink.head(message);
    if (this.#peer !== null) this.#peer.#answer(answered, this.#framing === 'switched', message.status);
    this.#startBody(position, request === null);
  }

  #startBody(position: number, unasked: boolean): void {
    switch (this.#framing) {
      case 'none':
        this.#finish('framed', position);
        return;
      case 'switched':
        this.#switchNext = true;
        this.#finish('switched', position);
        return;
      case 'error':
        this.#finish('error', position);
        return;
      case 'length':
        if (this.#section.head.contentLength === 0) {
          this.#finish('framed', position);
          return;
        }
        break;
    }
    this.#body.begin(this.#framing, this.#section.head.contentLength);
    const message = this.#message!;
    message.units = this.#shared.bodies.of(message, false);
    if (unasked) {
      this.#peek ??= new Peek();
      this.#peek.begin(position);
      this.#state = 'peek';
    } else this.#toBody();
  }

  #toBody(): void {
    this.#state = BODY_STATES[this.#framing as keyof typeof BODY_STATES];
  }

  #readBody(memory: Memory, at: number, end: number, origin: number): number {
    const body = this.#body;
    const message = this.#message!;
    const next = body.read(message, memory, at, end, this.#ts, this.#shared.limits.chunkLineBytes);
    switch (body.outcome) {
      case 'more':
        break;
      case 'ended':
        this.#finish('framed', next + origin);
        break;
      case 'trailers':
        message.trailers = this.#shared.pool.takeBlock();
        this.#section.begin(message.trailers, true);
        this.#state = 'trailers';
        break;
      case 'bad':
        this.#finish('error', next + origin);
    }
    return next;
  }

  #trailersDone(message: Message, position: number): void {
    message.anomalies |= this.#section.head.anomalies;
    this.#dropEmptyTrailers(message);
    this.#finish('framed', position);
  }

  #dropEmptyTrailers(message: Message): void {
    if (message.trailers === null || message.trailers.count > 0) return;
    this.#shared.pool.giveBlock(message.trailers);
    message.trailers = null;
  }

  /** It was a body after all. */
  #commitPeek(): void {
    const peek = this.#peek!;
    this.#toBody();
    this.#replay(peek);
  }

  /**
   * A status line stands where the body should. Where the other side has spoken in between, or when that cannot be known,
   * it is the next response, and this one answered HEAD; else it may as well be a body that quotes one: both are given up.
   */
  #commitNoBody(): void {
    const peek = this.#peek!;
    if (this.#resync.mayTurn(peek.position)) {
      this.#finishAt('framed', peek.position, this.#headAt);
      this.#replay(peek);
      return;
    }
    this.#shared.passed[this.kind]++;
    this.#abandonPeek('desync');
  }

  /** Neither a body nor a message start for certain: gives up what was looked at. */
  #abandonPeek(why: LossReason): void {
    const { length, position } = this.#peek!;
    this.#message!.lose(why, 0);
    this.#finishAt('lost', position, this.#headAt);
    if (length > 0) this.#losses.lose('desync', 1, length);
    this.#seek('desync');
  }

  #countHidden(): void {
    this.#hidStart = false;
    this.#shared.passed[this.kind]++;
  }

  /** Reads the bytes that were looked at, then stands where it stood. */
  #replay(peek: Peek): void {
    const position = this.#position;
    const ts = this.#ts;
    const ack = this.#ack;
    this.#read(peek.memory, 0, peek.length, peek.position, peek.ts, peek.ack);
    this.#position = position;
    this.#ts = ts;
    this.#ack = ack;
  }

  /** Ends the message at `position` with a byte that came now. */
  #finish(end: MessageEnd, position: number): void {
    this.#finishAt(end, position, this.#ts);
  }

  #finishAt(end: MessageEnd, position: number, at: number): void {
    const message = this.#message!;
    this.#message = null;
    message.end = end;
    message.endOffset = position;
    message.lastByteAt = at;
    if (end === 'error') {
      this.#state = 'failed';
      if (this.kind === 'response' && this.#peer !== null) this.#peer.#answerLost();
    } else if (this.#switchNext) {
      this.#state = 'switched';
      this.switchedAt = position;
    } else this.#state = 'start';
    if (this.kind === 'request' && this.#peer !== null) {
      this.#asked = this.#upgrade && !this.#answered ? message.startOffset : -1;
    }
    this.#sink.end(message);
  }

  /** What was taken for a message start is none. */
  #noStart(): void {
    this.#dropGathered();
    this.#seek('desync');
  }

  /** A head that cannot be read: an error from its first line on, with the lines that could. */
  #reject(position: number): void {
    const message = this.#message!;
    message.anomalies |= this.#section.head.anomalies;
    message.headBytes = position - message.startOffset;
    this.#announce(message);
    this.#finish('error', position);
  }

  /** The head of a message that will not be complete. */
  #announce(message: Message): void {
    if (this.kind === 'response') this.#sink.requestFor(message);
    this.#sink.head(message);
  }

  /** Keeps the lines that were read of a section that will not be complete. */
  #keepPart(message: Message): void {
    message.anomalies |= this.#section.head.anomalies;
    if (this.#section.head.trailers) this.#dropEmptyTrailers(message);
    else {
      message.headBytes = this.#section.gathered;
      this.#announce(message);
    }
  }

  /** A gap that framing needed: `bytes` of it are this message's. */
  #loseMessage(message: Message, why: LossReason | 'left_out', bytes: number, position: number): void {
    const reason = why === 'left_out' ? 'window' : why;
    if (why === 'left_out') this.#losses.lose('window', 1, bytes);
    if (this.#state === 'head' && (!this.#section.head.started || isInterim(message))) this.#dropGathered();
    else {
      if (this.#state === 'head' || this.#state === 'trailers') this.#keepPart(message);
      message.lose(reason, bytes);
      this.#finish('lost', position);
    }
    this.#seek('desync');
  }

  /** A bound was reached: the section's bytes are given up. */
  #giveUp(message: Message, reason: LossReason, position: number): void {
    const bytes = this.#section.gathered;
    this.#losses.lose(reason, 1, bytes);
    if (!this.#section.head.trailers && (!this.#section.head.started || isInterim(message))) {
      this.#message = null;
      this.#shared.pool.give(message);
    } else {
      this.#keepPart(message);
      message.lose(reason, bytes);
      this.#finish('lost', position);
    }
    this.#seek('desync');
  }

  /** Bytes of a message that never got a start line. */
  #dropGathered(): void {
    const message = this.#message!;
    this.#message = null;
    if (this.#section.gathered > 0) this.#losses.lose('desync', 1, this.#section.gathered);
    this.#shared.pool.give(message);
  }

  #seek(reason: LossReason): void {
    this.#state = 'seeking';
    this.#guessed = true;
    this.#resync.begin(reason);
    this.#asked = -1;
    if (this.kind === 'response' && this.#peer !== null) this.#peer.#answerLost();
  }

  /** The final response to the request at `startOffset` (-1: not seen) has begun. */
  #answer(startOffset: number, switched: boolean, status: number): void {
    if (switched) this.#switchOver();
    else if (startOffset >= 0 && startOffset === this.#asked) {
      this.#asked = -1;
      if (this.#state === 'held') this.#reject(this.#position);
    } else if (startOffset >= 0 && this.#message?.startOffset === startOffset) {
      this.#answered = true;
      if (status === EXPECTATION_FAILED) this.#refuse(this.#message);
    }
  }

  /**
   * RFC 9110 15.5.18: the client repeats the request without its expectation. It has not sent the body, and many do not
   * close the connection for it, though the length in its head says that a body follows.
   */
  #refuse(message: Message): void {
    const inBody = this.#state === 'body_length' || this.#state === 'chunks';
    const headEnd = message.startOffset + message.headBytes;
    if (inBody && this.#position === headEnd && message.fields.get('expect') !== null) this.#state = 'refused';
  }

  #answerLost(): void {
    if (this.#state === 'held') this.#noStart();
    this.#asked = -1;
  }

  /** The other direction said that the connection is another protocol's now. */
  #switchOver(): void {
    const unread = this.#state === 'held' || (this.#state === 'head' && !this.#section.head.started);
    if (this.#message !== null && !unread) {
      this.#switchNext = true;
      return;
    }
    this.switchedAt = this.#position;
    if (unread) {
      const message = this.#message!;
      this.held = Uint8Array.prototype.slice.call(message.fields.memory.buf, 0, this.#section.gathered);
      this.switchedAt = message.startOffset;
      this.#message = null;
      this.#shared.pool.give(message);
    }
    this.#state = 'switched';
  }

  #hold(memory: Memory, at: number, end: number): number {
    const kept = this.#section.keep(memory, at, end, this.#shared.limits.heldBytes);
    if (kept === 0) {
      this.#losses.lose('reassembly_limit', 1, end - at);
      return end;
    }
    return at + kept;
  }
}

const EXPECTATION_FAILED = 417;
const BODY_STATES = { length: 'body_length', close: 'body_close', chunked: 'chunks' } as const;
const ENDS = { rst: 'rst', capture_end: 'open', evicted: 'lost', vanished: 'lost' } as const;
const GONE = { evicted: 'connection_limit', vanished: 'end_unseen' } as const;

const isInterim = (message: Message): boolean =>
  message.kind === 'response' && message.status >= 100 && message.status < 200;
