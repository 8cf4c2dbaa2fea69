/**
 * One direction of an HTTP/1 connection: what message-reader.ts reads, and what to do where that does not apply: bytes are
 * missing, the connection becomes another protocol, the other direction tells what a request or response means. See
 * README.md beside this file for the states.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message } from '../../model/message.ts';
import type { StreamEnd, StreamSink } from '../../model/stages.ts';
import { isPreface } from '../detect.ts';
import { Begun } from './begun.ts';
import { BodyOrNot } from './body-or-not.ts';
import { endOf, GONE, isInterim } from './ends.ts';
import { Resync, wholeStartLine } from './resync.ts';

/** The shortest message is "HTTP/1.0 200\r\n\r\n". */
const MESSAGE_BYTES_MIN = 16;

export class H1Stream extends BodyOrNot implements StreamSink {
  /** Bytes of the other protocol that came before the switch was known: from `switchedAt` on. */
  held: Uint8Array | null = null;
  readonly #resync = new Resync();
  #peer: H1Stream | null = null;
  /** Start offset of the request whose answer may change the protocol, -1: none. */
  #asked = -1;
  /** Start offset of the request whose body the server asked for (100 Continue), -1: none. */
  #invited = -1;
  /** The last request asked for another protocol, and nobody has seen that it was refused. */
  #offered = false;
  /** Why bytes were passed over that may have been a message, since somebody asked; null: none were. */
  overlooked: LossReason | null = null;
  /** Client: the switch to HTTP/2 was not seen, and is known by what came then. */
  http2 = false;
  /** Where size lines of the present body were missed first. */
  #strayedAt = 0;
  /** Nothing older was waiting then, and nothing that looks like a message was passed over since. */
  #alone = false;
  /** Bytes that the kernel took for a body hid a message start for certain: nobody has counted it yet. */
  #hidStart = false;

