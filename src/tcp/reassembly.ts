/**
 * What the segments of one direction mean: sequence numbers become positions, those that cannot belong here are refused.
 * The next segment, whole, is handed on in place, nothing copied but its beginning into the history; everything else is
 * put in order by ordering.ts.
 */
import type { LossReason } from '../model/loss.ts';
import { type Direction, type Segment, SHED_HEAD, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../model/segment.ts';
import type { StreamSink } from '../model/stages.ts';
import type { ReassemblyContext } from './context.ts';
import { OrderedStream } from './ordering.ts';

/** Unexplained distance from the next expected byte beyond which a segment is not believed. */
const DISTANCE_MAX = 64 * 1024 * 1024;
/** What ends or begins a connection is believed in a narrower range (RFC 5961 3.2 asks for a reset's exact number). */
const NEAR_AHEAD_MAX = 1024 * 1024;
/**
 * From the last byte of a connection to the first one of the next on the same addresses, in the direction of who closed first:
 * Linux keeps off the numbers of TIME-WAIT (tcp_timewait_state_process, tcp_twsk_unique); FIN and SYN have one each.
 */
const TIME_WAIT_STEP = 65_535 + 2 + 2;

/** A segment acknowledges nothing, or nothing that has a position. */
export const NO_ACK = Number.NEGATIVE_INFINITY;

/** What a segment meant for the connection. */
export const TAKEN = 0;
/** A believable reset: both directions are over. */
export const RESET = 1;
/** Its numbers are not believed here; nothing of it was used or counted. */
export const STRAY = 2;
export type Verdict = typeof TAKEN | typeof RESET | typeof STRAY;

export class Reassembler extends OrderedStream {
  declare peer: Reassembler;

  /** Two directions of one connection. */
  static pair(context: ReassemblyContext, ingress: StreamSink, egress: StreamSink): [Reassembler, Reassembler] {
    const a = new Reassembler(context, ingress);
    const b = new Reassembler(context, egress);
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  /**
   * Takes a segment of this direction. `ack`: what `peer.acknowledged` said of it, NO_ACK without ACK. A SYN must belong to
   * this connection (`sameStart` tells).
   */
  segment(s: Segment, ack: number): Verdict {
    if (
      (s.seq | 0) === this.out.nextSeq &&
      this.known &&
      !this.waiting &&
      !this.out.ended &&
      (s.flags & (TCP_SYN | TCP_FIN | TCP_RST)) === 0 &&
      s.captured === s.length &&
      s.leftOut === 0 &&
      s.lostBytes === 0 &&
      s.records === 0 &&
      s.turns === 0 &&
      !s.again &&
      !(this.causal && this.blocked(ack))
    ) {
      const length = s.length;
      if (length > 0) this.out.deliver(s.memory, s.offset, length, length, s.ts, ack);
      return TAKEN;
    }
    return this.#slow(s, ack);
  }

  /** Whether a SYN with this sequence number can be the one that began this direction. */
  sameStart(synSeq: number): boolean {
    if (!this.known) return true;
    const first = this.out.position + ((synSeq + 1 - this.out.nextSeq) | 0);
    if (this.joining) return first <= (this.held ?? 0) && first > -DISTANCE_MAX;
    if (first === 0) return true;
    // Late, or its data was the first that was seen.
    return !this.fromSyn && first < 0 && first > -NEAR_AHEAD_MAX && this.out.position < NEAR_AHEAD_MAX;
  }

  /** Whether a SYN+ACK that acknowledges up to `seq` answers the SYN that began this direction, or its data too (RFC 7413 2). */
  sameAnswer(seq: number): boolean {
    if (this.sameStart(seq - 1)) return true;
    const taken = this.out.position + ((seq - this.out.nextSeq) | 0);
    return this.fromSyn && taken > 0 && taken <= this.out.position;
  }

  /** Whether a segment can still belong to this direction. */
  near(seq: number): boolean {
    const distance = (seq - this.out.nextSeq) | 0;
    return this.known && distance >= -NEAR_AHEAD_MAX && distance <= NEAR_AHEAD_MAX;
  }

  /** Whether `seq` acknowledges more than this direction sent, its FIN included. */
  beyond(seq: number): boolean {
    return this.known && ((seq - this.out.nextSeq) | 0) > 1;
  }

  /** The first byte has this sequence number: a SYN was seen, or the SYN+ACK that acknowledges it, or the kernel tells. */
  startsAt(seq: number): void {
    if (this.out.ended || this.fromSyn || (this.known && !this.joining)) return;
    this.fromSyn = true;
    if (this.joining) this.settleStart(this.out.position + ((seq - this.out.nextSeq) | 0));
    else {
      this.known = true;
      this.out.nextSeq = seq | 0;
    }
  }

  /**
   * The peer acknowledged up to `seq`, in a segment with the number `by`; gives that as a position, NO_ACK when this direction's
   * numbers are not known, or the segment is not believed.
   */
  acknowledged(seq: number, by: number): number {
    if (!this.known) {
      // A frame to put positions in; which byte is the first one is settled by what comes.
      if (this.causal && !this.out.ended) this.join(seq);
      return this.known ? 0 : NO_ACK;
    }
    const from = Math.max(this.out.ackedTo, this.out.position);
    const ahead = (seq - (this.out.nextSeq + (from - this.out.position))) | 0;
    let at = from + ahead;
    if (this.finSeen && at > this.finAt) at = this.finAt;
    if (ahead > DISTANCE_MAX || (at < 0 && !this.joining)) return NO_ACK;
    if (ahead > 0 && this.peer.#isForeign(by, ahead)) return NO_ACK;
    if (at > this.out.ackedTo) this.out.acknowledge(at);
    return at;
  }

  /** Whether a segment with this number, which acknowledges `ahead` more than was seen, is another connection's. */
  #isForeign(seq: number, ahead: number): boolean {
    const { nextSeq, leftOut, lost } = this.out;
    if (!this.known) return false;
    const distance = Math.abs((seq - nextSeq - leftOut - lost) | 0);
    if (distance > DISTANCE_MAX) return true;
    if (!this.causal) return false;
    return (distance === TIME_WAIT_STEP ? ahead : ahead === TIME_WAIT_STEP ? distance : 0) > NEAR_AHEAD_MAX;
  }

  /** The kernel's word on bytes that no segment here will carry (with the socket's end); `shed`: SHED_* bits of `leftOut`. */
  account(leftOut: number, shed: number, lostBytes: number): void {
    if (leftOut !== 0) this.out.leftOutWhy = whyLeftOut(shed);
    this.out.explained(leftOut, lostBytes);
  }

  /**
   * TCP's own word, with the socket's end, on how far this direction came: stands for acknowledgements that nobody saw. The
   * kernel's counts (`account`) tell only how many times 2^32 bytes lie between.
   */
  reached(seq: number): void {
    if (!this.known || this.joining || seq < 0) return;
    const { position, nextSeq, leftOut, lost, ackedTo } = this.out;
    const explained = leftOut + lost;
    const beyond = (seq - nextSeq - explained) | 0;
    // One more is the FIN's own number.
    let at = position + explained + (beyond === 1 ? 0 : beyond);
    if (this.finSeen) at = Math.min(at, this.finAt);
    if (beyond <= NEAR_AHEAD_MAX && at > ackedTo) this.out.acknowledge(at);
  }

  /** Nobody needs what comes before position `until`: see Wire in model/connection.ts. */
  spare(flow: number, direction: Direction, until: number): void {
    if (!this.known || this.joining) return;
    const { nextSeq, position } = this.out;
    this.context.spare?.(flow, direction, (nextSeq + (until - position)) >>> 0);
  }

  /** Its FIN was seen. */
  get closing(): boolean {
    return this.finSeen;
  }

  /**
   * TCP's own word, with the socket's end, that it waited for the byte behind all that is known of this direction: so there was
   * no FIN, which would have been one more.
   */
  endsOpen(seq: number): boolean {
    const { nextSeq, leftOut, lost } = this.out;
    return this.known && !this.joining && !this.finSeen && seq >= 0 && ((seq - nextSeq - leftOut - lost) | 0) === 0;
  }

  #slow(s: Segment, ack: number): Verdict {
    this.out.leftOutWhy = whyLeftOut(s.shed);
    const { counters, losses } = this.context;
    this.out.explained(s.leftOut, s.lostBytes);
    if (this.out.ended) {
      if (s.length > 0) this.out.unusable(s.length);
      return (s.flags & TCP_RST) !== 0 && this.#resets(s) ? RESET : TAKEN;
    }
    if ((s.flags & TCP_RST) !== 0) {
      counters.unusable += s.length;
      if (this.#resets(s)) {
        if (this.known && !this.joining) this.resetAt = this.out.position + ((s.seq - this.out.nextSeq) | 0);
        return RESET;
      }
      losses.lose('out_of_window', 1, s.length);
      return TAKEN;
    }
    const firstSeq = (s.flags & TCP_SYN) === 0 ? s.seq : s.seq + 1;
    if (s.again && this.#isStillToBeTold(s, firstSeq)) {
      counters.duplicate += s.length;
      return TAKEN;
    }
    if ((s.flags & TCP_SYN) !== 0) this.startsAt(firstSeq);
    if (!this.known) {
      if (s.length === 0 && (s.flags & TCP_FIN) === 0) return TAKEN;
      if (this.causal) this.join(firstSeq);
      else {
        this.known = true;
        this.out.nextSeq = (firstSeq - this.out.leftOut - this.out.lost) | 0;
      }
    }
    // The kernel's counts tell how many times 2^32 bytes lie between.
    const explained = this.out.leftOut + this.out.lost;
    const unexplained = (firstSeq - this.out.nextSeq - explained) | 0;
    // What acknowledges bytes that are not believed is no segment of this connection, however near by chance.
    const strange = this.causal && ack === NO_ACK && (s.flags & TCP_ACK) !== 0 && this.peer.known;
    const distanceMax = strange ? 0 : DISTANCE_MAX;
    if (unexplained > distanceMax || unexplained < -distanceMax) return s.length === 0 ? TAKEN : STRAY;
    const position = this.out.position + explained + unexplained;
    if ((s.flags & TCP_FIN) !== 0 && !this.finSeen && position + s.length >= this.out.position) {
      this.finSeen = true;
      this.finAt = position + s.length;
    }
    if (s.records !== 0 || s.turns !== 0) this.out.saw(s, position);
    if (s.length > 0) this.place(s, position, ack);
    const fresh = s.leftOut + s.lostBytes > 0;
    if (fresh && !this.joining) this.explain(position, s.ts);
    this.advance(s.ts);
    return TAKEN;
  }

  /**
   * Whether the source lost or left out some of a segment that it saw before, and has not told it yet: what is missing up to
   * this segment is then no hole of its own, and its bytes are among those that the next segment's counts explain.
   */
  #isStillToBeTold(s: Segment, firstSeq: number): boolean {
    return !this.known || ((firstSeq + s.length - this.out.nextSeq) | 0) > 0;
  }

  #resets(s: Segment): boolean {
    if (!this.known || this.joining) return true;
    const { nextSeq, leftOut, lost, ackedTo, position } = this.out;
    const near = (s.seq - nextSeq) | 0;
    const acked = near - (ackedTo - position);
    // What the peer has acknowledged lies left of its window. One who answers an old segment says no more than that.
    if (near < 0 && acked < 0) return false;
    return Math.min(near, acked, (near - leftOut - lost) | 0) <= NEAR_AHEAD_MAX;
  }
}

/** SHED_* bits as a reason. */
const whyLeftOut = (shed: number): LossReason | 'left_out' =>
  shed === 0 ? 'left_out' : (shed & SHED_HEAD) !== 0 ? 'shed_head' : 'shed_body';
