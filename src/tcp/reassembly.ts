/**
 * One direction's bytes in order. The file's two halves: the fast path (the next segment, whole: handed on in place,
 * nothing copied but its beginning into the history) and everything else, which may be slow but is bounded.
 *
 * A stream offset ("position") counts from the first known byte; it is a double, while sequence numbers wrap at 32 bits
 * (RFC 9293 3.4). What is missing between the position and the next bytes that are there is a hole. A hole ends by its
 * bytes coming late, or it is given up: at once when the kernel's own counts explain it, else by the bounds of
 * ReassemblyLimits. The kernel's share of a hole is 'left_out', then 'ring_full' (the order inside is not known).
 */
import { UNSEEN } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import { type Segment, SHED_HEAD, TCP_FIN, TCP_RST, TCP_SYN } from '../model/segment.ts';
import type { StreamEnd, StreamSink } from '../model/stages.ts';
import type { ReassemblyContext } from './context.ts';
import { Delivery } from './delivery.ts';
import { CHUNK_OVERHEAD, Pending } from './pending.ts';

/** Unexplained distance from the next expected byte beyond which a segment is not believed. */
const DISTANCE_MAX = 64 * 1024 * 1024;
/** What ends or begins a connection is believed in a narrower range (RFC 5961 3.2 asks for a reset's exact number). */
const NEAR_AHEAD_MAX = 1024 * 1024;
/** Segments outside DISTANCE_MAX that follow one another: after so many this is another connection. */
const STRAYS_MAX = 4;
/** Room before the first segment seen, for earlier ones that come later. */
const JOIN_SLACK = 64 * 1024;
const JOIN_SEGMENTS_MAX = 16;

/** A segment acknowledges nothing, or nothing that has a position. */
export const NO_ACK = Number.NEGATIVE_INFINITY;

/** What a segment meant for the connection. */
export const TAKEN = 0;
/** A believable reset: both directions are over. */
export const RESET = 1;
/** The sequence numbers belong to another connection on the same addresses and ports. */
export const FOREIGN = 2;
export type Verdict = typeof TAKEN | typeof RESET | typeof FOREIGN;

export class Reassembler {
  /** The other direction; set once by `pair`. */
  peer!: Reassembler;
  /** Something waits (bytes beyond a hole, a FIN, an unknown start): `expire` has to be called as time passes. */
  waiting = false;
  /** The first byte of the stream is known from a SYN (or a SYN's acknowledgement). */
  fromSyn = false;

  readonly #context: ReassemblyContext;
  readonly #out: Delivery;
  readonly #causal: boolean;
  #known = false;
  /** Files: bytes have come, but the first one is not settled; positions are provisional. */
  #joining = false;
  #finSeen = false;
  /** Where the stream ends, once `#finSeen`. */
  #finAt = 0;
  /** Where the stream was when its sender reset it. */
  #resetAt = 0;
  #pending: Pending | null = null;
  /** When the present hole was noticed. */
  #since: number = UNSEEN;
  #strayNext = 0;
  #strays = 0;

  constructor(context: ReassemblyContext, sink: StreamSink) {
    this.#context = context;
    this.#out = new Delivery(context, sink);
    this.#causal = context.limits.causal;
  }

  /** Two directions of one connection. */
  static pair(context: ReassemblyContext, ingress: StreamSink, egress: StreamSink): [Reassembler, Reassembler] {
    const a = new Reassembler(context, ingress);
    const b = new Reassembler(context, egress);
    a.peer = b;
    b.peer = a;
    return [a, b];
  }

  /** The sink has got its end; what comes now is counted and not used. */
  get ended(): boolean {
    return this.#out.ended;
  }

