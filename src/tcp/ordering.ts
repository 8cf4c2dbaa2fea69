/**
 * One direction's bytes in order, whatever order their segments came in. Slow against the fast path (reassembly.ts), but
 * bounded.
 *
 * A stream offset ("position") counts from the first known byte; it is a double, while sequence numbers wrap at 32 bits
 * (RFC 9293 3.4). What is missing between the position and the next bytes that are there is a hole. A hole ends by its
 * bytes coming late, or it is given up: at once when the kernel's own counts explain it, else by the bounds of
 * ReassemblyLimits. The kernel's share of a hole is 'left_out', then 'ring_full' (the order inside is not known).
 */
import { UNSEEN } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Segment } from '../model/segment.ts';
import type { StreamEnd, StreamSink } from '../model/stages.ts';
import type { ReassemblyContext } from './context.ts';
import { Delivery } from './delivery.ts';
import { CHUNK_OVERHEAD, Pending } from './pending.ts';

/** Room before the first segment seen, for earlier ones that come later. */
const JOIN_SLACK = 64 * 1024;
const JOIN_SEGMENTS_MAX = 16;

export abstract class OrderedStream {
  /** The other direction; set once. */
  peer!: OrderedStream;
  /** Something waits (bytes beyond a hole, a FIN, an unknown start): `expire` has to be called as time passes. */
  waiting = false;
  /** The first byte of the stream is known from a SYN (or a SYN's acknowledgement), or from the kernel. */
  fromSyn = false;

  protected readonly context: ReassemblyContext;
  protected readonly out: Delivery;
  protected readonly causal: boolean;
  protected known = false;
  /** Files: bytes have come, but the first one is not settled; positions are provisional. */
  protected joining = false;
  protected finSeen = false;
  /** Where the stream ends, once `finSeen`. */
  protected finAt = 0;
  /** Where the stream was when its sender reset it. */
  protected resetAt = 0;
  #pending: Pending | null = null;
  /** When the present hole was noticed. */
  #since: number = UNSEEN;

  constructor(context: ReassemblyContext, sink: StreamSink) {
    this.context = context;
    this.out = new Delivery(context, sink);
    this.causal = context.limits.causal;
  }

  /** The sink has got its end; what comes now is counted and not used. */
  get ended(): boolean {
    return this.out.ended;
  }

  /** Position of the first byte that waits, undefined: none does. */
  protected get held(): number | undefined {
    return this.#pending?.first()?.position;
  }

  /** Something was put in its place at `ts`: delivers what can be delivered, gives up what has waited too long. */
  protected advance(ts: number): void {
    this.#settle(ts);
    if (!this.waiting) return;
    if (this.#since === UNSEEN) this.#since = ts;
    this.expire(ts);
  }

  /** Gives up what has waited too long; `now` in nanoseconds since the anchor, UNSEEN when there is no time. */
  expire(now: number): void {
    this.#settle(now);
    while (this.waiting && this.#due(now)) {
      if (this.joining) this.#settleFirst(now);
      else this.#force('gap', now);
      this.#settle(now);
    }
  }

  /** Files: by `now` what belongs before the first byte has had its time to come. */
  settleJoin(now: number): void {
    if (this.joining) this.expire(now);
  }

  /** Delivers one thing that waits, hole or not; false when nothing does. */
  #force(why: LossReason, now: number): boolean {
    const first = this.#pending?.first();
    if (first === undefined) {
      if (!this.finSeen || this.finAt <= this.out.position) return false;
      this.#giveUp(this.#edge(this.finAt), why, now);
      return true;
    }
    if (first.position > this.out.position) this.#giveUp(this.#edge(first.position), why, first.ts);
    else if (!this.causal || !this.blocked(first.ack)) this.#shift();
    else {
      // The bytes that this one acknowledges are the ones that miss.
      const peer = this.peer;
      if (peer.joining) peer.#settleFirst(first.ts);
      while (peer.#misses(first.ack) && peer.#forceTo(first.ack, why, first.ts));
      peer.#refresh();
      this.#shift();
    }
    return true;
  }

  /** How far a hole up to `position` is given up at once: the other side spoke in between, and what it said belongs there. */
  #edge(position: number): number {
    const { peer } = this;
    const waits = this.causal ? peer.#pending?.first() : undefined;
    if (waits === undefined || waits.position !== peer.out.position) return position;
    return waits.ack > this.out.position && waits.ack < position ? waits.ack : position;
  }