  /** Tells both directions of each other: needed to switch protocols and to resynchronise soundly. */
  static pair(request: H1Stream, response: H1Stream): void {
    [request.#peer, response.#peer] = [response, request];
    Begun.pair(request.begun, response.begun);
  }

  /** Why bytes before the first message are passed over, where it is not that the connection is older. */
  set passedOver(reason: LossReason) {
    this.#resync.reason = reason;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    if (length === 0) return;
    if (this.#peer !== null) this.#peer.#heard(ack);
    if (this.#offered && this.#asked < 0 && isPreface(memory.view, offset, offset + length)) {
      this.#becomeHttp2();
      this.switchedAt = position;
      return;
    }
    if (this.state === 'seeking') {
      if (this.#hidStart) this.#countHidden();
      const resync = this.#resync;
      if (!resync.startsHere(this.kind, memory, offset, offset + length, position, ack)) {
        resync.skip(ack);
        this.overlooked = resync.reason;
        if (wholeStartLine(this.kind, memory, offset, offset + length)) this.#pass(ack);
        this.losses.lose(resync.reason, 1, length);
        this.position = position + length;
        return;
      }
      this.state = 'start';
      this.unsure = resync.reason !== 'joined_midstream' && !this.begun.turns(position);
    } else if (this.state === 'chunks' && this.body.astray && !this.#isBody(memory, offset, length, position, ack)) {
      const { reason } = this.message!.losses[0]!;
      this.losses.lose(reason, 1, length);
      this.gap(position, length, reason, ts);
      return;
    }
    this.read(memory, offset, length, position, ts, ack);
  }

  /** False: a body that went astray was over before these bytes, wherever it ended, and they are perhaps another's. What it quotes is at no turn. */
  #isBody(memory: Memory, offset: number, length: number, position: number, ack: number): boolean {
    const begun = this.begun.since;
    if (!wholeStartLine(this.kind, memory, offset, offset + length)) return begun === 0;
    if (this.#resync.isTurn(position) !== true) {
      this.#pass(ack);
      return begun === 0;
    }
    if (this.kind === 'request') {
      // Its own answer alone has begun, by a server that had all bytes before the next request.
      if (this.#alone && begun === 1 && this.begun.turns(position)) this.finish('framed', position);
      else this.#endStrayed();
    } else {
      const unseen = this.#peer !== null && ack > this.#peer.position;
      this.finish(begun > 1 || unseen ? 'lost' : 'framed', position);
    }
    return true;
  }

  /** Behind where a request's body went astray a client that pipelines may have begun others, whatever its framing seems to be since. */
  #endStrayed(): void {
    this.finish('lost', this.#strayedAt);
  }

  protected override found(position: number): void {
    if (this.kind === 'request') this.#endStrayed();
    else this.finish(this.begun.since > 0 ? 'lost' : 'framed', position);
  }

  /** What looks like a message start, in a segment that acknowledged `ack`, is passed over. */
  #pass(ack: number): void {
    this.shared.passed[this.kind]++;
    this.#alone = false;
    if (this.kind === 'request') this.sink.passed?.(ack);
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    if (length === 0) return;
    this.told(ack);
    this.position = position + length;
    // A segment that was cut has a time; bytes that were in no segment have none.
    this.ts = why === 'gap' || why === 'ring_full' ? UNSEEN : ts;
    const asBody = why === 'left_out' || why === 'shed_body';
    if (this.state === 'peek' || this.state === 'refused') {
      if (!asBody) {
        // Whether there is a body at all is not known, and the missing bytes may be messages.
        this.abandonPeek(why);
        return;
      }
      this.commitPeek();
    }
    const message = this.message;
    // Body bytes that were not wanted are not missing.
    const wanted = !asBody && why !== 'shed_head';
    switch (this.state) {
      case 'body_length':
      case 'body_close':
      case 'chunks': {
        const own = this.body.skip(message!, length, why);
        if (own < 0 && (asBody || this.body.astray)) this.#stray(message!, length, why, position);
        else if (own < 0) this.#loseMessage(message!, why, length, position + length);
        else if (own < length) {
          // Where this body ends is known all the same; what the gap hides behind it is not.
          this.#loseMessage(message!, why, wanted ? own : length - own, position + own);
          this.#hidStart = asBody && length - own >= MESSAGE_BYTES_MIN;
        } else {
          if (wanted) message!.lose(why, length);
          if (this.body.outcome === 'ended') this.finish('framed', position + length);
        }
        return;
      }
      case 'head':
      case 'trailers':
        this.#loseMessage(message!, why, length, position + length);
        return;
      case 'held':
        this.noStart();
        return;
      case 'start':
      case 'start_lf':
        if (why === 'left_out') this.losses.lose('window', 1, length);
        this.seek('desync');
        this.#hidStart = asBody && length >= MESSAGE_BYTES_MIN;
        return;
      case 'seeking':
        // The same hole goes on, and what hides its messages is counted by the kernel: the order inside is not known.
        if (!asBody) this.#hidStart = false;
        this.#resync.gap();
        if (why === 'left_out') this.losses.lose(this.#resync.reason, 1, length);
        return;
      case 'failed':
        if (why === 'left_out') this.losses.lose('desync', 1, length);
        return;
      default:
    }
  }

  #stray(message: Message, length: number, why: LossReason | 'left_out', position: number): void {
    if (!this.body.doubtful) {
      this.#strayedAt = position;
      this.#alone = this.begun.alone;
    }
    if (this.kind === 'request') this.begun.miss();
    this.stray(message, length, why);
  }

  /** A segment without its bytes acknowledged `ack` (-1: not known). It was sent, so the other side's next bytes begin a message. */
  told(ack: number): void {
    if (ack < 0 || this.#peer === null) return;
    if (this.message === null) this.begun.mayBegin(ack);
    this.#peer.#heard(ack);
  }

  /** The other side spoke just before the next byte, though its bytes are missing. */
  turned(): void {
    this.#heard(this.position);
  }

  #heard(ack: number): void {
    this.#resync.spoke(ack, this.state === 'peek' ? this.peek!.position : this.position);
  }

  end(how: StreamEnd, _ts: number): void {
    // The last byte of what was sent came with the last data; the last one of what was to come did not come at all.
    if (how !== 'fin' && how !== 'rst') this.ts = UNSEEN;
    if (this.state === 'peek' || this.state === 'refused') this.settlePeek();
    if (this.#hidStart) this.#countHidden();
    const { message, state: before } = this;
    if (before === 'switched' || before === 'ended') return;
    if (message !== null) {
      if (before === 'held' || (before === 'head' && !this.section.head.started)) this.dropGathered();
      else {
        if (before === 'head' || before === 'trailers') this.keepPart(message);
        if (how === 'evicted' || how === 'vanished') message.lose(GONE[how], 0);
        if (how === 'fin' && before !== 'head' && before !== 'body_close' && message.losses.length === 0) {
          message.anomalies |= ANOMALY_BIT.short_body;
        }
        const doubtful = before === 'chunks' && this.body.doubtful;
        // A connection that nobody needs any more is reset, too, and a client's that is closed first has not seen the server's FIN.
        const over = doubtful && this.body.mayHaveEnded && (how === 'fin' || how === 'rst');
        const end = over ? 'fin' : endOf(how, before === 'body_close');
        // What the other side asked for meanwhile may have been answered in what counts as this body.
        this.finish(doubtful && this.begun.since > 0 ? 'lost' : end, this.position);
      }
    }
    this.state = 'ended';
  }

  protected override elsewhere(memory: Memory, at: number, end: number): number {
    switch (this.state) {
      case 'peek':
        return this.lookOn(memory, at, end);
      case 'refused':
        return this.lookPast(memory, at, end);
      case 'held':
        return this.#hold(memory, at, end);
      case 'seeking':
      case 'failed':
        this.losses.lose(this.state === 'failed' ? 'desync' : this.#resync.reason, 1, end - at);
    }
    return end;
  }

  protected override unreadable(position: number): void {
    const begun = this.section.head.started;
    if (!begun && this.#asked >= 0) this.state = 'held';
    else if (!begun && this.guessed) this.noStart();
    else this.reject(position);
  }

  protected override interjected({ status, ackOffset }: Message): void {
    const peer = this.#peer;
    if (peer === null) return;
    peer.#resync.interjected(ackOffset);
    if (status === 100 && peer.message !== null) peer.#invited = peer.message.startOffset;
  }

  protected override answers(startOffset: number): void {
    this.begun.listen(startOffset);
    if (this.#peer !== null) this.#peer.#answer(startOffset, this.framing === 'switched');
  }

  protected override finished(message: Message): void {
    if (this.#peer === null) return;
    if (this.kind === 'request') {
      this.#offered = this.upgrade && !this.answered;
      this.#asked = this.#offered ? message.startOffset : -1;
    } else if (message.end === 'error') this.seek('desync');
  }

  protected override isTurn(position: number): boolean | null {
    return this.#resync.isTurn(position);
  }

  #countHidden(): void {
    this.#hidStart = false;
    this.shared.passed[this.kind]++;
  }

  protected override noStart(): void {
    this.dropGathered();
    this.seek('desync');
  }

  /** A gap that framing needed: `bytes` of it are this message's. */
  #loseMessage(message: Message, why: LossReason | 'left_out', bytes: number, position: number): void {
    const reason = why === 'left_out' ? 'window' : why;
    if (why === 'left_out') this.losses.lose('window', 1, bytes);
    if (this.state === 'head' && (!this.section.hasStart(message, why) || isInterim(message))) this.dropGathered();
    else {
      if (this.state === 'head' || this.state === 'trailers') this.keepPart(message);
      message.lose(reason, bytes);
      this.finish('lost', position);
    }
    this.seek('desync');
  }

  /** A bound was reached: the section's bytes are given up. */
  protected override tooMuch(message: Message, reason: LossReason, position: number): void {
    const bytes = this.section.gathered;
    this.losses.lose(reason, 1, bytes);
    if (!this.section.head.trailers && (!this.section.head.started || isInterim(message))) {
      this.message = null;
      this.shared.pool.give(message);
    } else {
      this.keepPart(message);
      message.lose(reason, bytes);
      this.finish('lost', position);
    }
    this.seek('desync');
  }

  protected override seek(reason: LossReason): void {
    this.state = 'seeking';
    this.guessed = true;
    this.begun.miss();
    this.#resync.begin(reason);
    this.#asked = -1;
    if (this.kind === 'response' && this.#peer !== null) this.#peer.#answerLost();
  }

  /** The final response to the request at `startOffset` (-1: not seen) has begun. */
  #answer(startOffset: number, switched: boolean): void {
    if (switched) this.#switchOver();
    else if (startOffset >= 0 && startOffset === this.#asked) {
      this.#asked = -1;
      this.#offered = false;
      if (this.state === 'held') this.reject(this.position);
    } else if (startOffset >= 0 && this.message?.startOffset === startOffset) {
      this.answered = true;
      this.#refuse(this.message);
    }
  }

  /**
   * RFC 9110 10.1.1, 15.5.18: with a final status instead of 100 the client need not send the body, whatever the status is
   * (Apache HttpClient does not), and asks again. Many keep the connection, though the head says that a body follows. Behind a 100 it does.
   */
  #refuse(message: Message): void {
    const inBody = this.state === 'body_length' || this.state === 'chunks';
    const headEnd = message.startOffset + message.headBytes;
    if (!inBody || this.position !== headEnd || this.#invited === message.startOffset) return;
    if (message.fields.get('expect') === null) return;
    this.refuse(headEnd);
  }

  #answerLost(): void {
    this.#asked = -1;
    if (this.state !== 'held') return;
    const { view } = this.message!.fields.memory;
    if (isPreface(view, 0, this.section.gathered)) this.#becomeHttp2();
    else this.noStart();
  }

  /** A client begins HTTP/2 (RFC 7540 3.2) when the server has agreed. */
  #becomeHttp2(): void {
    this.http2 = true;
    this.#switchOver();
    if (this.#peer !== null) this.#peer.#switchOver();
  }

  /** The other direction said that the connection is another protocol's now. */
  #switchOver(): void {
    const unread = this.state === 'held' || (this.state === 'head' && !this.section.head.started);
    if (this.message !== null && !unread) {
      this.switchNext = true;
      return;
    }
    this.switchedAt = this.position;
    if (unread) {
      const message = this.message!;
      this.held = Uint8Array.prototype.slice.call(message.fields.memory.buf, 0, this.section.gathered);
      this.switchedAt = message.startOffset;
      this.message = null;
      this.shared.pool.give(message);
    }
    this.state = 'switched';
  }

  #hold(memory: Memory, at: number, end: number): number {
    const kept = this.section.keep(memory, at, end, this.shared.limits.heldBytes);
    if (kept === 0) {
      this.losses.lose('reassembly_limit', 1, end - at);
      return end;
    }
    return at + kept;
  }
}
