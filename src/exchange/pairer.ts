/**
 * Pairs the messages of one connection into exchanges. waiting.ts says which request a response answers, outcome.ts what
 * became of the call; this file decides when an exchange is ready:
 *
 *   - both messages ended, and an end by FIN or RST is known to be whose (closed());
 *   - the direction that should bring the rest has ended;
 *   - a response to bytes that are no whole head yet: the next request tells whether they were its own;
 *   - an answer to HEAD: what comes next from the server is a response, or a body that must not be there;
 *   - the response ended before the request (early_response) and the request does not end within the limit;
 *   - no response within `lateNs`. Past `timeoutNs` the call is a timeout, but a slow model's answer after a minute is
 *     still worth one whole record, so it is awaited that much longer.
 *
 * An exchange is given to the sink once, then its messages go back to their pool. A message whose exchange is out
 * before the parser ended it goes back when it ends.
 */
import { UNSEEN } from '../base/clock.ts';
import type { Connection } from '../model/connection.ts';
import type { LossReason } from '../model/loss.ts';
import { ANOMALY_BIT, type Message } from '../model/message.ts';
import type { MessageSink, StreamEnd } from '../model/stages.ts';
import { type Closing, ended, STILL_OPEN } from './closing.ts';
import { judgeGrpc } from './grpc.ts';
import { isLate, outcomeOf, upgradeOf, waited } from './outcome.ts';
import type { PairerShared } from './pairing.ts';
import type { Pending, Unanswered } from './pending.ts';
import { Waiting } from './waiting.ts';

export class Pairer implements MessageSink, Unanswered {
  readonly #connection: Connection;
  readonly #shared: PairerShared;
  readonly #waiting = new Waiting(this);
  #started = false;
  /** Its request is being received. */
  #receiving: Pending | null = null;
  /** Its response is under way, or began with interim ones. Waits in the queue too, if its request was seen. */
  #answering: Pending | null = null;
  /** The message that #answering was found for. */
  #matched: Message | null = null;
  /** Its response has ended, something else is still to come. Not in the queue. */
  #held: Pending | null = null;
  /** The held one answers HEAD, and nothing came behind it yet. */
  #bodiless = false;
  /** Messages that the parser still fills although their exchange is out. */
  #lateRequest: Message | null = null;
  #lateResponse: Message | null = null;
  #closing: Closing | null = null;

  constructor(connection: Connection, shared: PairerShared) {
    this.#connection = connection;
    this.#shared = shared;
  }

  head(message: Message): void {
    if (message.kind === 'request') this.#beginRequest(message);
    else this.#beginResponse(message);
  }

  interim(message: Message): void {
    const p = this.#match(message);
    this.#shared.interject(p, message);
    this.#matched = null;
    const end = message.endOffset >= 0 ? message.endOffset : message.startOffset + message.headBytes;
    this.#waiting.responseEnded(end, message.end, p.request !== null);
  }

  end(message: Message): void {
    if (message.kind === 'request') this.#endRequest(message);
    else this.#endResponse(message);
  }

  requestFor(response: Message): Message | null {
    return this.#match(response).request;
  }

