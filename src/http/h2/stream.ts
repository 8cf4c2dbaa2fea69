/**
 * One direction of an HTTP/2 connection: bytes in order become frames, and frames become messages (RFC 9113). Pure:
 * no clock, no exception. See README.md beside this file for the states and for what happens when bytes are missing.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd } from '../../model/message.ts';
import type { MultiplexSink, Peer, StreamEnd, StreamSink } from '../../model/stages.ts';
import { HpackDecoder } from '../hpack/decoder.ts';
import { TABLE_BYTES_DEFAULT } from '../hpack/table.ts';
import { Blocks } from './blocks.ts';
import {
  CONTINUATION,
  DATA,
  FLAG_ACK,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  FRAME_BYTES_DEFAULT,
  FRAME_HEADER_BYTES,
  GOAWAY,
  HEADERS,
  lengthAt,
  PREFACE,
  PUSH_PROMISE,
  RST_STREAM,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_MAX_FRAME_SIZE,
  SETTINGS,
} from './frames.ts';
import { Gather } from './gather.ts';
import { chainAt, convincesAtStart, findChain } from './resync.ts';
import type { H2Shared } from './shared.ts';

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

/** Streams that were reset and whose late frames are known for what they are. */
const RESETS_MAX = 1_024;
/** A frame boundary is not looked for in larger frames than these, unless they were announced. */
const SEEK_FRAME_BYTES_MAX = 1 << 20;
/** SETTINGS payload that is read. */
const SETTINGS_BYTES_MAX = 6 * 256;

export class H2Stream implements StreamSink {
  readonly by: Peer;
  readonly open = new Map<number, Message>();
  readonly hpack: HpackDecoder;
  /** Bytes are missing, or the beginning is: what does not fit may be because of that. */
  guessed: boolean;
  ts = UNSEEN;
  ack = -1;
  /** Offset behind the last byte that came. */
  position = 0;
  /** Of the frame at hand: when and where its first byte was, and its stream. */
  frameTs = UNSEEN;
  frameAt = 0;
  streamId = 0;
  readonly #sink: MultiplexSink;
  readonly #losses: LossSink;
  readonly #blocks: Blocks;
  readonly #gather: Gather;
  #peer: H2Stream | null = null;
  #state: H2State;
  /** Bytes of the preface that came. */
  #preface = 0;
  #type = 0;
  #flags = 0;
  /** Payload bytes of the frame that are still to come; of these, how many must be together to be read. */
  #remaining = 0;
  #need = 0;
  /** DATA: bytes of the body that are still to come in this frame; -1: the pad length is not known yet. */
  #body = 0;
  /** The largest frame that the receiver allows. */
  #frameMax = FRAME_BYTES_DEFAULT;
  #reason: LossReason = 'joined_midstream';
  /** Seeking: where a frame should begin if what was seen are frames; -1: nothing was. */
  #candidate = -1;
  readonly #resets: Set<number>;

  constructor(
    by: Peer,
    sink: MultiplexSink,
    shared: H2Shared,
    losses: LossSink,
    start: ConnectionStart,
    scheme: string,
    resets: Set<number>,
  ) {
    this.by = by;
    this.#sink = sink;
    this.#losses = losses;
    this.#resets = resets;
    this.guessed = start === 'joined';
    this.#state = this.guessed ? 'seeking' : by === 'client' ? 'preface' : 'header';
    this.hpack = new HpackDecoder(shared.hpack, this.guessed, this.guessed ? Infinity : TABLE_BYTES_DEFAULT);
    this.#blocks = new Blocks(this, sink, shared, losses, scheme);
    this.#gather = new Gather(shared.pool);
  }

  /** Both directions of a connection. */
  static pair(
    sink: MultiplexSink,
    shared: H2Shared,
    losses: LossSink,
    starts: { readonly client: ConnectionStart; readonly server: ConnectionStart },
    scheme: string,
  ): { readonly client: H2Stream; readonly server: H2Stream } {
    const resets = new Set<number>();
    const client = new H2Stream('client', sink, shared, losses, starts.client, scheme, resets);
    const server = new H2Stream('server', sink, shared, losses, starts.server, scheme, resets);
    client.#peer = server;
    server.#peer = client;
    return { client, server };
  }

  get state(): H2State {
    return this.#state;
  }

