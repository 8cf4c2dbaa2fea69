/**
 * One direction of an HTTP/2 connection: what its frames mean, and the messages that they make (RFC 9113). Pure: no
 * clock, no exception. See README.md beside this file for the states and for what happens when bytes are missing.
 */
import { IdTable } from '../../base/id-table.ts';
import type { Memory } from '../../base/memory.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message, type MessageEnd } from '../../model/message.ts';
import type { MultiplexSink, Peer, StreamEnd } from '../../model/stages.ts';
import { HpackDecoder } from '../hpack/decoder.ts';
import { TABLE_BYTES_DEFAULT } from '../hpack/table.ts';
import type { Blocks } from './blocks.ts';
import { FrameReader } from './frame-reader.ts';
import {
  CONTINUATION,
  DATA,
  FLAG_PADDED,
  FRAME_HEADER_BYTES,
  GOAWAY,
  HEADERS,
  PUSH_PROMISE,
  RST_STREAM,
  SETTING_HEADER_TABLE_SIZE,
  SETTING_INITIAL_WINDOW_SIZE,
  SETTING_MAX_FRAME_SIZE,
  SETTINGS,
  WINDOW_UPDATE,
} from './frames.ts';
import type { H2Shared } from './shared.ts';
import { SendWindows } from './windows.ts';

/** Streams that were reset and whose late frames are known for what they are. */
const RESETS_MAX = 1_024;
const HEADLESS_MAX = 1_024;
/** The shortest frame that begins a call: its header, and a block of one octet. */
const REQUEST_BYTES_MIN = FRAME_HEADER_BYTES + 1;

/** Where the calls of a connection are counted. */
export interface CallCount {
  calls: number;
  callsUnknown: boolean;
}

/** The last streams of a connection that either side reset. */
class Resets {
  #ids: Set<number> | null = null;

  has(id: number): boolean {
    return this.#ids?.has(id) === true;
  }

  add(id: number): void {
    this.#ids ??= new Set();
    if (this.#ids.size >= RESETS_MAX) this.#ids.delete(this.#ids.values().next().value!);
    this.#ids.add(id);
  }
}

export class H2Stream extends FrameReader {
  readonly open = new IdTable<Message>();
  readonly hpack: HpackDecoder;
  readonly sink: MultiplexSink;
  readonly scheme: string;
  readonly #shared: H2Shared;
  /** What reads the header block of which a part came; null: none is under way. */
  #blocks: Blocks | null = null;
  #peer: H2Stream | null = null;
  readonly #resets: Resets;
  readonly #count: CallCount;
  /** The highest of the client's streams on which a head came; 0: none did, and what came before is not known. */
  #last: number;
  /** Where that head began. */
  #lastAt = 0;
  /** Where the last frames that are missing ended, or began; -1: none are. */
  #lostAt = -1;
  /** null: not every frame of the connection was seen. */
  #windows: SendWindows | null;
  /** Streams with bodies whose heads were not seen. */
  #headless: Set<number> | null = null;

  constructor(
    by: Peer,
    sink: MultiplexSink,
    shared: H2Shared,
    losses: LossSink,
    start: ConnectionStart,
    scheme: string,
    resets: Resets,
    opened: boolean,
    count: CallCount,
  ) {
    const joined = start === 'joined';
    super(by, shared.gathers, losses, joined, opened);
    this.sink = sink;
    this.scheme = scheme;
    this.#shared = shared;
    this.#resets = resets;
    this.#count = count;
    this.#last = opened ? -1 : 0;
    this.#windows = joined ? null : new SendWindows(shared.stalls);
    this.hpack = new HpackDecoder(shared.hpack, joined, joined ? Infinity : TABLE_BYTES_DEFAULT);
  }

  /**
   * Both directions of a connection. `opened`: it began while it was watched, whatever of its first bytes is missing. `count`
   * is told how many calls the client began.
   */
  static pair(
    sink: MultiplexSink,
    shared: H2Shared,
    losses: LossSink,
    starts: { readonly client: ConnectionStart; readonly server: ConnectionStart },
    scheme: string,
    opened: boolean,
    count: CallCount,
  ): { readonly client: H2Stream; readonly server: H2Stream } {
    const resets = new Resets();
    const client = new H2Stream('client', sink, shared, losses, starts.client, scheme, resets, opened, count);
    const server = new H2Stream('server', sink, shared, losses, starts.server, scheme, resets, opened, count);
    client.#peer = server;
    server.#peer = client;
    if (starts.client === 'joined' || starts.server === 'joined') client.#forgetWindows();
    return { client, server };
  }

  /**
   * The other direction's bytes that this one acknowledges are known to have been seen. In TLS it is not known what the
   * bytes were that were acknowledged and did not come.
   */
  get sawAcknowledged(): boolean {
    return this.#peer === null || (this.ack >= 0 && this.ack <= this.#peer.position);
  }

