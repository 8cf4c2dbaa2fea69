/**
 * Pairs the messages of one HTTP/2 connection into exchanges, by stream. What became of a call is outcome.ts's, as in
 * HTTP/1; a stream that was reset is to its call what a reset connection is there, but for one row: a client that resets
 * a stream while it waits has cancelled the call (client_abort), unless its time was up. An exchange is ready when
 *
 *   - both messages ended by themselves, or the stream was reset;
 *   - the server said that it never looked at the stream (GOAWAY);
 *   - the direction that should bring the rest has ended;
 *   - no response came within `lateNs`; or, where bytes of the server are missing, within `timeoutNs`;
 *   - the response ended, and the request does not within `timeoutNs`.
 */
import { IdTable } from '../base/id-table.ts';
import type { Connection } from '../model/connection.ts';
import type { Protocol } from '../model/exchange.ts';
import type { LossReason } from '../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd } from '../model/message.ts';
import type { MultiplexSink, Peer, StreamEnd } from '../model/stages.ts';
import type { WebSocketEnd, WebSocketSession } from '../model/websocket.ts';
import { type Closing, ended, STILL_OPEN } from './closing.ts';
import { grpcKind, judgeGrpc } from './grpc.ts';
import { isLate, outcomeOf, waited } from './outcome.ts';
import type { PairerShared } from './pairing.ts';
import type { Pending } from './pending.ts';

/** Calls of one connection that have begun and not ended. */
const CALLS_MAX = 4_096;

export class H2Pairer implements MultiplexSink {
  readonly #connection: Connection;
  readonly #shared: PairerShared;
  readonly #protocol: Protocol;
  readonly #calls = new IdTable<Pending>();
  /** Messages that the parser still fills although their exchange is out. */
  #late: Set<Message> | null = null;
  #closing: Closing | null = null;
  /** The stream whose reset is being told. */
  #resetId = 0;
  #resetBy: Peer = 'client';
  /** Why requests may have passed without being seen; null: they have not. */
  #requestLoss: LossReason | null;
  /** Bytes of the server that are missing up to `end`; null: none are. */
  #answersLost: { readonly why: LossReason; readonly end: number } | null = null;

  /** `joined`: calls may have begun before the first byte that was seen. */
  constructor(connection: Connection, shared: PairerShared, protocol: Protocol, joined: boolean) {
    this.#connection = connection;
    this.#shared = shared;
    this.#protocol = protocol;
    this.#requestLoss = joined ? 'joined_midstream' : null;
  }

  head(message: Message): void {
    if (message.kind === 'request') this.#begin(message);
    else {
      const p = this.#answered(message.streamId);
      if (p.response !== null) {
        // There is one response to a request; what follows it on the stream breaks the protocol.
        p.anomalies |= ANOMALY_BIT.h2_frame_error;
        this.#later(message);
        return;
      }
      p.response = message;
      p.responseBegun = true;
    }
  }

  interim(message: Message): void {
    this.#shared.interject(this.#answered(message.streamId), message);
  }

