/**
 * One direction of an HTTP/2 connection: bytes in order become frames (RFC 9113 4). Knows where each frame ends and which
 * of its bytes have to be together; what a frame means is stream.ts's.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import { FieldBlock } from '../../model/fields.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import type { Peer, StreamEnd, StreamSink } from '../../model/stages.ts';
import {
  bytesNeeded,
  DATA,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  isBlockPart,
  lengthAt,
  PREFACE,
} from './frames.ts';
import type { Gather, Gathers } from './gather.ts';
import { BoundarySearch } from './resync.ts';

export type H2State =
  /** The client's first 24 bytes. */
  | 'preface'
  /** Between frames, or within a frame header. */
  | 'header'
  | 'payload'
  /** Looking for a frame boundary. */
  | 'seeking'
  /** Framing broke: nothing more is believed. */
  | 'failed'
  | 'ended';

export abstract class FrameReader implements StreamSink {
  readonly by: Peer;
  /** Bytes are missing, or the beginning is: what does not fit may be because of that. */
  guessed: boolean;
  ts = UNSEEN;
  ack = -1;
  /** Offset behind the last byte that came. */
  position = 0;
  /** The same, bytes that will not come included. */
  reached = 0;
  /** Bytes that frames may begin in and that were not read; whoever knows what was in them takes them off. */
  missed = 0;
  /** Of the frame at hand: when and where its first byte was, its stream, type and flags. */
  frameTs = UNSEEN;
  frameAt = 0;
  streamId = 0;
  protected type = 0;
  protected flags = 0;
  /** The largest frame that the receiver allows. */
  protected frameMax = FRAME_BYTES_DEFAULT;
  readonly losses: LossSink;
  readonly #gathers: Gathers;
  /** What came of a frame header, or of what has to be together; null: nothing. */
  #gather: Gather | null = null;
  /** null: frames were never looked for. */
  #search: BoundarySearch | null = null;
  #state: H2State;
  /** Bytes were passed over since frames were last read. */
  #passed = false;
  /** Bytes of the preface that came. */
  #preface = 0;
  /** Payload bytes of the frame that are still to come; of these, how many must be together to be read. */
  #remaining = 0;
  #need = 0;
  /** DATA: bytes of the body that are still to come in this frame; -1: the pad length is not known yet. */
  #body = 0;

  /** `opened`: bytes before the first frame that is read are not those of an older connection. */
  constructor(by: Peer, gathers: Gathers, losses: LossSink, joined: boolean, opened: boolean) {
    this.by = by;
    this.losses = losses;
    this.guessed = joined;
    this.#state = joined ? 'seeking' : by === 'client' ? 'preface' : 'header';
    this.#gathers = gathers;
    if (!joined) return;
    this.#search = new BoundarySearch();
    if (opened) this.#search.reason = 'desync';
  }

  get state(): H2State {
    return this.#state;
  }