  /** Whether there are bytes before `ack` to deliver or to give up. One may be the number of a FIN that was not seen. */
  #misses(ack: number): boolean {
    const waits = this.#pending?.first()?.position === this.out.position;
    return this.out.position < ack && (waits || this.out.position + 1 < ack);
  }

  #forceTo(position: number, why: LossReason, now: number): boolean {
    const first = this.#pending?.first();
    if (first !== undefined && first.position <= this.out.position) this.#shift();
    else {
      const edge = Math.min(position, first?.position ?? position);
      if (edge <= this.out.position) return false;
      this.#giveUp(edge, why, now);
    }
    return true;
  }

  /**
   * Both directions of a connection are over: everything that waits is delivered, oldest first, with gaps where bytes
   * miss, then the ends.
   */
  static finish(a: OrderedStream, b: OrderedStream, how: StreamEnd, ts: number): void {
    for (const r of [a, b]) if (r.joining && !r.ended) r.#settleFirst(ts);
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
    if (!this.known) return;
    const known = this.out.position + this.out.leftOut + this.out.lost;
    let edge = known;
    // One byte more than is known of may be the FIN's own number.
    for (const sent of [this.out.ackedTo, this.resetAt]) if (sent > known + 1) edge = Math.max(edge, sent);
    if (this.finSeen) edge = this.finAt;
    if (edge > this.out.position) this.#giveUp(edge, 'gap', ts);
  }

  /** Files: `seq` gets position 0 for now, with room before it. */
  protected join(seq: number): void {
    this.known = true;
    this.joining = true;
    this.out.nextSeq = (seq - JOIN_SLACK) | 0;
    this.out.position = -JOIN_SLACK;
    this.out.ackedTo = -JOIN_SLACK;
    this.waiting = true;
  }

  /** The stream begins at what was position `first`. */
  protected settleStart(first: number): void {
    this.joining = false;
    this.out.startAt(first);
    if (this.finSeen) this.finAt = Math.max(0, this.finAt - first);
    const pending = this.#pending;
    pending?.rebase(first);
    this.peer.#pending?.rebaseAcks(first);
    for (let chunk = pending?.first(); chunk !== undefined && chunk.position < 0; chunk = pending?.first()) {
      this.out.unusable(chunk.length);
      this.#drop();
    }
    this.#refresh();
  }

  /** The stream begins at the first byte that is there. */
  #settleFirst(ts: number): void {
    const first = this.#pending?.first()?.position ?? (this.finSeen ? Math.min(0, this.finAt) : 0);
    // What lies between the peer's first acknowledgement and the first byte was sent, and not captured.
    const begin = Math.min(0, first);
    this.settleStart(begin);
    const edge = first - begin;
    // Of a connection whose opening was seen it may still come.
    if (edge > 0 && !this.peer.fromSyn) this.#giveUp(edge, 'joined_midstream', ts);
  }

  /** Whether data that acknowledges `ack` has to wait for the other direction. */
  protected blocked(ack: number): boolean {
    return ack > this.peer.out.position && !this.peer.ended;
  }

  /** Puts a segment's payload, which begins at `position`, where it belongs. */
  protected place(s: Segment, position: number, ack: number): void {
    const { memory, ts } = s;
    let offset = s.offset;
    let captured = s.captured;
    let at = position;
    let left = s.length;
    if (this.finSeen && at + left > this.finAt) {
      const kept = Math.max(0, this.finAt - at);
      this.out.unusable(left - kept);
      left = kept;
      captured = Math.min(captured, kept);
    }
    while (left > 0) {
      let n = left;
      if (at < this.out.position && !this.joining) {
        n = Math.min(left, this.out.position - at);
        this.out.repeated(memory, offset, Math.min(n, captured), at, n, this.fromSyn);
      } else {
        const first = this.#pending?.first();
        const next = at === this.out.position && !this.joining;
        if (next && first !== undefined) n = Math.min(left, first.position - at);
        if (next && n > 0 && !(this.causal && this.blocked(ack))) {
          this.out.deliver(memory, offset, Math.min(n, captured), n, ts, ack);
          this.#drain();
        } else if (!this.#hasRoom(captured)) {
          at -= this.#makeWay(at, ts);
          const chunk = this.#pending?.first();
          n = this.out.position === at ? Math.min(left, chunk === undefined ? left : chunk.position - at) : 0;
          if (n > 0) this.out.deliver(memory, offset, Math.min(n, captured), n, ts, ack);
          else if (this.out.position === at) this.#shift();
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
    return this.context.held + captured + pieces * CHUNK_OVERHEAD <= this.context.limits.totalBytes;
  }

  /** No memory for more: delivers what is held before `at`, holes given up. Returns by how much positions moved. */
  #makeWay(at: number, ts: number): number {
    let by = 0;
    if (this.joining) {
      by = Math.min(at, this.#pending?.first()?.position ?? at);
      this.settleStart(by);
    }
    while (this.out.position < at - by) this.#forceTo(at - by, 'reassembly_limit', ts);
    return by;
  }

  #hold(memory: Memory, offset: number, captured: number, at: number, length: number, ts: number, ack: number): void {
    const { counters, losses } = this.context;
    this.#pending ??= new Pending();
    const pending = this.#pending;
    const { bytes, length: had } = pending;
    const differ = pending.insert(memory, offset, captured, at, length, ts, ack);
    counters.duplicate += length - (pending.length - had);
    this.context.held += pending.bytes - bytes;
    if (differ > 0) losses.lose('overlap_conflict', 1, differ);
    this.waiting = true;
  }

  /** Delivers the first chunk that waits, which is the next one. */
  #shift(): void {
    const chunk = this.#pending?.first();
    if (chunk === undefined) return;
    this.#drop();
    this.out.deliver(chunk.memory, chunk.offset, chunk.captured, chunk.length, chunk.ts, chunk.ack);
    this.#since = this.#pending?.first()?.ts ?? this.#since;
  }

  #drop(): void {
    const pending = this.#pending;
    if (pending === null) return;
    const { bytes } = pending;
    pending.shift();
    this.context.held -= bytes - pending.bytes;
  }

  /** Delivers what is next and waits for nothing any more. */
  #drain(): boolean {
    const pending = this.#pending;
    if (pending === null || this.joining) return false;
    let progress = false;
    for (;;) {
      const first = pending.first();
      if (first === undefined || first.position > this.out.position || (this.causal && this.blocked(first.ack))) break;
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
      if (this.finSeen) this.#endByFin(ts);
      if (peer.finSeen) peer.#endByFin(ts);
    }
    this.#refresh();
    if (peer.waiting) peer.#refresh();
  }

  #endByFin(ts: number): void {
    if (!this.out.ended && !this.joining && this.out.position >= this.finAt) this.#end('fin', ts);
  }

  #refresh(): void {
    const pending = this.#pending;
    if (pending !== null && pending.count === 0) this.#pending = null;
    this.waiting = !this.out.ended && (this.joining || this.#pending !== null || this.finSeen);
    if (!this.waiting) this.#since = UNSEEN;
  }

  /** Whether what waits has waited long enough. */
  #due(now: number): boolean {
    const { limits } = this.context;
    const pending = this.#pending;
    const first = pending?.first();
    if (this.joining && first === undefined && !this.finSeen) return false;
    if (pending !== null) {
      const segments = this.joining ? JOIN_SEGMENTS_MAX : limits.holeSegments;
      if (pending.bytes > limits.holeBytes || pending.count > segments) return true;
    }
    if (now < this.#since) this.#since = now;
    const age = now === UNSEEN || this.#since === UNSEEN ? 0 : now - this.#since;
    const hole = first === undefined || first.position > this.out.position;
    const seen = this.joining || !hole || this.out.ackedTo >= (first?.position ?? this.finAt);
    const bound = seen ? limits.ackedHoleNs : limits.holeNs;
    return age >= bound;
  }

  #giveUp(edge: number, why: LossReason, ts: number): void {
    this.out.giveUp(edge, why, ts);
    // What the kernel's counts say beyond the last hole were repetitions.
    if (this.#pending === null || this.#pending.count === 0) this.out.forget();
  }

  /** Gives up the hole at once when the kernel's counts, which came with a segment at `position`, cover it. */
  protected explain(position: number, ts: number): void {
    for (;;) {
      const edge = this.#pending?.first()?.position ?? (this.finSeen ? Math.max(position, this.finAt) : position);
      const hole = edge - this.out.position;
      if (hole <= 0 || hole > this.out.leftOut + this.out.lost) return;
      this.#giveUp(edge, 'gap', ts);
      this.#drain();
    }
  }

  #end(how: StreamEnd, ts: number): void {
    const out = this.out;
    out.ended = true;
    while (this.#pending !== null && this.#pending.count > 0) {
      out.unusable(this.#pending.first()!.length);
      this.#drop();
    }
    this.#refresh();
    out.end(how, ts);
  }
}
