import type { LossReason } from '../model/loss.ts';
import type { Message } from '../model/message.ts';
import type { Pending } from './pending.ts';

/** A client that was seen to wait so often before a hole waits. One of which nothing was seen has to show it more often. */
const WAITS_TRUSTED = 2;
const WAITS_OWED = 16;

const UNKNOWN = -1;

/**
 * How the client of a connection sends its requests, and whether pairs that rest on it are certain.
 *
 * Evidence of pipelining is counted only where bytes prove it: two requests sent on the same acknowledgement, also where the second one
 * was passed over; one sent below the end of the older one's response, or before the answer had come to an older one that was not seen.
 *
 * That a client has caught up, or waits, is likely and not certain: nothing on the wire tells one that sends in bursts
 * from one that happens to slide. So the pairs made on it after a hole are marked as soon as the client is known to
 * pipeline, to the end of the connection. And where requests and responses are missing before the client was seen to
 * wait (WAITS_TRUSTED), they are marked until it has shown that it does (WAITS_OWED).
 */
export class Client {
  /** It sent a request while an older one had no answer. */
  pipelines = false;
  /** It goes on sending while it waits for older answers, so it is never known to have received all. */
  slides = false;
  /** Why pairs since the last hole are likely only; null: they are certain. */
  #guess: LossReason | null = null;
  /** Requests that were sent when nothing was left to wait for. */
  #waits = 0;
  /** So many more of these make the guess a certainty. */
  #waitsOwed = 0;
  /** Where the last response began whose request was not seen, and what it acknowledged; or UNKNOWN. */
  #answerAt = UNKNOWN;
  #answerAck = UNKNOWN;

  /** It sent a request when nothing was left to wait for. */
  waited(): void {
    this.#waits++;
    if (this.#waitsOwed > 0) this.#waitsOwed--;
  }

  /** It sent a request when it had received the bytes before `ack`. */
  asks(ack: number): void {
    if (ack <= this.#answerAt) this.pipelines = true;
  }

  /** A response reaches up to `end`; `last`: the newest request that waits, `heard`: how much of the requests the server had by then. */
  receives(end: number, last: Pending, heard: number): void {
    // Sent amid the response, to ask for something else.
    if (last.startOffset >= heard && last.ackOffset >= 0 && last.ackOffset < end) this.pipelines = true;
  }

  /** `response` answers `first`, the oldest that waits. */
  isAnsweredFirst({ startOffset }: Message, first: Pending): void {
    const { next } = first;
    if (next === null || next.ackOffset < 0 || next.ackOffset > startOffset) return;
    this.pipelines = true;
    if (next.ackOffset > first.ackOffset) this.slides = true;
  }

  /** `response` answers a request that was not seen; `first`: the oldest that waits. */
  isAnswered({ startOffset, ackOffset }: Message, first: Pending | null): void {
    if (ackOffset < 0) return;
    this.#answerAt = startOffset;
    this.#answerAck = ackOffset;
    // That one is older: the server had nothing of the first one yet, which was sent before the answer came.
    if (first !== null && first.startOffset >= ackOffset && first.ackOffset <= startOffset) this.pipelines = true;
  }

  /** A response that nobody could be given may be that to the request at `startOffset`. */
  mayAnswer(startOffset: number): boolean {
    return this.#answerAck > startOffset;
  }

  /** Pairs from here on rest on how it sends. `hidden`: all there is to see of pipelining may be among the bytes that are missing. */
  guess(why: LossReason, hidden: boolean): void {
    this.#guess = why;
    if (hidden && !this.trusted) this.#waitsOwed = WAITS_OWED;
  }

  /** It was seen to wait often enough to be taken to wait behind a hole, too. */
  get trusted(): boolean {
    return this.#waits >= WAITS_TRUSTED;
  }

  /** Pairs rest on how it sends. */
  get guessed(): boolean {
    return this.#guess !== null;
  }

  /** Why a pair made now is not certain; null: it is. */
  get doubt(): LossReason | null {
    return this.pipelines || this.#waitsOwed > 0 ? this.#guess : null;
  }
}