  /** Whether a frame of this type may stand here (RFC 9113 4.3, 6); its length is allowed. */
  protected abstract allowed(length: number): boolean;
  /** `length` bytes of a body, of a frame with `taken` bytes here (the rest is padding). */
  protected abstract body(memory: Memory, at: number, length: number, taken: number): void;
  /** `length` bytes of a body that will not come, or are not wanted. */
  protected abstract bodySkipped(length: number, body: number, why: LossReason | 'left_out'): void;
  /** The part of a control frame that is read is at `memory[at, end)`; false: it is malformed. */
  protected abstract control(memory: Memory, at: number, end: number, position: number): boolean;
  /** `bytes` of a header block's part are missing, and the rest is not read; the first `there` of all `size` are in `memory`. */
  protected abstract fragmentLost(why: LossReason, bytes: number, memory: Memory, there: number, size: number): void;
  /** The rest of another control frame that is read is missing. */
  protected abstract controlLost(): void;
  /** A DATA frame of `length` octets begins. */
  protected abstract bodyBegins(length: number): void;
  /** A DATA frame ended, with END_STREAM or not. */
  protected abstract bodyEnded(position: number, endsStream: boolean): void;
  /** Bytes with frame boundaries in them are missing. */
  protected abstract boundaryLost(why: LossReason): void;
  /** Frames were passed over because of `why`; they are read again from stream offset `end` on, or the direction ends there. */
  protected abstract framesPassed(why: LossReason, end: number): void;
  /** Framing is broken for good (`guessed`: as far as it was believed). */
  protected abstract broken(): void;
  protected abstract ended(how: StreamEnd, ts: number): void;

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const end = offset + length;
    const origin = position - offset;
    this.ts = ts;
    this.ack = ack;
    this.position = this.reached = position + length;
    let at = offset;
    if (this.#state === 'seeking') at = this.#seek(memory.view, at, end, origin);
    while (at < end) {
      switch (this.#state) {
        case 'header':
          at = this.#header(memory, at, end, origin);
          break;
        case 'payload':
          at = this.#payload(memory, at, end, origin);
          break;
        case 'preface':
          if (memory.view.getUint8(at) !== PREFACE.charCodeAt(this.#preface)) {
            this.#fail();
            break;
          }
          at++;
          if (++this.#preface === PREFACE.length) this.#state = 'header';
          break;
        case 'seeking':
          this.#pass(at, end);
          return;
        case 'failed':
          this.losses.lose('h2_undecoded', 1, end - at);
          this.missed += end - at;
          return;
        case 'ended':
          return;
      }
    }
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number): void {
    if (length === 0) return;
    this.reached = position + length;
    this.ts = why === 'gap' || why === 'ring_full' ? UNSEEN : ts;
    switch (this.#state) {
      case 'payload': {
        const within = Math.min(length, this.#remaining);
        this.#skipPayload(within, why);
        if (length > within) this.#lost(length - within, why);
        else if (this.#remaining === 0) this.#frameDone(position + length);
        return;
      }
      case 'preface':
      case 'header':
        this.#lost(length, why);
        return;
      case 'seeking':
        this.#search!.gap(position + length);
        this.#passed = true;
        this.missed += length;
        if (why === 'left_out') this.losses.lose(this.#search!.reason, 1, length);
        return;
      case 'failed':
        if (why === 'left_out') this.losses.lose('h2_undecoded', 1, length);
        this.missed += length;
        return;
      default:
    }
  }

  end(how: StreamEnd, ts: number): void {
    if (this.#state === 'ended') return;
    if (how !== 'fin' && how !== 'rst') this.ts = UNSEEN;
    if (this.#state === 'seeking') this.#tellPassed(this.reached);
    this.#state = 'ended';
    this.#forget();
    this.ended(how, ts);
  }

  #header(memory: Memory, at: number, end: number, origin: number): number {
    if (this.#gather === null) {
      this.frameTs = this.ts;
      this.frameAt = at + origin;
      if (end - at >= FRAME_HEADER_BYTES) {
        this.#begin(memory.view, at, at + FRAME_HEADER_BYTES + origin);
        return at + FRAME_HEADER_BYTES;
      }
    }
    this.#gather ??= this.#gathers.take();
    const gather = this.#gather;
    const next = gather.add(memory, at, end, FRAME_HEADER_BYTES);
    if (gather.length < FRAME_HEADER_BYTES) return next;
    this.#gather = null;
    this.#begin(gather.memory.view, 0, next + origin);
    this.#gathers.give(gather);
    return next;
  }

  /** A frame begins; its payload at `position`. */
  #begin(view: DataView, at: number, position: number): void {
    const length = lengthAt(view, at);
    const type = view.getUint8(at + 3);
    const flags = view.getUint8(at + 4);
    this.type = type;
    this.flags = flags;
    this.streamId = view.getInt32(at + 5) & 0x7fffffff;
    this.#remaining = length;
    if ((length > this.frameMax && !this.guessed) || !this.allowed(length)) {
      this.#need = 0;
      this.#fail();
      return;
    }
    this.#state = 'payload';
    if (type === DATA) {
      this.#need = 0;
      this.bodyBegins(length);
      this.#body = (flags & FLAG_PADDED) === 0 ? length : -1;
    } else this.#need = bytesNeeded(type, flags, length);
    if (length > 0) return;
    if (isBlockPart(type)) {
      this.#control(FieldBlock.NO_MEMORY, 0, 0, position);
      if (this.#state !== 'payload') return;
    }
    this.#frameDone(position);
  }

  #payload(memory: Memory, at: number, end: number, origin: number): number {
    if (this.type === DATA) return this.#dataBytes(memory, at, end, origin);
    const need = this.#need;
    let next = at;
    if (need > 0) {
      if (this.#gather === null && end - at >= need) {
        next = at + need;
        this.#need = 0;
        this.#remaining -= need;
        this.#control(memory, at, next, next + origin);
      } else {
        this.#gather ??= this.#gathers.take();
        const gather = this.#gather;
        next = gather.add(memory, at, end, need);
        if (next < 0) return this.#tooLarge(at, end, origin);
        this.#remaining -= next - at;
        if (gather.length < need) return next;
        this.#need = 0;
        this.#gather = null;
        this.#control(gather.memory, 0, need, next + origin);
        this.#gathers.give(gather);
      }
      if (this.#state !== 'payload') return next;
    }
    const skipped = Math.min(end - next, this.#remaining);
    this.#remaining -= skipped;
    next += skipped;
    if (this.#remaining === 0) this.#frameDone(next + origin);
    return next;
  }

  #control(memory: Memory, at: number, end: number, position: number): void {
    if (!this.control(memory, at, end, position)) this.#fail();
  }

  /** No memory for a header block: what it held is not known. */
  #tooLarge(at: number, end: number, origin: number): number {
    const taken = Math.min(end - at, this.#remaining);
    const held = this.#gather?.length ?? 0;
    this.#skipPayload(taken, 'head_too_large');
    this.losses.lose('head_too_large', 1, held + taken);
    if (this.#remaining === 0) this.#frameDone(at + taken + origin);
    return at + taken;
  }

  #dataBytes(memory: Memory, from: number, end: number, origin: number): number {
    let at = from;
    if (this.#body < 0) {
      this.#remaining--;
      this.#body = this.#remaining - memory.view.getUint8(at++);
      if (this.#body < 0) {
        this.#fail();
        return at;
      }
    }
    const taken = Math.min(end - at, this.#remaining);
    const body = Math.min(taken, this.#body);
    this.#body -= body;
    this.#remaining -= taken;
    this.body(memory, at, body, taken);
    at += taken;
    if (this.#remaining === 0) this.#frameDone(at + origin);
    return at;
  }

  /** Payload bytes that will not come, or are not wanted. */
  #skipPayload(length: number, why: LossReason | 'left_out'): void {
    this.#remaining -= length;
    if (this.type === DATA) {
      // How much of it is padding is not known before the pad length: a byte at least is that.
      if (this.#body < 0) this.#body = this.#remaining + length - 1;
      const body = Math.min(length, this.#body);
      this.#body -= body;
      this.bodySkipped(length, body, why);
      return;
    }
    if (this.#need === 0) return;
    this.#need = 0;
    const gather = this.#gather;
    this.#gather = null;
    if (isBlockPart(this.type)) {
      if (why === 'left_out') this.losses.lose('window', 1, length);
      const reason = why === 'left_out' ? 'window' : why;
      const there = gather?.length ?? 0;
      const memory = gather?.memory ?? FieldBlock.NO_MEMORY;
      this.fragmentLost(reason, length, memory, there, there + length + this.#remaining);
    } else this.controlLost();
    if (gather !== null) this.#gathers.give(gather);
  }

  #frameDone(position: number): void {
    this.#state = 'header';
    if (this.type === DATA) this.bodyEnded(position, (this.flags & FLAG_END_STREAM) !== 0);
  }

  /** `length` bytes with frame boundaries in them are missing. */
  #lost(length: number, why: LossReason | 'left_out'): void {
    if (why === 'left_out') this.losses.lose('window', 1, length);
    this.#forget();
    this.guessed = true;
    this.missed += length;
    this.#seekOn();
    this.boundaryLost(why === 'left_out' ? 'window' : why);
  }

  /** The peer breaks framing: its messages cannot end any more. */
  #fail(): void {
    this.#forget();
    if (this.guessed) this.#seekOn();
    else this.#state = 'failed';
    this.broken();
  }

  /** What was gathered is of no use. */
  #forget(): void {
    if (this.#gather !== null) this.#gathers.give(this.#gather);
    this.#gather = null;
  }

  #seekOn(): void {
    this.#search ??= new BoundarySearch();
    this.#search.begin('desync');
    this.#state = 'seeking';
  }

  /** Looks for a frame boundary in the segment [at, end); returns where reading goes on. */
  #seek(view: DataView, at: number, end: number, origin: number): number {
    const found = this.#search!.find(view, at, end, origin, this.frameMax);
    if (found < 0) return this.#pass(at, end);
    if (found > at) this.#pass(at, found);
    this.#state = 'header';
    this.#tellPassed(found + origin);
    return found;
  }

  #tellPassed(end: number): void {
    if (!this.#passed) return;
    this.#passed = false;
    this.framesPassed(this.#search!.reason, end);
  }

  #pass(at: number, end: number): number {
    this.#passed = true;
    this.missed += end - at;
    this.losses.lose(this.#search!.reason, 1, end - at);
    return end;
  }

  /** Why bytes of an unknown stream are passed over. */
  protected get passedOver(): LossReason {
    return this.#search!.reason;
  }
}