  /**
   * Takes a segment of this direction. `ack`: what `peer.acknowledged` said of it, NO_ACK without ACK. A SYN must belong to
   * this connection (`sameStart` tells).
   */
  segment(s: Segment, ack: number): Verdict {
    if (
      (s.seq | 0) === this.#out.nextSeq &&
      this.#known &&
      !this.waiting &&
      !this.#out.ended &&
      (s.flags & (TCP_SYN | TCP_FIN | TCP_RST)) === 0 &&
      s.captured === s.length &&
      s.leftOut === 0 &&
      s.lostBytes === 0 &&
      !(this.#causal && this.#blocked(ack))
    ) {
      const length = s.length;
      if (length > 0) this.#out.deliver(s.memory, s.offset, length, length, s.ts, ack);
      return TAKEN;
    }
    return this.#slow(s, ack);
  }

  /** Whether a SYN with this sequence number can be the one that began this direction. */
  sameStart(synSeq: number): boolean {
    if (!this.#known) return true;
    const first = this.#out.position + ((synSeq + 1 - this.#out.nextSeq) | 0);
    if (this.#joining) return first <= (this.#pending?.first()?.position ?? 0) && first > -DISTANCE_MAX;
    if (first === 0) return true;
    // Late, or its data was the first that was seen.
    return !this.fromSyn && first < 0 && first > -NEAR_AHEAD_MAX && this.#out.position < NEAR_AHEAD_MAX;
  }

  /** Whether a SYN+ACK that acknowledges up to `seq` answers the SYN that began this direction, or its data too (RFC 7413 2). */
  sameAnswer(seq: number): boolean {
    if (this.sameStart(seq - 1)) return true;
    const taken = this.#out.position + ((seq - this.#out.nextSeq) | 0);
    return this.fromSyn && taken > 0 && taken <= this.#out.position;
  }

  /** Whether a segment can still belong to this direction. */
  near(seq: number): boolean {
    const distance = (seq - this.#out.nextSeq) | 0;
    return this.#known && distance >= -NEAR_AHEAD_MAX && distance <= NEAR_AHEAD_MAX;
  }

  /** The first byte has this sequence number: a SYN was seen, or the SYN+ACK that acknowledges it. */
  startsAt(seq: number): void {
    if (this.#out.ended || this.fromSyn || (this.#known && !this.#joining)) return;
    this.fromSyn = true;
    if (this.#joining) this.#settleStart(this.#out.position + ((seq - this.#out.nextSeq) | 0));
    else {
      this.#known = true;
      this.#out.nextSeq = seq | 0;
    }
  }

  /** The peer acknowledged up to `seq`; gives that as a position, NO_ACK when this direction's numbers are not known. */
  acknowledged(seq: number): number {
    if (!this.#known) {
      // A frame to put positions in; which byte is the first one is settled by what comes.
      if (this.#causal && !this.#out.ended) this.#join(seq);
      return this.#known ? 0 : NO_ACK;
    }
    const from = Math.max(this.#out.ackedTo, this.#out.position);
    const ahead = (seq - (this.#out.nextSeq + (from - this.#out.position))) | 0;
    let at = from + ahead;
    if (this.#finSeen && at > this.#finAt) at = this.#finAt;
    if (ahead > DISTANCE_MAX || (at < 0 && !this.#joining)) return NO_ACK;
    if (at > this.#out.ackedTo) this.#out.acknowledge(at);
    return at;
  }

  /** The kernel's word on bytes that no segment here will carry (with the socket's end). */
  account(leftOut: number, lostBytes: number): void {
    this.#out.leftOut += leftOut;
    this.#out.lost += lostBytes;
  }

  /**
   * TCP's own word, with the socket's end, on how far this direction came: stands for acknowledgements that nobody saw. The
   * kernel's counts (`account`) tell only how many times 2^32 bytes lie between.
   */
  reached(seq: number): void {
    if (!this.#known || this.#joining || seq < 0) return;
    const { position, nextSeq, leftOut, lost, ackedTo } = this.#out;
    const explained = leftOut + lost;
    const beyond = (seq - nextSeq - explained) | 0;
    // One more is the FIN's own number.
    let at = position + explained + (beyond === 1 ? 0 : beyond);
    if (this.#finSeen) at = Math.min(at, this.#finAt);
    if (beyond <= NEAR_AHEAD_MAX && at > ackedTo) this.#out.acknowledge(at);
  }

  /** Gives up what has waited too long; `now` in nanoseconds since the anchor, UNSEEN when there is no time. */
  expire(now: number): void {
    this.#settle(now);
    while (this.waiting && this.#due(now)) {
      if (this.#joining) this.#settleFirst();
      else this.#force('gap', now);
      this.#settle(now);
    }
  }

  /** Delivers one thing that waits, hole or not; false when nothing does. */
  #force(why: LossReason, now: number): boolean {
    const first = this.#pending?.first();
    if (first === undefined) {
      if (!this.#finSeen || this.#finAt <= this.#out.position) return false;
      this.#giveUp(this.#finAt, why, now);
      return true;
    }
    if (first.position > this.#out.position) this.#giveUp(first.position, why, first.ts);
    else if (!this.#causal || !this.#blocked(first.ack)) this.#shift();
    else {
      // The bytes that this one acknowledges are the ones that miss.
      const peer = this.peer;
      if (peer.#joining) peer.#settleFirst();
      while (peer.#misses(first.ack) && peer.#forceTo(first.ack, why, first.ts));
      peer.#refresh();
      this.#shift();
    }
    return true;
  }

  /** Whether there are bytes before `ack` to deliver or to give up. One may be the number of a FIN that was not seen. */
  #misses(ack: number): boolean {
    const waits = this.#pending?.first()?.position === this.#out.position;
    return this.#out.position < ack && (waits || this.#out.position + 1 < ack);
  }

  #forceTo(position: number, why: LossReason, now: number): boolean {
    const first = this.#pending?.first();
    if (first !== undefined && first.position <= this.#out.position) this.#shift();
    else {
      const edge = Math.min(position, first?.position ?? position);
      if (edge <= this.#out.position) return false;
      this.#giveUp(edge, why, now);
    }
    return true;
  }

  /**
   * Both directions of a connection are over: everything that waits is delivered, oldest first, with gaps where bytes
   * miss, then the ends.
   */
  static finish(a: Reassembler, b: Reassembler, how: StreamEnd, ts: number): void {
    for (const r of [a, b]) if (r.#joining && !r.ended) r.#settleFirst();
    a.#settle(ts);
    for (;;) {
      const x = a.ended ? undefined : a.#pending?.first();
      const y = b.ended ? undefined : b.#pending?.first();
      if (x === undefined && y === undefined) break;
      const next = y === undefined || (x !== undefined && x.ts <= y.ts) ? a : b;
      next.#force('gap', ts);
      a.#settle(ts);
    }
    for (const r of [a, b]) {
      if (!r.ended) r.#tail(ts);
      r.#settle(ts);
    }
    for (const r of [a, b]) if (!r.ended) r.#end(how, ts);
  }

  /** Bytes after the last one seen that are known to have been sent. */
  #tail(ts: number): void {
    if (!this.#known) return;
    let edge = this.#out.position + this.#out.leftOut + this.#out.lost;
    // One byte more than was seen may be the FIN's own number.
    for (const sent of [this.#out.ackedTo, this.#resetAt])
      if (sent > this.#out.position + 1) edge = Math.max(edge, sent);
    if (this.#finSeen) edge = this.#finAt;
    if (edge > this.#out.position) this.#giveUp(edge, 'gap', ts);
  }

  #slow(s: Segment, ack: number): Verdict {
    this.#out.leftOutWhy = s.shed === 0 ? 'left_out' : (s.shed & SHED_HEAD) !== 0 ? 'shed_head' : 'shed_body';
    const { counters, losses } = this.#context;
    this.#out.leftOut += s.leftOut;
    this.#out.lost += s.lostBytes;
    if (this.#out.ended) {
      if (s.length > 0) this.#out.unusable(s.length);
      return (s.flags & TCP_RST) !== 0 && this.#resets(s) ? RESET : TAKEN;
    }
    if ((s.flags & TCP_RST) !== 0) {
      counters.unusable += s.length;
      if (this.#resets(s)) {
        if (this.#known && !this.#joining) this.#resetAt = this.#out.position + ((s.seq - this.#out.nextSeq) | 0);
        return RESET;
      }
      losses.lose('out_of_window', 1, s.length);
      return TAKEN;
    }
    const firstSeq = (s.flags & TCP_SYN) === 0 ? s.seq : s.seq + 1;
    if ((s.flags & TCP_SYN) !== 0) this.startsAt(firstSeq);
    if (!this.#known) {
      if (s.length === 0 && (s.flags & TCP_FIN) === 0) return TAKEN;
      if (this.#causal) this.#join(firstSeq);
      else {
        this.#known = true;
        this.#out.nextSeq = (firstSeq - this.#out.leftOut - this.#out.lost) | 0;
      }
    }
    // The kernel's counts tell how many times 2^32 bytes lie between.
    const explained = this.#out.leftOut + this.#out.lost;
    const unexplained = (firstSeq - this.#out.nextSeq - explained) | 0;
    if (unexplained > DISTANCE_MAX || unexplained < -DISTANCE_MAX) return this.#stray(s, firstSeq);
    this.#strays = 0;
    const position = this.#out.position + explained + unexplained;
    if ((s.flags & TCP_FIN) !== 0 && !this.#finSeen && position + s.length >= this.#out.position) {
      this.#finSeen = true;
      this.#finAt = position + s.length;
    }
    if (s.length > 0) this.#place(s, position, ack);
    const fresh = s.leftOut + s.lostBytes > 0;
    if (fresh && !this.#joining) this.#explain(position, s.ts);
    this.#settle(s.ts);
    if (this.waiting) {
      if (this.#since === UNSEEN) this.#since = s.ts;
      this.expire(s.ts);
    }
    return TAKEN;
  }

  #resets(s: Segment): boolean {
    if (!this.#known || this.#joining) return true;
    const { nextSeq, leftOut, lost, ackedTo, position } = this.#out;
    const near = (s.seq - nextSeq) | 0;
    const acked = near - (ackedTo - position);
    // What the peer has acknowledged lies left of its window. One who answers an old segment says no more than that.
    if (near < 0 && acked < 0) return false;
    return Math.min(near, acked, (near - leftOut - lost) | 0) <= NEAR_AHEAD_MAX;
  }

  #stray(s: Segment, firstSeq: number): Verdict {
    if (s.length === 0) return TAKEN;
    this.#strays = (firstSeq | 0) === this.#strayNext ? this.#strays + 1 : 1;
    this.#strayNext = (firstSeq + s.length) | 0;
    if (this.#strays >= STRAYS_MAX) return FOREIGN;
    this.#out.unusable(s.length);
    this.#context.losses.lose('out_of_window', 1, s.length);
    return TAKEN;
  }

  /** Files: `seq` gets position 0 for now, with room before it. */
  #join(seq: number): void {
    this.#known = true;
    this.#joining = true;
    this.#out.nextSeq = (seq - JOIN_SLACK) | 0;
    this.#out.position = -JOIN_SLACK;
    this.#out.ackedTo = -JOIN_SLACK;
    this.waiting = true;
  }

  /** The stream begins at what was position `first`. */
  #settleStart(first: number): void {
    this.#joining = false;
    this.#out.startAt(first);
    if (this.#finSeen) this.#finAt = Math.max(0, this.#finAt - first);
    const pending = this.#pending;
    pending?.rebase(first);
    this.peer.#pending?.rebaseAcks(first);
    for (let chunk = pending?.first(); chunk !== undefined && chunk.position < 0; chunk = pending?.first()) {
      this.#out.unusable(chunk.length);
      this.#drop();
    }
    this.#refresh();
  }

  /** The stream begins at the first byte that is there. */
  #settleFirst(): number {
    let first = this.#pending?.first()?.position ?? (this.#finSeen ? Math.min(0, this.#finAt) : 0);
    // The peer's SYN was seen: what lies between its first acknowledgement and the first byte was sent, and not captured.
    if (this.peer.fromSyn) first = Math.min(0, first);
    this.#settleStart(first);
    return first;
  }

  /** Whether data that acknowledges `ack` has to wait for the other direction. */
  #blocked(ack: number): boolean {
    return ack > this.peer.#out.position && !this.peer.ended;
  }

  /** Puts a segment's payload, which begins at `position`, where it belongs. */
  #place(s: Segment, position: number, ack: number): void {
    const { memory, ts } = s;
    let offset = s.offset;
    let captured = s.captured;
    let at = position;
    let left = s.length;
    if (this.#finSeen && at + left > this.#finAt) {
      const kept = Math.max(0, this.#finAt - at);
      this.#out.unusable(left - kept);
      left = kept;
      captured = Math.min(captured, kept);
    }
    while (left > 0) {
      let n = left;
      if (at < this.#out.position && !this.#joining) {
        n = Math.min(left, this.#out.position - at);
        this.#out.repeated(memory, offset, Math.min(n, captured), at, n, this.fromSyn);
      } else {
        const first = this.#pending?.first();
        const next = at === this.#out.position && !this.#joining;
        if (next && first !== undefined) n = Math.min(left, first.position - at);
        if (next && n > 0 && !(this.#causal && this.#blocked(ack))) {
          this.#out.deliver(memory, offset, Math.min(n, captured), n, ts, ack);
          this.#drain();
        } else if (!this.#hasRoom(captured)) {
          at -= this.#makeWay(at, ts);
          const chunk = this.#pending?.first();
          n = this.#out.position === at ? Math.min(left, chunk === undefined ? left : chunk.position - at) : 0;
          if (n > 0) this.#out.deliver(memory, offset, Math.min(n, captured), n, ts, ack);
          else if (this.#out.position === at) this.#shift();
        } else {
          this.#hold(memory, offset, captured, at, left, ts, ack);
          n = left;
        }
      }
      at += n;
      left -= n;
      offset += Math.min(n, captured);
      captured = Math.max(0, captured - n);
    }
  }
  /** Whether so many bytes may be held; chunks that lie in between cut them into more pieces. */
  #hasRoom(captured: number): boolean {
    const pieces = 1 + (this.#pending?.count ?? 0);
    return this.#context.held + captured + pieces * CHUNK_OVERHEAD <= this.#context.limits.totalBytes;
  }

  /** No memory for more: delivers what is held before `at`, holes given up. Returns by how much positions moved. */
  #makeWay(at: number, ts: number): number {
    let by = 0;
    if (this.#joining) {
      by = Math.min(at, this.#pending?.first()?.position ?? at);
      this.#settleStart(by);
    }
    while (this.#out.position < at - by) this.#forceTo(at - by, 'reassembly_limit', ts);
    return by;
  }

  #hold(memory: Memory, offset: number, captured: number, at: number, length: number, ts: number, ack: number): void {
    const { counters, losses } = this.#context;
    this.#pending ??= new Pending();
    const pending = this.#pending;
    const { bytes, length: had } = pending;
    const differ = pending.insert(memory, offset, captured, at, length, ts, ack);
    counters.duplicate += length - (pending.length - had);
    this.#context.held += pending.bytes - bytes;
    if (differ > 0) losses.lose('overlap_conflict', 1, differ);
    this.waiting = true;
  }

  /** Delivers the first chunk that waits, which is the next one. */
  #shift(): void {
    const chunk = this.#pending?.first();
    if (chunk === undefined) return;
    this.#drop();
    this.#out.deliver(chunk.memory, chunk.offset, chunk.captured, chunk.length, chunk.ts, chunk.ack);
    this.#since = this.#pending?.first()?.ts ?? this.#since;
  }

  #drop(): void {
    const pending = this.#pending;
    if (pending === null) return;
    const { bytes } = pending;
    pending.shift();
    this.#context.held -= bytes - pending.bytes;
  }

  /** Delivers what is next and waits for nothing any more. */
  #drain(): boolean {
    const pending = this.#pending;
    if (pending === null || this.#joining) return false;
    let progress = false;
    for (;;) {
      const first = pending.first();
      if (first === undefined || first.position > this.#out.position || (this.#causal && this.#blocked(first.ack)))
        break;
      this.#shift();
      progress = true;
    }
    return progress;
  }

  /** Delivers what can be delivered in both directions: each may free the other. */
  #settle(ts: number): void {
    const peer = this.peer;
    let progress = true;
    while (progress) {
      this.#drain();
      progress = peer.waiting && peer.#drain();
      if (this.#finSeen) this.#endByFin(ts);
      if (peer.#finSeen) peer.#endByFin(ts);
    }
    this.#refresh();
    if (peer.waiting) peer.#refresh();
  }

  #endByFin(ts: number): void {
    if (!this.#out.ended && !this.#joining && this.#out.position >= this.#finAt) this.#end('fin', ts);
  }

  #refresh(): void {
    const pending = this.#pending;
    if (pending !== null && pending.count === 0) this.#pending = null;
    this.waiting = !this.#out.ended && (this.#joining || this.#pending !== null || this.#finSeen);
    if (!this.waiting) this.#since = UNSEEN;
  }

  /** Whether what waits has waited long enough. */
  #due(now: number): boolean {
    const { limits } = this.#context;
    const pending = this.#pending;
    const first = pending?.first();
    if (this.#joining && first === undefined && !this.#finSeen) return false;
    if (pending !== null) {
      const segments = this.#joining ? JOIN_SEGMENTS_MAX : limits.holeSegments;
      if (pending.bytes > limits.holeBytes || pending.count > segments) return true;
    }
    if (now < this.#since) this.#since = now;
    const age = now === UNSEEN || this.#since === UNSEEN ? 0 : now - this.#since;
    const hole = first === undefined || first.position > this.#out.position;
    const seen = this.#joining || !hole || this.#out.ackedTo >= (first?.position ?? this.#finAt);
    const bound = seen ? limits.ackedHoleNs : limits.holeNs;
    return age >= bound;
  }

  #giveUp(edge: number, why: LossReason, ts: number): void {
    this.#out.giveUp(edge, why, ts);
    // What the kernel's counts say beyond the last hole were repetitions.
    if (this.#pending === null || this.#pending.count === 0) this.#out.forget();
  }

  /** Gives up the hole at once when the kernel's counts, which came with a segment at `position`, cover it. */
  #explain(position: number, ts: number): void {
    for (;;) {
      const edge = this.#pending?.first()?.position ?? (this.#finSeen ? Math.max(position, this.#finAt) : position);
      const hole = edge - this.#out.position;
      if (hole <= 0 || hole > this.#out.leftOut + this.#out.lost) return;
      this.#giveUp(edge, 'gap', ts);
      this.#drain();
    }
  }

  #end(how: StreamEnd, ts: number): void {
    const out = this.#out;
    out.ended = true;
    while (this.#pending !== null && this.#pending.count > 0) {
      out.unusable(this.#pending.first()!.length);
      this.#drop();
    }
    this.#refresh();
    out.end(how, ts);
  }
}
