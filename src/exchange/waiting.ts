/**
 * Which request does a response answer? HTTP/1 answers in order (RFC 9112 9.3.2), so while every byte is seen the first
 * one that waits is the one. The rest of this file is for captures with holes, where counting alone would shift every
 * later pair. What is certain then comes from acknowledgements:
 *
 *   - a response answers a request of which the server had received something when it sent the response's first byte:
 *     request.startOffset < response.ackOffset;
 *   - and not a request that was sent by a client which had received that byte before:
 *     request.ackOffset <= response.startOffset.
 *
 * A hole that may hold whole messages (MESSAGE_BYTES_MIN) makes the next pair uncertain. A client that was never seen to
 * pipeline is then taken to wait for each response: the response answers the very request in which its acknowledgement
 * lies. Of one that pipelines only the certain pairs are made; the others stay apart (request null, response null)
 * until the client has clearly caught up: it sends the next burst having received everything. A client that sends
 * while it waits for older answers ("slides") is never taken to have caught up. How certain that is: client.ts.
 */
import type { LossReason } from '../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd } from '../model/message.ts';
import { Client } from './client.ts';
import { Missing } from './missing.ts';
import { excluded, type Pending, type Unanswered } from './pending.ts';

/** The shortest message is "HTTP/1.0 200\r\n\r\n"; a smaller hole is stray line ends between messages. */
const MESSAGE_BYTES_MIN = 16;
const UNKNOWN = -1;

/** The requests of one connection that wait for their responses, oldest first. */
export class Waiting {
  readonly #owner: Unanswered;
  readonly #client = new Client();
  first: Pending | null = null;
  count = 0;
  #last: Pending | null = null;
  /** Just after the last request that ended; UNKNOWN before the first one of a joined connection. */
  #requestCursor = UNKNOWN;
  /** Whole requests may be missing at the cursor, whatever the next one's offset. */
  #requestsUnseen = true;
  /** Of the request begun last. */
  #requestAck = UNKNOWN;
  #responseCursor = UNKNOWN;
  #responsesUnseen = true;
  /** Where a response begins of whose head a part has come, and nothing is missing behind that; or UNKNOWN. */
  #beginning = UNKNOWN;
  /** How much of the requests the server had received when it sent its last response. */
  #heard = UNKNOWN;
  /** Just after the last response that was paired. */
  #answeredEnd = 0;
  /** Responses are missing: the first that waits may have been answered. */
  #slack = false;
  /** The server had received request bytes up to here when it sent a response that nobody could be given; or UNKNOWN. */
  #owed = UNKNOWN;
  /** Request bytes up to here are marked as missing on some exchange. */
  #accounted = UNKNOWN;
  readonly #requestMissing = new Missing();
  readonly #responseMissing = new Missing();
  /** More than one request waited while response bytes were missing. */
  #missingShared = false;
  /** A request contradicted itself: later ones are not read. */
  #requestsBroken = false;
  /** Bytes missing before the last request that had any missing. */
  #hole = 0;
  /** Responses were missing at some time, so that more requests may have been answered than is known. */
  #responsesMissed = false;

  constructor(owner: Unanswered) {
    this.#owner = owner;
  }

  /** Call before the first message. `opened`: the connection's opening was seen, offset 0 is the first byte in both directions. */
  begin(opened: boolean): void {
    if (!opened) {
      this.#requestMissing.why = this.#responseMissing.why = 'joined_midstream';
      return;
    }
    this.#requestCursor = 0;
    this.#responseCursor = 0;
    this.#requestsUnseen = false;
    this.#responsesUnseen = false;
  }

  /** The last response that match() could not pair may answer a request whose head is not complete yet. */
  get owes(): boolean {
    return this.#owed >= 0;
  }

  /** Does `request`, which begins now, follow the last one seen and contain what `response` was an answer to? */
  adopts(request: Message, response: Message): boolean {
    const { startOffset } = request;
    const adopted =
      startOffset < this.#owed &&
      startOffset - this.#requestCursor < MESSAGE_BYTES_MIN &&
      request.ackOffset <= response.startOffset;
    if (adopted) {
      this.#owed = UNKNOWN;
      this.#accounted = UNKNOWN;
      this.#requestAck = request.ackOffset;
      this.#requestsUnseen = false;
    }
    return adopted;
  }

  /** `length` bytes from `position` will never come. */
  gap(of: 'request' | 'response', position: number, length: number, why: LossReason): void {
    if (of === 'request') {
      this.#requestMissing.gap(position, length, why);
    } else {
      this.#responseMissing.gap(position, length, why);
      this.#beginning = UNKNOWN;
      if (this.count > 1) this.#missingShared = true;
    }
  }