  /** What the other direction sends on a stream; undefined: it has not begun, or has ended. */
  opposite(streamId: number): Message | undefined {
    return this.#peer?.open.get(streamId);
  }

  wasReset(streamId: number): boolean {
    return this.#resets.has(streamId);
  }

  /**
   * The head of a call's request or response came. Where bytes of the client are missing, the ids between its requests that
   * nobody saw were other requests'.
   */
  met(streamId: number): void {
    const last = this.#last;
    if (streamId <= last || streamId % 2 === 0) return;
    if (this.by === 'client') {
      this.#count.calls++;
      if (last !== 0) this.#passed((streamId - last) / 2 - 1, this.frameAt);
      else if (this.missed >= REQUEST_BYTES_MIN) this.#count.callsUnknown = true;
      this.#lastAt = this.frameAt;
      this.missed = 0;
    }
    this.#last = streamId;
  }

  /** So many ids of calls lie before `edge` that nobody saw: no more calls than there is room for where bytes are missing. */
  #passed(ids: number, edge: number): void {
    if (!this.guessed || ids <= 0) return;
    const calls = Math.min(ids, Math.floor((edge - this.#lastAt) / REQUEST_BYTES_MIN));
    this.#shared.requestsPassed += calls;
    this.#count.calls += calls;
  }

  /** The head of what is sent on this stream was before a byte that was seen; asked when its last header block comes. */
  tookHeadless(streamId: number): boolean {
    return this.#headless?.delete(streamId) === true;
  }

  /** Ends `message`, at `position` if it is known. */
  finish(message: Message, end: MessageEnd, position: number): void {
    if (this.open.get(message.streamId) === message) this.open.delete(message.streamId);
    message.end = end;
    message.endOffset = position;
    if (end !== 'lost') message.lastByteAt = this.ts;
    this.#windows?.ended(message.streamId, this.open.size === 0, this.ts);
    this.sink.end(message);
  }

  protected override allowed(length: number): boolean {
    const { type, streamId } = this;
    const continues = this.#blocks === null ? 0 : this.#blocks.streamId;
    if (continues !== 0 && (type !== CONTINUATION || streamId !== continues)) return false;
    switch (type) {
      case DATA:
        return streamId !== 0 && (length > 0 || (this.flags & FLAG_PADDED) === 0);
      case HEADERS:
      case PUSH_PROMISE:
        return streamId !== 0;
      case CONTINUATION:
        return continues !== 0 || this.guessed;
      default:
        return true;
    }
  }

  protected override body(memory: Memory, at: number, length: number, taken: number): void {
    const message = this.open.get(this.streamId);
    if (message !== undefined) {
      message.bodyBytes += length;
      message.lastByteAt = this.ts;
      if (taken !== length) this.#windows?.padded(this.streamId, taken - length);
      message.units?.read(memory, at, at + length, this.ts);
    } else if (this.guessed) {
      this.losses.lose(this.passedOver, 1, taken);
      this.#headless ??= new Set();
      if (this.#headless.size < HEADLESS_MAX) this.#headless.add(this.streamId);
    }
  }

  protected override bodySkipped(length: number, body: number, why: LossReason | 'left_out'): void {
    const message = this.open.get(this.streamId);
    if (message === undefined) return;
    message.bodyBytes += body;
    if (body !== length) this.#windows?.padded(this.streamId, length - body);
    message.units?.skip(body, why);
    if (why !== 'left_out' && why !== 'shed_body' && why !== 'shed_head') message.lose(why, length);
  }

  protected override bodyBegins(length: number): void {
    if (this.#windows === null) return;
    this.#windows.sent(length);
    // The octet that says how much padding follows.
    if ((this.flags & FLAG_PADDED) !== 0) this.#windows.padded(this.streamId, 1);
  }

  protected override bodyEnded(position: number, endsStream: boolean): void {
    const message = this.open.get(this.streamId);
    if (!endsStream) {
      if (message !== undefined) this.#windows?.goesOn(message, this.ts);
    } else if (message !== undefined) this.finish(message, 'framed', position);
    else this.#headless?.delete(this.streamId);
  }

  protected override control(memory: Memory, at: number, end: number, position: number): boolean {
    const { view } = memory;
    switch (this.type) {
      case HEADERS:
      case PUSH_PROMISE:
      case CONTINUATION:
        return this.#fragment(memory, at, end, position);
      case SETTINGS:
        for (let o = at; o + 6 <= end; o += 6) this.#peer?.setting(view.getUint16(o), view.getUint32(o + 2));
        break;
      case WINDOW_UPDATE:
        if (end - at === 4) this.#peer?.granted(this.streamId, view.getUint32(at) & 0x7fffffff, this.ts);
        break;
      case RST_STREAM:
        if (end - at === 4) this.#reset(view.getUint32(at));
        break;
      case GOAWAY:
        if (end - at === 8) this.sink.goaway(this.by, view.getUint32(at) & 0x7fffffff, this.ts);
    }
    return true;
  }

  #fragment(memory: Memory, at: number, end: number, position: number): boolean {
    const blocks = this.#reading();
    const fits = blocks.fragment(this.type, this.flags, memory, at, end, position);
    this.#read(blocks);
    return fits;
  }

  /** What reads the header block at hand. */
  #reading(): Blocks {
    if (this.#blocks !== null) return this.#blocks;
    const blocks = this.#shared.takeBlocks();
    blocks.of(this);
    return blocks;
  }

  /** A part was read: `blocks` stays while the block is not whole. */
  #read(blocks: Blocks): void {
    if (blocks.streamId !== 0) this.#blocks = blocks;
    else {
      this.#blocks = null;
      blocks.abandon();
      this.#shared.giveBlocks(blocks);
    }
  }

  /** What came of a header block is of no use. */
  #abandon(): void {
    const blocks = this.#blocks;
    if (blocks === null) return;
    blocks.abandon();
    this.#read(blocks);
  }

  /** What the other direction's sender must keep to from now on. */
  setting(id: number, value: number): void {
    if (id === SETTING_HEADER_TABLE_SIZE) this.hpack.limit = Math.max(this.hpack.limit, value);
    else if (id === SETTING_MAX_FRAME_SIZE) this.frameMax = Math.max(this.frameMax, value);
    else if (id === SETTING_INITIAL_WINDOW_SIZE) this.#windows?.initial(value, this.#peer!.ts);
  }

  /** The other direction's sender takes `octets` more, of a stream or of all (0). */
  granted(streamId: number, octets: number, ts: number): void {
    this.#windows?.update(streamId, octets, ts);
  }

  /** Frames are missing: what either side may still send is not known any more. */
  #forgetWindows(): void {
    for (const one of [this, this.#peer]) {
      if (one === null || one.#windows === null) continue;
      one.#windows.close(this.ts);
      one.#windows = null;
    }
  }

  protected override controlLost(): void {
    this.#forgetWindows();
  }

  #reset(code: number): void {
    const { streamId } = this;
    this.#resets.add(streamId);
    this.sink.reset(this.by, streamId, code, this.ts);
    for (const stream of [this, this.#peer]) {
      const message = stream?.open.get(streamId);
      if (message !== undefined) {
        stream!.ts = this.ts;
        stream!.finish(message, 'rst', -1);
      }
    }
  }

  protected override fragmentLost(why: LossReason, bytes: number, memory: Memory, there: number, size: number): void {
    const blocks = this.#reading();
    blocks.lost(this.type, this.flags, why, bytes, memory, there, size);
    this.#read(blocks);
  }

  protected override boundaryLost(why: LossReason): void {
    this.#abandon();
    this.#lose(why, this.reached);
    this.sink.missed(this.by, why, this.reached);
  }

  /** Answers to calls that began meanwhile may be among them. */
  protected override framesPassed(why: LossReason, end: number): void {
    this.sink.missed(this.by, why, end);
  }

  protected override broken(): void {
    this.#abandon();
    if (this.guessed) {
      this.#lose('desync', this.frameAt);
      return;
    }
    for (const [, message] of this.open.entries()) {
      message.anomalies |= ANOMALY_BIT.h2_frame_error;
      this.finish(message, 'error', -1);
    }
  }

  /** Frames around `position` are missing: ends of what has begun may be among them. */
  #lose(why: LossReason, position: number): void {
    this.#lostAt = position;
    this.#forgetWindows();
    this.hpack.table.lose();
    for (const [, message] of this.open.entries()) message.lose(why, 0);
  }

  protected override ended(how: StreamEnd, ts: number): void {
    const peer = this.#peer;
    if (peer !== null && peer.state === 'ended') {
      // Requests behind the last one that was seen, and answered.
      const [client, server] = this.by === 'client' ? [this, peer] : [peer, this];
      if (client.#last !== 0) client.#passed((server.#last - client.#last) / 2, client.reached);
      if (client.missed >= REQUEST_BYTES_MIN) this.#count.callsUnknown = true;
    }
    this.#abandon();
    this.#windows?.close(ts);
    this.hpack.table.lose();
    for (const [, message] of this.open.entries()) {
      if (how === 'evicted' || how === 'vanished') message.lose(GONE[how], 0);
      if (how === 'fin' && message.losses.length === 0) message.anomalies |= ANOMALY_BIT.short_body;
      // Its end may be among the frames that are missing: nobody need have cut it short.
      const doubted = message.startOffset < this.#lostAt && how !== 'capture_end';
      this.finish(message, doubted ? 'lost' : ENDS[how], -1);
    }
  }
}

const ENDS = { fin: 'short', rst: 'rst', capture_end: 'open', evicted: 'lost', vanished: 'lost' } as const;
const GONE = { evicted: 'connection_limit', vanished: 'end_unseen' } as const;