  begins(startOffset: number): void {
    if (!this.#started) this.#start();
    this.#waiting.responseBegins(startOffset);
  }

  passed(ack: number): void {
    if (!this.#started) this.#start();
    this.#waiting.requestPassed(ack);
  }

  /** Ordinal of the exchange that `response` answers. */
  ordinalOf(response: Message): number {
    return this.#match(response).ordinal;
  }

  /**
   * The direction of `by` ended. Call it after the parser was told, once for each direction; for a reset, the direction
   * of the end that sent it first.
   */
  closed(by: 'client' | 'server', how: StreamEnd, ts: number): void {
    this.#closing ??= { ...STILL_OPEN };
    const closing = this.#closing;
    ended(closing, this.#connection, by, how, ts);
    if (closing.clientEnded && closing.serverEnded) this.#finish(ts);
    else this.#settle(ts);
  }

  /**
   * `length` bytes of the direction of `by` will never come. Those inside a message are the parser's to mark; here they
   * tell that a call without a response may well have had one, and the reason that its record then names.
   */
  gap(by: 'client' | 'server', position: number, length: number, why: LossReason | 'left_out'): void {
    this.#bodiless = false;
    this.#waiting.gap(by === 'client' ? 'request' : 'response', position, length, why === 'left_out' ? 'window' : why);
  }

  /** Time passes: call it about once a second with the time of the source. */
  tick(now: number): void {
    const { timeoutNs, lateNs } = this.#shared.limits;
    const held = this.#held;
    if (held !== null && waited(held, held.response, now) > timeoutNs) this.#emitHeld(now);
    this.#releaseBodiless(now);
    for (let p = this.#waiting.first; p !== null; p = p.next) {
      if (!p.requestDone || p.responseBegun || p.ghost) continue;
      if (waited(p, p.request, now) <= lateNs) break;
      this.#doubt(p);
      this.#publish(p, now, true);
      p.haunt(++this.#connection.exchanges);
    }
  }

  /** Answers to what waits may be among bytes that are missing, where those are another protocol's. */
  doubt(why: LossReason): void {
    for (let p = this.#waiting.first; p !== null; p = p.next) p.doubted = why;
  }

  stray(): boolean {
    const stray = this.#bodiless;
    if (stray) this.#held!.anomalies |= ANOMALY_BIT.body_where_none_allowed;
    this.#releaseBodiless(UNSEEN);
    return stray;
  }

  #releaseBodiless(ts: number): void {
    if (!this.#bodiless) return;
    this.#bodiless = false;
    this.#settleHeld(ts);
  }

  unanswered(p: Pending, why: LossReason, bytes: number): void {
    if (p === this.#answering) {
      this.#answering = null;
      this.#matched = null;
    }
    if (p.ghost) {
      this.#shared.pending.give(p);
      return;
    }
    p.unanswered = true;
    p.lose(why, bytes);
    p.leave();
    if (p.requestDone) this.#emit(p, UNSEEN);
  }

  #start(): void {
    this.#started = true;
    this.#waiting.begin(this.#connection.start === 'opened');
  }

  #take(): Pending {
    const p = this.#shared.pending.take(this.#connection);
    p.ordinal = ++this.#connection.exchanges;
    return p;
  }

  #beginRequest(request: Message): Pending {
    if (!this.#started) this.#start();
    const alone = this.#held?.request === null ? this.#held : this.#answering;
    if (alone !== null && alone.request === null && alone.response !== null && !alone.ghost) {
      if (this.#waiting.adopts(request, alone.response)) return this.#adopt(alone, request);
    }
    const p = this.#take();
    p.request = request;
    p.enter(this.#connection.load);
    const { limits, losses } = this.#shared;
    if (this.#waiting.count < limits.pendingMax) this.#waiting.push(p, request, this.#answering !== null);
    else {
      p.overflow = true;
      p.lose('queue_limit', 0);
      losses.lose('queue_limit', 1, 0);
      this.#waiting.skip(request);
    }
    this.#receiving = p;
    this.#bodiless = false;
    this.#settleHeld(request.firstByteAt);
    return p;
  }

  /** The server answered, or has begun to, before the request's head was complete (408, 431). */
  #adopt(p: Pending, request: Message): Pending {
    p.request = request;
    p.find('gap');
    p.anomalies |= ANOMALY_BIT.early_response;
    p.enter(this.#connection.load);
    if (p.responseDone) p.leave();
    this.#receiving = p;
    return p;
  }

  #endRequest(request: Message): void {
    if (request === this.#lateRequest) {
      this.#lateRequest = null;
      this.#waiting.requestEnded(request.endOffset, request.end, wentAstray(request));
      this.#shared.messagePool.give(request);
      return;
    }
    const receiving = this.#receiving;
    const p = receiving !== null && receiving.request === request ? receiving : this.#beginRequest(request);
    this.#receiving = null;
    p.requestDone = true;
    p.endOffset = request.endOffset;
    // For the pairing it was not seen.
    this.#waiting.requestEnded(request.endOffset, p.overflow ? 'lost' : request.end, wentAstray(request));
    if (p.overflow || p.unanswered) this.#emit(p, UNSEEN);
    else if (p === this.#held) this.#settleHeld(request.lastByteAt);
    else if (this.#closing !== null) this.#settle(request.lastByteAt);
  }

  /** The exchange that `response` belongs to: one that waits, or a new one without a request. */
  #match(response: Message): Pending {
    if (response === this.#matched) return this.#answering!;
    if (!this.#started) this.#start();
    this.#matched = response;
    const before = this.#answering;
    const alone = before !== null && before.request === null && !before.ghost;
    const stray = alone && before.response === null && (before.anomalies & ANOMALY_BIT.response_without_request) !== 0;
    if (alone && !stray) return before;
    const found = this.#waiting.match(response);
    if (stray) {
      if (found === null) return before;
      // An interim response that nobody had asked for came before this one's request.
      found.anomalies |= before.anomalies;
      this.#answering = null;
      this.#shared.pending.give(before);
    }
    this.#answering = found ?? this.#unasked(response);
    return this.#answering;
  }

  #unasked(response: Message): Pending {
    const p = this.#take();
    this.#waiting.explain(p, response);
    return p;
  }

  #beginResponse(response: Message): Pending {
    const p = this.#match(response);
    p.response = response;
    p.responseBegun = true;
    return p;
  }

  #endResponse(response: Message): void {
    if (response === this.#lateResponse) {
      this.#lateResponse = null;
      this.#waiting.responseEnded(response.endOffset, response.end, false);
      this.#shared.messagePool.give(response);
      return;
    }
    const p = this.#match(response);
    const queued = p === this.#waiting.first;
    this.#answering = null;
    this.#matched = null;
    this.#waiting.responseEnded(response.endOffset, response.end, queued);
    p.leave();
    p.response = response;
    p.responseBegun = true;
    p.responseDone = true;
    if (queued) this.#waiting.shift();
    if (p.request !== null && !p.requestDone && isWhole(response)) {
      p.anomalies |= ANOMALY_BIT.early_response;
    }
    if (this.#held !== null) {
      this.#doubtRequest(this.#held);
      this.#emitHeld(response.lastByteAt);
    }
    this.#held = p;
    this.#bodiless = p.request?.method === 'HEAD' && response.end === 'framed' && this.#waiting.first === null;
    this.#settleHeld(response.lastByteAt);
  }

  /** Emits what the ends of the directions have decided. */
  #settle(ts: number): void {
    this.#settleHeld(ts);
    if (this.#closing === null || !this.#closing.serverEnded) return;
    for (let p = this.#waiting.first; p !== null; p = this.#waiting.first) {
      if (!p.requestDone || p.responseBegun) break;
      this.#doubt(p);
      this.#waiting.shift();
      this.#emit(p, ts);
    }
  }

  #settleHeld(ts: number): void {
    const p = this.#held;
    if (p === null) return;
    const closing = this.#closing ?? STILL_OPEN;
    if (this.#bodiless && !closing.serverEnded && closing.resetBy === null) return;
    if (p.request === null ? this.#waiting.owes && !closing.clientEnded : !p.requestDone) return;
    // The capture or the connection's place in the table ended first: which of them is about to be told.
    if (p.request?.end === 'open' && !closing.clientEnded) return;
    const { end } = p.response!;
    const closes = end === 'rst' || end === 'short' || end === 'open';
    if (!closes || closing.serverEnded || closing.resetBy !== null) this.#emitHeld(ts);
  }

  #emitHeld(ts: number): void {
    const p = this.#held!;
    this.#held = null;
    this.#bodiless = false;
    this.#emit(p, ts);
  }

  /** Nothing more comes. */
  #finish(ts: number): void {
    if (this.#held !== null) this.#emitHeld(ts);
    const answering = this.#answering;
    if (answering !== null && answering !== this.#waiting.first) this.#emit(answering, ts);
    for (let p = this.#waiting.first; p !== null; p = this.#waiting.first) {
      if (!p.responseBegun) this.#doubt(p);
      this.#waiting.shift();
      this.#emit(p, ts);
    }
    if (this.#receiving !== null) this.#emit(this.#receiving, ts);
  }

  /** The server has answered what came after it, so its end was sent, and is among bytes that are missing or still to come. */
  #doubtRequest(p: Pending): void {
    if (p.request !== null && !p.requestDone) p.lose(this.#waiting.missingRequest, 0);
  }

  /** Its response may be among the bytes that were not captured. */
  #doubt(p: Pending): void {
    if (p.ghost) return;
    const missing = this.#waiting.missingResponse;
    if (missing === null) p.doubted ??= this.#waiting.doubt(p);
    else {
      p.unanswered = true;
      p.lose(missing.why, missing.bytes);
    }
  }

  #emit(p: Pending, now: number): void {
    // Ghosts, and interim responses without a final one, have nothing to show.
    if (p.request !== null || p.response !== null) this.#publish(p, now, false);
    if (p === this.#answering) {
      this.#answering = null;
      this.#matched = null;
    }
    this.#shared.pending.give(p);
  }

  /** Hands the exchange to the sink and its messages back. `late`: no response came within any limit. */
  #publish(p: Pending, now: number, late: boolean): void {
    const { request, response } = p;
    const { messagePool, limits } = this.#shared;
    p.leave();
    if (response === null && p.doubted !== null) {
      p.unanswered = true;
      if (p.losses.length === 0) p.lose(p.doubted, 0);
    }
    if (request !== null) {
      p.anomalies |= request.anomalies;
      if (request.losses.length > 0) p.loseAllOf(request);
    }
    if (response !== null) {
      p.anomalies |= response.anomalies;
      if (response.losses.length > 0) p.loseAllOf(response);
    }
    // A request that asked for h2c is answered on stream 1 of what the connection became (RFC 7540 3.2).
    const h2c = response?.version === 20;
    p.protocol = h2c ? 'h2c' : (request ?? response)!.version === 10 ? 'http/1.0' : 'http/1.1';
    p.outcome = outcomeOf(p, this.#closing ?? STILL_OPEN, late || isLate(p, now, limits.timeoutNs));
    if (p.outcome === 'upgraded') p.upgrade = upgradeOf(p);
    else if (request?.units?.kind === 'grpc-web') judgeGrpc(p, request, 'grpc-web', this.#shared.grpcRoutes, now);
    const gone = this.#closing?.gone ?? null;
    if (p.outcome === 'truncated' && p.losses.length === 0 && gone !== null) p.lose(gone, 0);
    this.#shared.publish(p);
    if (p === this.#receiving) this.#receiving = null;
    if (request !== null) {
      if (p.requestDone) messagePool.give(request);
      else this.#lateRequest = request;
    }
    if (response !== null) {
      if (p.responseDone) messagePool.give(response);
      else this.#lateResponse = response;
    }
  }
}

/** Of other bodies that were left out nothing is lost. */
const wentAstray = ({ losses }: Message): boolean =>
  losses.some(({ reason }) => reason === 'window' || reason === 'shed_body');

const isWhole = (response: Message): boolean => response.end === 'framed' || response.end === 'fin';