  /**
   * What is known to be missing after the last response seen, so that who waits may have been answered: bytes, 0 when
   * they cannot be told from other responses'. Null: nothing.
   */
  get missingResponse(): { why: LossReason; bytes: number } | null {
    if (this.#responsesUnseen && this.#responseCursor >= 0) return { why: this.#responseMissing.why, bytes: 0 };
    const bytes = this.#responseMissing.end - this.#responseCursor;
    if (this.#responseMissing.end < 0 || bytes < MESSAGE_BYTES_MIN) return null;
    const own = this.count === 1 && !this.#missingShared && this.#responseCursor >= 0;
    return { why: this.#responseMissing.why, bytes: own ? this.#responseMissing.bytes || bytes : 0 };
  }

  /** Why `p`, which has no answer, may have had one: its turn is not certain, or an answer came that could not be told to be another's. */
  doubt(p: Pending): LossReason | null {
    return this.#client.doubt ?? (this.#client.mayAnswer(p.startOffset) ? this.#requestMissing.why : null);
  }

  /** Why request bytes are missing, as far as somebody said. */
  get missingRequest(): LossReason {
    return this.#requestMissing.why;
  }

  /** What looks like a request was passed over, in a segment that acknowledged `ack`. */
  requestPassed(ack: number): void {
    this.#requestsUnseen = true;
    if (ack < 0) return;
    if (this.#requestAck >= 0 && ack <= this.#requestAck) this.#client.pipelines = true;
    this.#requestAck = ack;
  }

  /** The head of a response that begins at `startOffset` is coming. */
  responseBegins(startOffset: number): void {
    this.#beginning = startOffset;
  }

  /** A request that is not queued follows: for the pairing it was not seen. */
  skip(request: Message): void {
    this.requestPassed(request.ackOffset);
    this.#requestMissing.why = 'queue_limit';
    this.#client.pipelines = true;
  }

  /** `p`'s request begins. `answered`: a response is under way whose head has come. */
  push(p: Pending, request: Message, answered: boolean): void {
    const { startOffset, ackOffset } = request;
    const answering = answered || (!this.#responsesUnseen && this.#beginning === this.#responseCursor);
    this.#owed = UNKNOWN;
    p.startOffset = startOffset;
    p.ackOffset = ackOffset;
    const hole = this.#requestCursor < 0 ? 0 : startOffset - this.#requestCursor;
    if (ackOffset >= 0) this.#client.asks(ackOffset);
    p.unseenBefore = this.#requestsUnseen || hole >= MESSAGE_BYTES_MIN;
    if (this.first === null && !p.unseenBefore && !answering && ackOffset > 0 && ackOffset === this.#responseCursor)
      this.#client.waited();
    if (p.unseenBefore) this.#hole = hole;
    if (ackOffset >= 0) this.#learn(p, ackOffset, answering);
    if (this.#last === null) this.first = p;
    else this.#last.next = p;
    this.#last = p;
    this.count++;
    this.#requestAck = ackOffset;
    this.#requestsUnseen = false;
  }

  /** What the acknowledgement of the newest request says of the client and of the older requests. */
  #learn(p: Pending, ack: number, answering: boolean): void {
    const { first } = this;
    // Sent before the end of a response had come that answers an older one.
    if (!answering && ack < this.#responseCursor && this.#heard <= p.startOffset) this.#client.pipelines = true;
    if (!p.unseenBefore) {
      if (this.#requestAck >= 0 && ack <= this.#requestAck) this.#client.pipelines = true;
    } else {
      const before = this.#requestsUnseen ? this.#heard : this.#requestCursor;
      const whole = before >= 0 && p.startOffset - before >= MESSAGE_BYTES_MIN;
      if (whole && ack <= (this.#last === null ? this.#answeredEnd : this.#last.ackOffset)) {
        // The hole holds a request, and nothing was received since the one before it: it still waits.
        this.#client.pipelines = true;
        return;
      }
    }
    if (answering || this.#responseCursor < 0 || ack <= this.#requestAck) return;
    const certain = first !== null && !this.#slack && !first.unseenBefore && !this.#responsesUnseen;
    if (certain && ack <= this.#responseCursor) {
      this.#client.pipelines = true;
      this.#client.slides = true;
    } else if ((this.#client.pipelines || first === null) && !this.#client.slides && ack >= this.#responseCursor) {
      if (p.unseenBefore) this.#guessAcross(ack);
      else if (this.#responsesUnseen || first !== null) this.#client.guess(this.#responseMissing.why, false);
      while (this.first !== null) this.#drop(0);
      this.#slack = false;
      // A request in a hole just before may be of this burst, unless the server had it before it sent an older answer.
      if (p.startOffset - this.#heard < MESSAGE_BYTES_MIN) p.unseenBefore = false;
      this.#responseCursor = ack;
      this.#responsesUnseen = false;
    }
  }

  /**
   * A request ended at `endOffset` (-1: not known). `lost`: the bytes up to there were not all captured, so others may be among them that
   * nobody sees; `astray`: so may one of a client that pipelines; `error`: of what follows in this direction nothing is read any more.
   */
  requestEnded(endOffset: number, how: MessageEnd, astray: boolean): void {
    if (endOffset >= 0) {
      this.#requestCursor = endOffset;
      this.#requestMissing.passed(endOffset);
    }
    this.#requestsUnseen = how === 'lost' || endOffset < 0 || (astray && this.#client.pipelines);
    if (how === 'error') this.#requestsBroken = true;
  }

  /** A response (interim or final) ended; `paired`: with a request; `error`: what follows in its burst is not read. */
  responseEnded(endOffset: number, how: MessageEnd, paired: boolean): void {
    if (endOffset >= 0) {
      this.#responseCursor = endOffset;
      this.#responseMissing.passed(endOffset);
      this.#missingShared = false;
      if (this.#last !== null) this.#client.receives(endOffset, this.#last, this.#heard);
      if (paired) this.#answeredEnd = endOffset;
    }
    this.#responsesUnseen = how === 'lost' || how === 'error' || endOffset < 0;
    if (how === 'error') this.#responseMissing.why = 'desync';
  }

  /** Takes the first one out: it was answered. */
  shift(): void {
    const p = this.first!;
    this.first = p.next;
    p.next = null;
    this.count--;
    if (this.first === null) {
      this.#last = null;
      this.#slack = false;
    }
  }

  #drop(bytes: number): void {
    const p = this.first!;
    this.shift();
    this.#owner.unanswered(p, this.#responseMissing.why, bytes);
  }

  /**
   * The request that `response` answers, now the first in the queue; null when it was not captured or cannot be told.
   * Gives up the ones that cannot be answered any more.
   */
  match(response: Message): Pending | null {
    const found = this.#find(response);
    const { doubt } = this.#client;
    if (found !== null && doubt !== null) found.lose(doubt, 0);
    return found;
  }

  /** Requests are missing, and responses before the offset `until` as well, or at some time before. */
  #guessAcross(until: number): void {
    const responsesMissing = this.#responsesMissed || until - this.#responseCursor >= MESSAGE_BYTES_MIN;
    // Room for several requests, and for responses: that may hide all there is to see of pipelining.
    const several = this.#hole >= 2 * MESSAGE_BYTES_MIN;
    this.#client.guess(this.#requestMissing.why, responsesMissing && several);
  }

  #find(response: Message): Pending | null {
    const { first } = this;
    if (response.ackOffset > this.#heard) this.#heard = response.ackOffset;
    const hole = this.#responseCursor < 0 ? 0 : response.startOffset - this.#responseCursor;
    const responsesUnseen = this.#responsesUnseen || hole >= MESSAGE_BYTES_MIN;
    if (responsesUnseen && this.#responseCursor >= 0) this.#responsesMissed = true;
    if (first === null) return null;
    if (!responsesUnseen && !this.#slack && !first.unseenBefore) {
      if (excluded(first, response)) return null;
      this.#client.isAnsweredFirst(response, first);
      return first;
    }
    const bytes = this.#responsesUnseen || this.#missingShared ? 0 : this.#responseMissing.bytes || Math.max(0, hole);
    if (response.ackOffset >= 0 && !this.#client.pipelines) return this.#matchWaitingClient(response, bytes);
    return this.#matchCertain(response, responsesUnseen, hole, bytes);
  }

  /** The client waits for each response before it sends the next request. */
  #matchWaitingClient(response: Message, bytes: number): Pending | null {
    const { ackOffset } = response;
    let found: Pending | null = null;
    let before = 0;
    let unseen = false;
    for (let p = this.first, older = 0; p !== null && p.startOffset < ackOffset; p = p.next, older++) {
      if (excluded(p, response)) break;
      found = p;
      before = older;
      unseen ||= p.unseenBefore;
    }
    if (found === null) return null;
    if (found.unseenBefore) this.#guessAcross(response.startOffset);
    else if (unseen && !this.#client.trusted) this.#client.guess(this.#responseMissing.why, true);
    for (let i = 0; i < before; i++) this.#drop(before === 1 ? bytes : 0);
    this.#slack = false;
    if (found.endOffset >= 0 && ackOffset - found.endOffset >= MESSAGE_BYTES_MIN) {
      // The server already has a later request, so the client has this one's response.
      this.#drop(0);
      return null;
    }
    // Answered before its end had come, if it is the one.
    if (before > 0 && found.endOffset < 0) found.lose(this.#responseMissing.why, 0);
    // Nobody else's: an interim response, or the rest of one.
    if (before === 0 && bytes > 0 && !found.unseenBefore && this.#responseCursor >= 0) {
      found.lose(this.#responseMissing.why, bytes);
    }
    // The hole is explained; asked again, the answer is the same.
    this.#responseCursor = response.startOffset;
    this.#responseMissing.bytes = 0;
    this.#responsesUnseen = false;
    found.unseenBefore = false;
    return found;
  }

  /** The client pipelines, or acknowledgements are not known: only what no hole can contradict. */
  #matchCertain(response: Message, responsesUnseen: boolean, hole: number, bytes: number): Pending | null {
    let p = this.first!;
    if (!this.#responsesUnseen && hole >= MESSAGE_BYTES_MIN && !p.unseenBefore) {
      // The hole holds at least one response: the first one's, or an older one's when that is not certain.
      this.#drop(p.next === null || excluded(p.next, response) ? 0 : bytes);
      if (this.first === null) return null;
      p = this.first;
      this.#slack = true;
    }
    if (excluded(p, response)) {
      if (responsesUnseen) this.#slack = true;
      return null;
    }
    const { ackOffset } = response;
    const { next } = p;
    const known = ackOffset >= 0;
    const candidates = next !== null && !excluded(next, response);
    const end = next === null || !known ? ackOffset : Math.min(ackOffset, next.startOffset);
    const unseenAfter = known && p.endOffset >= 0 && end - p.endOffset >= MESSAGE_BYTES_MIN;
    const doubtful = this.#slack || responsesUnseen;
    if ((known && p.unseenBefore) || ((candidates || unseenAfter) && doubtful)) {
      const why = p.unseenBefore ? this.#requestMissing.why : this.#responseMissing.why;
      for (let q: Pending | null = p; q !== null && !excluded(q, response); q = q.next) q.doubted = why;
      if (doubtful && !p.unseenBefore) this.#drop(0);
      this.#slack = this.first !== null && (this.#slack || responsesUnseen);
      return null;
    }
    this.#slack = false;
    p.unseenBefore = false;
    return p;
  }

  /**
   * Says on `p` why `response`, which match() could not pair, has no request: nobody sent one, or it is missing with the
   * bytes that the server had received beyond the requests seen (0 when they cannot be told from other requests').
   */
  explain(p: Pending, response: Message): void {
    const { ackOffset, losses } = response;
    const { first } = this;
    if (this.#requestsBroken) {
      p.lose('desync', 0);
      return;
    }
    if (this.#requestsUnseen && this.#requestCursor < 0) {
      this.#client.isAnswered(response, first);
      p.lose('joined_midstream', 0);
      return;
    }
    this.#owed = UNKNOWN;
    const unseen = this.#requestsUnseen || first?.unseenBefore === true;
    const uncertain = ackOffset < 0 || this.#client.guessed || this.#slack || unseen || losses.length > 0;
    const bytes = ackOffset - Math.max(this.#requestCursor, this.#accounted);
    const none = first === null ? bytes < MESSAGE_BYTES_MIN : first.startOffset >= ackOffset;
    if (!uncertain && none && !this.#responsesMissed && this.#accounted <= this.#requestCursor) {
      p.anomalies |= ANOMALY_BIT.response_without_request;
      return;
    }
    this.#client.isAnswered(response, first);
    if (uncertain || none || first !== null) {
      // A guess that left an answer over was wrong: more requests than one were on their way.
      if (this.#client.guessed && none) this.#client.pipelines = true;
      p.lose(this.#requestMissing.why, 0);
    } else {
      // Of a client that pipelines they may be several requests'. Those told are some answer's already, when none is left.
      const told = this.#requestMissing.end > this.#requestCursor;
      p.lose(this.#requestMissing.why, this.#client.pipelines ? 0 : told ? this.#requestMissing.bytes : bytes);
      this.#requestMissing.bytes = 0;
      this.#accounted = ackOffset;
      // Else they may be on their way, and begin with the request that it answers, unless it is an older one's.
      if (!this.#responsesMissed && !(told && this.#client.pipelines)) this.#owed = ackOffset;
    }
  }
}
