import { assert } from '../base/assert.ts';
import { UNSEEN } from '../base/clock.ts';
import type { Connection } from '../model/connection.ts';
import { Exchange, type Interim } from '../model/exchange.ts';
import type { LoadCounter } from '../model/load.ts';
import type { LossReason } from '../model/loss.ts';
import type { Message } from '../model/message.ts';

const NO_INTERIM: readonly Interim[] = [];

/** Pending exchanges kept for reuse, for all connections together. */
const POOL_MAX = 4096;

/** An exchange that is not decided yet, with what the pairing needs to know about it. */
export class Pending extends Exchange {
  /** Next younger request on the connection (HTTP/1 answers in order). */
  next: Pending | null = null;
  /** Where this call is counted as in flight: the counter of its arrival, whatever the connection's becomes later. */
  load: LoadCounter | null = null;
  /** Of the request: copies, because they are needed after the message was given back. endOffset: -1 until it ended. */
  startOffset = 0;
  endOffset = -1;
  ackOffset = -1;
  /** Requests that were not captured may lie before this one: a response may answer one of them. */
  unseenBefore = false;
  requestDone = false;
  responseDone = false;
  /** The final response's head came, or the part of it that there is. */
  responseBegun = false;
  /** Bytes of a response exist or existed that cannot be told to be this call's. */
  unanswered = false;
  /** A response came that may have been this call's, or not: why that is not known. */
  doubted: LossReason | null = null;
  /** Logged as timed out; kept only so that a late response does not shift later pairs. */
  ghost = false;
  /** More than the limit were waiting: not paired at all. */
  overflow = false;
  /** First tick at which it waited, for captures without times. */
  waitingSince = UNSEEN;
  /** Head bytes of the interim responses kept. */
  interimBytes = 0;

  /** Back to the state of a new one, but for the connection. */
  clear(): void {
    this.ordinal = 0;
    this.protocol = 'http/1.1';
    this.upgrade = '';
    this.request = null;
    this.response = null;
    this.interim = NO_INTERIM;
    this.outcome = 'open';
    this.inFlight = 0;
    this.anomalies = 0;
    if (this.losses.length > 0) this.losses.length = 0;
    this.grpc = null;
    this.route = '';
    this.next = null;
    this.load = null;
    this.startOffset = 0;
    this.endOffset = -1;
    this.ackOffset = -1;
    this.unseenBefore = false;
    this.requestDone = false;
    this.responseDone = false;
    this.responseBegun = false;
    this.unanswered = false;
    this.doubted = null;
    this.ghost = false;
    this.overflow = false;
    this.waitingSince = UNSEEN;
    this.interimBytes = 0;
  }

  /** It was logged without a response; a late one will be a record of its own, with this ordinal. */
  haunt(ordinal: number): void {
    const { next, startOffset, endOffset, ackOffset, unseenBefore } = this;
    this.clear();
    this.next = next;
    this.startOffset = startOffset;
    this.endOffset = endOffset;
    this.ackOffset = ackOffset;
    this.unseenBefore = unseenBefore;
    this.ordinal = ordinal;
    this.requestDone = true;
    this.ghost = true;
    this.losses.push({ reason: 'queue_limit', bytes: 0 });
  }

  /** Counts the call as in flight from now on. */
  enter(load: LoadCounter): void {
    this.load = load;
    this.inFlight = load.enter(this.request === null ? UNSEEN : this.request.firstByteAt);
  }

  /** The call is not in flight any more; again is no harm. */
  leave(): void {
    if (this.load === null) return;
    this.load.leave(this.response === null ? UNSEEN : this.response.lastByteAt);
    assert(this.load.inFlight >= 0, 'calls in flight are left as often as entered');
    this.load = null;
  }

  lose(reason: LossReason, bytes: number): void {
    const mark = this.losses.find((m) => m.reason === reason);
    if (mark === undefined) this.losses.push({ reason, bytes });
    else mark.bytes += bytes;
  }

  /** The request came after its response: nothing is missing. */
  find(reason: LossReason): void {
    const i = this.losses.findIndex((m) => m.reason === reason);
    if (i >= 0) this.losses.splice(i, 1);
  }

  /** Adds what is said against a message, and what misses of it, to the record's. */
  mark(message: Message): void {
    this.anomalies |= message.anomalies;
    if (message.losses.length > 0) this.loseAllOf(message);
  }

  /** Adds a message's marks to the record's. */
  loseAllOf(message: Message): void {
    const { losses } = message;
    for (let i = 0; i < losses.length; i++) this.lose(losses[i]!.reason, losses[i]!.bytes);
  }
}

/** Whether `response` cannot be the answer to the request of `p`: sent before any of that came, or received before that was sent. */
export const excluded = (p: Pending, response: Message): boolean =>
  (response.ackOffset >= 0 && p.startOffset >= response.ackOffset) || p.ackOffset > response.startOffset;

/** Takes the requests that will not be paired any more, because their responses were not captured. */
export interface Unanswered {
  /** `bytes` of the response are missing; 0 when they cannot be told from those of other responses. */
  unanswered(p: Pending, why: LossReason, bytes: number): void;
}

/** Free list, because an exchange per call would be most of the garbage of the stage. */
export class PendingPool {
  readonly #free: Pending[] = [];

  take(connection: Connection): Pending {
    const p = this.#free.pop() ?? new Pending();
    p.connection = connection;
    p.interim = NO_INTERIM;
    return p;
  }

  /** Nobody may hold `p` any more. */
  give(p: Pending): void {
    p.clear();
    if (this.#free.length < POOL_MAX) this.#free.push(p);
  }
}