  /** The other direction's bytes that this one acknowledges have all been seen, as far as that is known. */
  get sawAcknowledged(): boolean {
    return this.#peer === null || this.ack <= this.#peer.position;
  }

  /** What the other direction sends on a stream; undefined: it has not begun, or has ended. */
  opposite(streamId: number): Message | undefined {
    return this.#peer?.open.get(streamId);
  }

  wasReset(streamId: number): boolean {
    return this.#resets.has(streamId);
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const end = offset + length;
    const origin = position - offset;
    this.ts = ts;
    this.ack = ack;
    this.position = position + length;
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
          this.#losses.lose('h2_undecoded', 1, end - at);
          return;
        case 'ended':
          return;
      }
    }
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number): void {
    if (length === 0) return;
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
        if (this.#candidate < position + length) this.#candidate = -1;
        if (why === 'left_out') this.#losses.lose(this.#reason, 1, length);
        return;
      case 'failed':
        if (why === 'left_out') this.#losses.lose('h2_undecoded', 1, length);
        return;
      default:
    }
  }

  end(how: StreamEnd, _ts: number): void {
    if (this.#state === 'ended') return;
    if (how !== 'fin' && how !== 'rst') this.ts = UNSEEN;
    this.#state = 'ended';
    this.#gather.clear();
    this.#blocks.abandon();
    this.hpack.table.lose();
    for (const message of [...this.open.values()]) {
      if (how === 'evicted' || how === 'vanished') message.lose(GONE[how], 0);
      if (how === 'fin' && message.losses.length === 0) message.anomalies |= ANOMALY_BIT.short_body;
      this.finish(message, ENDS[how], -1);
    }
  }

  /** Ends `message`, at `position` if it is known. */
  finish(message: Message, end: MessageEnd, position: number): void {
    if (this.open.get(message.streamId) === message) this.open.delete(message.streamId);
    message.end = end;
    message.endOffset = position;
    if (end !== 'lost') message.lastByteAt = this.ts;
    this.#sink.end(message);
  }

  #header(memory: Memory, at: number, end: number, origin: number): number {
    const gather = this.#gather;
    if (gather.length === 0) {
      this.frameTs = this.ts;
      this.frameAt = at + origin;
      if (end - at >= FRAME_HEADER_BYTES) {
        this.#begin(memory.view, at, at + FRAME_HEADER_BYTES + origin);
        return at + FRAME_HEADER_BYTES;
      }
    }
    const next = gather.add(memory, at, end, FRAME_HEADER_BYTES);
    if (gather.length < FRAME_HEADER_BYTES) return next;
    const { view } = gather.memory;
    gather.clear();
    this.#begin(view, 0, next + origin);
    return next;
  }

  /** A frame begins; its payload at `position`. */
  #begin(view: DataView, at: number, position: number): void {
    const length = lengthAt(view, at);
    const type = view.getUint8(at + 3);
    this.#type = type;
    this.#flags = view.getUint8(at + 4);
    this.streamId = view.getInt32(at + 5) & 0x7fffffff;
    this.#remaining = length;
    this.#need = 0;
    if (!this.#allowed(type, length)) {
      this.#fail();
      return;
    }
    this.#state = 'payload';
    switch (type) {
      case DATA:
        this.#body = (this.#flags & FLAG_PADDED) === 0 ? length : -1;
        break;
      case HEADERS:
      case PUSH_PROMISE:
      case CONTINUATION:
        this.#need = length;
        break;
      case SETTINGS:
        this.#need = (this.#flags & FLAG_ACK) !== 0 || length > SETTINGS_BYTES_MAX ? 0 : length;
        break;
      case RST_STREAM:
        this.#need = Math.min(4, length);
        break;
      case GOAWAY:
        this.#need = Math.min(8, length);
        break;
    }
    if (length > 0) return;
    if (type === HEADERS || type === PUSH_PROMISE || type === CONTINUATION) {
      this.#control(this.#gather.memory, 0, 0, position);
      if (this.#state !== 'payload') return;
    }
    this.#frameDone(position);
  }

  /** Whether the frame at hand may stand here (RFC 9113 4.2, 4.3, 6). */
  #allowed(type: number, length: number): boolean {
    if (length > this.#frameMax && !this.guessed) return false;
    const continues = this.#blocks.streamId;
    if (continues !== 0 && (type !== CONTINUATION || this.streamId !== continues)) return false;
    switch (type) {
      case DATA:
        return this.streamId !== 0 && (length > 0 || (this.#flags & FLAG_PADDED) === 0);
      case HEADERS:
      case PUSH_PROMISE:
        return this.streamId !== 0;
      case CONTINUATION:
        return continues !== 0 || this.guessed;
      default:
        return true;
    }
  }

  #payload(memory: Memory, at: number, end: number, origin: number): number {
    if (this.#type === DATA) return this.#dataBytes(memory, at, end, origin);
    const need = this.#need;
    let next = at;
    if (need > 0) {
      const gather = this.#gather;
      if (gather.length === 0 && end - at >= need) {
        next = at + need;
        this.#need = 0;
        this.#remaining -= need;
        this.#control(memory, at, next, next + origin);
      } else {
        next = gather.add(memory, at, end, need);
        if (next < 0) return this.#tooLarge(at, end, origin);
        this.#remaining -= next - at;
        if (gather.length < need) return next;
        this.#need = 0;
        const held = gather.take();
        this.#control(held.memory, 0, need, next + origin);
        gather.giveBack(held);
      }
      if (this.#state !== 'payload') return next;
    }
    const skipped = Math.min(end - next, this.#remaining);
    this.#remaining -= skipped;
    next += skipped;
    if (this.#remaining === 0) this.#frameDone(next + origin);
    return next;
  }

  /** No memory for a header block: what it held is not known. */
  #tooLarge(at: number, end: number, origin: number): number {
    const taken = Math.min(end - at, this.#remaining);
    const held = this.#gather.length;
    this.#skipPayload(taken, 'head_too_large');
    this.#losses.lose('head_too_large', 1, held + taken);
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
    const message = this.open.get(this.streamId);
    if (message !== undefined) {
      message.bodyBytes += body;
      message.lastByteAt = this.ts;
      message.units?.read(memory, at, at + body, this.ts);
    } else if (this.guessed) this.#losses.lose(this.#reason, 1, taken);
    at += taken;
    if (this.#remaining === 0) this.#frameDone(at + origin);
    return at;
  }

  /** Payload bytes that will not come, or are not wanted. */
  #skipPayload(length: number, why: LossReason | 'left_out'): void {
    this.#remaining -= length;
    if (this.#type === DATA) {
      if (this.#body < 0) {
        // How much of it is padding is not known: a byte at least is its length.
        this.#body = this.#remaining + length - 1;
      }
      const body = Math.min(length, this.#body);
      this.#body -= body;
      const message = this.open.get(this.streamId);
      if (message === undefined) return;
      message.bodyBytes += body;
      message.units?.skip(body, why);
      if (why !== 'left_out' && why !== 'shed_body' && why !== 'shed_head') message.lose(why, length);
      return;
    }
    if (this.#need === 0) return;
    this.#need = 0;
    this.#gather.clear();
    if (this.#type === HEADERS || this.#type === PUSH_PROMISE || this.#type === CONTINUATION) {
      if (why === 'left_out') this.#losses.lose('window', 1, length);
      this.#blocks.lost(this.#type, this.#flags, why === 'left_out' ? 'window' : why, length);
    }
  }

  /** A control frame's payload (the part that is read) is at `memory[at, end)`. */
  #control(memory: Memory, at: number, end: number, position: number): void {
    const { view } = memory;
    switch (this.#type) {
      case HEADERS:
      case PUSH_PROMISE:
      case CONTINUATION:
        if (!this.#fragment(memory, at, end, position)) this.#fail();
        return;
      case SETTINGS:
        for (let o = at; o + 6 <= end; o += 6) this.#peer?.setting(view.getUint16(o), view.getUint32(o + 2));
        return;
      case RST_STREAM:
        if (end - at === 4) this.#reset(view.getUint32(at));
        return;
      case GOAWAY:
        if (end - at === 8) this.#sink.goaway(this.by, view.getUint32(at) & 0x7fffffff, this.ts);
    }
  }

  /** A part of a header block (RFC 9113 6.2, 6.6, 6.10); false: padding or priority do not fit. */
  #fragment(memory: Memory, from: number, to: number, position: number): boolean {
    const type = this.#type;
    const flags = this.#flags;
    let at = from;
    let end = to;
    let promised = 0;
    if (type !== CONTINUATION) {
      if ((flags & FLAG_PADDED) !== 0) {
        if (at >= end) return false;
        end -= memory.view.getUint8(at++);
      }
      if (type === HEADERS && (flags & FLAG_PRIORITY) !== 0) at += 5;
      if (type === PUSH_PROMISE) {
        if (at + 4 > end) return false;
        promised = memory.view.getUint32(at) & 0x7fffffff;
        at += 4;
      }
      if (at > end) return false;
      this.#blocks.begin(type, flags, promised);
    }
    this.#blocks.add(memory, at, end, (flags & FLAG_END_HEADERS) !== 0, position);
    return true;
  }

  /** What the other direction's sender must keep to from now on. */
  setting(id: number, value: number): void {
    if (id === SETTING_HEADER_TABLE_SIZE) this.hpack.limit = Math.max(this.hpack.limit, value);
    else if (id === SETTING_MAX_FRAME_SIZE) this.#frameMax = Math.max(this.#frameMax, value);
  }

  #reset(code: number): void {
    const { streamId } = this;
    if (this.#resets.size >= RESETS_MAX) this.#resets.delete(this.#resets.values().next().value!);
    this.#resets.add(streamId);
    this.#sink.reset(this.by, streamId, code, this.ts);
    for (const stream of [this, this.#peer]) {
      const message = stream?.open.get(streamId);
      if (message !== undefined) {
        stream!.ts = this.ts;
        stream!.finish(message, 'rst', -1);
      }
    }
  }

  #frameDone(position: number): void {
    this.#state = 'header';
    if (this.#type !== DATA || (this.#flags & FLAG_END_STREAM) === 0) return;
    const message = this.open.get(this.streamId);
    if (message !== undefined) this.finish(message, 'framed', position);
  }

  /** `length` bytes with frame boundaries in them are missing. */
  #lost(length: number, why: LossReason | 'left_out'): void {
    const reason = why === 'left_out' ? 'window' : why;
    if (why === 'left_out') this.#losses.lose('window', 1, length);
    this.#gather.clear();
    this.#blocks.abandon();
    this.hpack.table.lose();
    this.guessed = true;
    this.#reason = 'desync';
    this.#candidate = -1;
    this.#state = 'seeking';
    for (const message of this.open.values()) message.lose(reason, 0);
    this.#sink.missed(this.by, reason);
  }

  /** The peer breaks framing: its messages cannot end any more. */
  #fail(): void {
    this.#gather.clear();
    this.#blocks.abandon();
    if (this.guessed) {
      this.#state = 'seeking';
      this.#reason = 'desync';
      this.#candidate = -1;
      this.hpack.table.lose();
      return;
    }
    this.#state = 'failed';
    for (const message of [...this.open.values()]) {
      message.anomalies |= ANOMALY_BIT.h2_frame_error;
      this.finish(message, 'error', -1);
    }
  }

  /** Looks for a frame boundary in the segment [at, end); returns where reading goes on. */
  #seek(view: DataView, at: number, end: number, origin: number): number {
    const lengthMax = Math.max(this.#frameMax, SEEK_FRAME_BYTES_MAX);
    let found = -1;
    const expected = this.#candidate - origin;
    if (this.#candidate >= 0 && expected >= end) return this.#pass(at, end);
    if (this.#candidate >= 0 && expected >= at && chainAt(view, expected, end, lengthMax).count > 0) found = expected;
    else {
      this.#candidate = -1;
      const chain = chainAt(view, at, end, lengthMax);
      if (convincesAtStart(chain)) found = at;
      else {
        found = findChain(view, at, end, lengthMax);
        if (found < 0 && chain.count > 0) this.#candidate = chain.next + origin;
      }
    }
    if (found < 0) return this.#pass(at, end);
    this.#candidate = -1;
    if (found > at) this.#pass(at, found);
    this.#state = 'header';
    return found;
  }

  #pass(at: number, end: number): number {
    this.#losses.lose(this.#reason, 1, end - at);
    return end;
  }
}

const ENDS = { fin: 'short', rst: 'rst', capture_end: 'open', evicted: 'lost', vanished: 'lost' } as const;
const GONE = { evicted: 'connection_limit', vanished: 'end_unseen' } as const;