  end(message: Message): void {
    if (this.#late?.delete(message)) {
      this.#shared.messagePool.give(message);
      return;
    }
    const p = this.#calls.get(message.streamId);
    if (p === undefined || (p.request !== message && p.response !== message)) {
      this.#shared.messagePool.give(message);
      return;
    }
    if (message.kind === 'request') p.requestDone = true;
    else {
      p.responseDone = true;
      p.leave();
    }
    if (this.#ready(p, message.streamId)) this.#emit(p, message.streamId, message.lastByteAt);
  }

  reset(by: Peer, streamId: number, _code: number, ts: number): void {
    this.#resetId = streamId;
    this.#resetBy = by;
    const p = this.#calls.get(streamId);
    if (p === undefined || p.ghost) return;
    // Messages that are under way are about to end.
    if ((p.request === null || p.requestDone) && (!p.responseBegun || p.responseDone)) this.#emit(p, streamId, ts);
  }

  goaway(by: Peer, lastStreamId: number, ts: number): void {
    if (by === 'client') return;
    for (const [id, p] of this.#calls.entries()) {
      if (id <= lastStreamId || id % 2 === 0 || p.responseBegun || p.ghost) continue;
      this.#resetId = id;
      this.#resetBy = by;
      this.#emit(p, id, ts);
    }
  }

  missed(by: Peer, why: LossReason, end: number): void {
    if (by === 'server') this.#answersLost = { why, end };
    if (by === 'client') this.#requestLoss = why;
    // Where the answers are missing, requests may be that nobody has missed yet.
    else this.#requestLoss ??= why;
    // An answer, or a reset by either peer, may have been among the bytes.
    for (const [, p] of this.#calls.entries()) p.doubted = why;
  }

  unseenRequests(why: LossReason): void {
    this.#requestLoss = why;
  }

  /** The direction of `by` ended. Call it after the parser was told; for a reset, the direction that sent it first. */
  closed(by: Peer, how: StreamEnd, ts: number): void {
    this.#closing ??= { ...STILL_OPEN };
    const closing = this.#closing;
    ended(closing, this.#connection, by, how, ts);
    this.#resetId = 0;
    const over = closing.clientEnded && closing.serverEnded;
    for (const [id, p] of this.#calls.entries()) if (over || this.#ready(p, id)) this.#emit(p, id, ts);
  }

  /** Time passes: call it about once a second with the time of the source. */
  tick(now: number): void {
    const { timeoutNs, lateNs } = this.#shared.limits;
    this.#resetId = 0;
    for (const [id, p] of this.#calls.entries()) {
      if (p.ghost) continue;
      if (!p.responseBegun) {
        if (!p.requestDone) continue;
        const age = waited(p, p.request, now);
        if (p.doubted !== null && age > timeoutNs) this.#emit(p, id, now);
        else if (age > lateNs) {
          this.#publish(p, id, now, true);
          p.haunt(++this.#connection.exchanges);
        }
      } else if (p.responseDone ? !p.requestDone : p.response!.losses.length > 0) {
        if (waited(p, p.response, now) > timeoutNs) this.#emit(p, id, now);
      }
    }
  }

  #take(): Pending {
    const p = this.#shared.pending.take(this.#connection);
    p.ordinal = ++this.#connection.exchanges;
    return p;
  }

  #begin(request: Message): void {
    const id = request.streamId;
    const before = this.#calls.get(id);
    if (before !== undefined) {
      // A stream cannot be used again (RFC 9113 5.1.1).
      if (!before.ghost) before.anomalies |= ANOMALY_BIT.h2_frame_error;
      this.#emit(before, id, request.firstByteAt);
    }
    const p = this.#take();
    p.request = request;
    p.enter(this.#connection.load);
    this.#calls.set(id, p);
    // Asked before the client had what is missing, which may be known by now: both directions wait for what is out of order.
    const { ackOffset } = request;
    const lost = this.#answersLost;
    if (lost !== null && ackOffset >= 0 && ackOffset < lost.end) p.doubted = lost.why;
    else if (ackOffset < 0 && this.#connection.start === 'joined') p.doubted = 'joined_midstream';
    if (this.#calls.size <= CALLS_MAX) return;
    p.overflow = true;
    p.lose('queue_limit', 0);
    this.#shared.losses.lose('queue_limit', 1, 0);
    this.#emit(p, id, request.firstByteAt);
  }

  /** The call that the server answers on stream `id`, or a new one without a request. */
  #answered(id: number): Pending {
    const known = this.#calls.get(id);
    if (known !== undefined) return known;
    const p = this.#take();
    // The answer to a request in HTTP/1 that was upgraded (RFC 7540 3.2), and not seen.
    if (id === 1 && this.#connection.start === 'joined') p.lose('joined_midstream', 0);
    else if (this.#requestLoss === null) p.anomalies |= ANOMALY_BIT.response_without_request;
    else p.lose(this.#requestLoss, 0);
    this.#calls.set(id, p);
    return p;
  }

  /** Whether nothing more comes for `p`, and it is known why. */
  #ready(p: Pending, id: number): boolean {
    const { request, response } = p;
    const closing = this.#closing ?? STILL_OPEN;
    if (p.ghost && !p.responseDone) return false;
    if (request !== null && !p.requestDone) return false;
    if (id === this.#resetId) return true;
    if (request !== null && byConnection(request) && !closing.clientEnded) return false;
    if (!p.responseBegun) return closing.serverEnded;
    return p.responseDone && (!byConnection(response!) || closing.serverEnded || closing.resetBy !== null);
  }

  #closingOf(id: number): Readonly<Closing> {
    if (id !== this.#resetId) return this.#closing ?? STILL_OPEN;
    return { ...(this.#closing ?? STILL_OPEN), resetBy: this.#resetBy };
  }

  #emit(p: Pending, id: number, now: number): void {
    this.#calls.delete(id);
    if (p.request !== null || p.response !== null) this.#publish(p, id, now, false);
    else p.leave();
    this.#shared.pending.give(p);
  }

  /** Hands the exchange to the sink and its messages back. `late`: no response came within any limit. */
  #publish(p: Pending, id: number, now: number, late: boolean): void {
    const { request, response } = p;
    const { exchangeSink, limits } = this.#shared;
    p.leave();
    if (response === null && p.doubted !== null) {
      p.unanswered = true;
      p.lose(p.doubted, 0);
    }
    if (request !== null) p.mark(request);
    if (response !== null) p.mark(response);
    p.protocol = this.#protocol;
    const closing = this.#closingOf(id);
    const session = websocketOf(p);
    this.#judge(p, closing, now, late || isLate(p, now, limits.timeoutNs));
    if (p.outcome === 'truncated' && p.losses.length === 0 && closing.gone !== null) p.lose(closing.gone, 0);
    this.#shared.publish(p);
    if (session !== null) exchangeSink.websocket(session);
    if (request !== null) this.#giveBack(request, p.requestDone);
    if (response !== null) this.#giveBack(response, p.responseDone);
  }

  #judge(p: Pending, closing: Readonly<Closing>, now: number, late: boolean): void {
    const { request, response } = p;
    // A client that has all that was announced need not wait for END_STREAM before it closes the stream (curl).
    const cut = response?.end === 'rst' && closing.resetBy === 'client';
    if (cut && response.bodyBytes > 0 && response.bodyBytes === declaredLength(response)) response.end = 'framed';
    if (request !== null && response !== null) {
      if (request.end !== 'framed' && p.responseDone && response.end === 'framed') {
        p.anomalies |= ANOMALY_BIT.early_response;
      }
      if (request.method === 'CONNECT' && response.status >= 200 && response.status < 300) {
        response.end = 'switched';
        p.upgrade = request.protocol === '' ? 'connect' : request.protocol.toLowerCase();
      }
    }
    const mismatch =
      (request !== null && mismatched(request)) ||
      (response !== null && !mayLackBody(request?.method ?? '', response) && mismatched(response));
    if (mismatch) p.anomalies |= ANOMALY_BIT.content_length_mismatch;
    p.outcome = outcomeOf(p, closing, late);
    if (mismatch) p.outcome = 'protocol_error';
    else if (p.outcome === 'timeout' && response === null && !late && closing.resetBy === 'client') {
      // The client took back the stream alone: it says so by a frame, where HTTP/1 can only close.
      if (this.#closing?.resetBy !== 'client') p.outcome = 'client_abort';
    }
    const kind = request === null ? '' : grpcKind(request);
    if (kind !== '') judgeGrpc(p, request!, kind, this.#shared.grpcRoutes, now);
  }

  #giveBack(message: Message, done: boolean): void {
    if (done) this.#shared.messagePool.give(message);
    else this.#later(message);
  }

  #later(message: Message): void {
    this.#late ??= new Set();
    this.#late.add(message);
  }
}

/** It ended with the connection, not by itself. */
const byConnection = (message: Message): boolean =>
  message.end === 'rst' || message.end === 'short' || message.end === 'open';

/** The WebSocket that `p` is the handshake of (RFC 8441), which ended with it; null: it is none. Call it before the end is judged. */
function websocketOf({ connection, ordinal, request, response }: Pending): WebSocketSession | null {
  const client = request?.units ?? null;
  const server = response?.units ?? null;
  if (client?.kind !== 'websocket' || server?.kind !== 'websocket') return null;
  const ends = [request!.end, response!.end];
  const closes = (client.close === null ? 0 : 1) + (server.close === null ? 0 : 1);
  const end = closes === 2 ? 'closed' : WEBSOCKET_END.find(([of]) => ends.includes(of))?.[1];
  return {
    connection,
    ordinal,
    beganAt: response!.firstByteAt,
    endedAt: Math.max(request!.lastByteAt, response!.lastByteAt),
    end: end ?? (closes === 1 ? 'closed' : client.closeUnseen || server.closeUnseen ? 'lost' : 'cut'),
    client,
    server,
  };
}

const WEBSOCKET_END: ReadonlyArray<readonly [MessageEnd, WebSocketEnd]> = [
  ['rst', 'reset'],
  ['lost', 'lost'],
  ['open', 'open'],
];

/** Its Content-Length is that of a body which is not sent; where the method was lost (''), nothing contradicts that. */
const mayLackBody = (method: string, { status, bodyBytes }: Message): boolean =>
  method === 'HEAD' || status === 304 || (method === '' && bodyBytes === 0);

const DIGITS = /^\d{1,15}$/;

/** Content-Length; null: there is none, NaN: it is no number. */
function declaredLength(message: Message): number | null {
  const declared = message.fields.get('content-length');
  return declared === null ? null : DIGITS.test(declared) ? +declared : Number.NaN;
}

/** Content-Length says something else than the frames (RFC 9113 8.1.1). */
function mismatched(message: Message): boolean {
  if (message.end !== 'framed' || message.losses.length > 0) return false;
  const declared = declaredLength(message);
  return declared !== null && declared !== message.bodyBytes;
}
