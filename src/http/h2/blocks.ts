/** Header blocks of one direction: put together from their frames, decoded, and made into messages. */

import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { LossReason, LossSink } from '../../model/loss.ts';
import { ANOMALY_BIT, type Message } from '../../model/message.ts';
import type { MultiplexSink } from '../../model/stages.ts';
import type { BodyUnits } from '../../model/units.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import { WebSocketFrames } from '../websocket/frames.ts';
import {
  CONTINUATION,
  FLAG_END_HEADERS,
  FLAG_END_STREAM,
  FLAG_PADDED,
  FLAG_PRIORITY,
  HEADERS,
  PUSH_PROMISE,
} from './frames.ts';
import { Gather } from './gather.ts';
import { readHead } from './head.ts';
import type { H2Shared } from './shared.ts';
import type { H2Stream } from './stream.ts';

/** Messages of one direction that have begun and not ended. */
const STREAMS_MAX = 4_096;
/** A longer block may name thousands of lines, a byte each. */
const WIDE_BYTES = 1_024;

/** Reads the header blocks of one direction after another; while one came in part only, of that direction alone. */
export class Blocks {
  /** Whose block goes on in the next frame; 0: none. */
  streamId = 0;
  /** The direction at hand. */
  #stream!: H2Stream;
  #sink!: MultiplexSink;
  readonly #shared: H2Shared;
  #losses!: LossSink;
  readonly #parts: Gather;
  /** Of the block at hand: a HEADERS or PUSH_PROMISE frame was seen, and what it said. */
  #begun = false;
  #id = 0;
  #pushed = false;
  #endStream = false;
  #firstAt = 0;
  #firstTs = UNSEEN;
  #ack = -1;
  #bytes = 0;
  /** A part of it is missing. */
  #broken: LossReason | null = null;
  #missing = 0;

  constructor(shared: H2Shared) {
    this.#shared = shared;
    this.#parts = new Gather(shared.pool);
  }

  /** Reads those of `stream` from now on. */
  of(stream: H2Stream): void {
    this.#stream = stream;
    this.#sink = stream.sink;
    this.#losses = stream.losses;
  }

  /** A frame's part of a header block (RFC 9113 6.2, 6.6, 6.10); false: padding or priority do not fit. */
  fragment(type: number, flags: number, memory: Memory, from: number, to: number, position: number): boolean {
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
      this.#begin(type, flags, promised);
    }
    this.#add(memory, at, end, (flags & FLAG_END_HEADERS) !== 0, position);
    return true;
  }

  /** The frame at hand begins a block. `promised`: the stream that PUSH_PROMISE reserves. */
  #begin(type: number, flags: number, promised: number): void {
    const stream = this.#stream;
    this.#begun = true;
    this.#pushed = type === PUSH_PROMISE;
    this.#id = this.#pushed ? promised : stream.streamId;
    this.#endStream = type === HEADERS && (flags & FLAG_END_STREAM) !== 0;
    this.#firstAt = stream.frameAt;
    this.#firstTs = stream.frameTs;
    this.#ack = stream.ack;
    this.#bytes = 0;
    this.#broken = null;
    this.#missing = 0;
  }

  /** The next fragment; `last`: the block ends with it, at `position`. */
  #add(memory: Memory, at: number, end: number, last: boolean, position: number): void {
    this.#bytes += end - at;
    if (this.#begun && last && this.#parts.length === 0 && this.#broken === null) {
      // Parts before this one may have been empty.
      this.streamId = 0;
      this.#decode(memory, at, end, position);
      return;
    }
    if (this.#begun && this.#broken === null && !this.#parts.append(memory, at, end)) {
      this.#broken = 'head_too_large';
      this.#missing = this.#parts.length + end - at;
      this.#losses.lose('head_too_large', 1, this.#missing);
      this.#parts.clear();
    } else if (this.#broken === 'head_too_large') {
      this.#missing += end - at;
      this.#losses.lose('head_too_large', 0, end - at);
    }
    this.#continue(last, position);
  }

  /**
   * `bytes` of a fragment are missing, and with them the rest of the block; its frame's first `there` bytes of `size` are in
   * `memory`. The frame itself goes on.
   */
  lost(type: number, flags: number, why: LossReason, bytes: number, memory: Memory, there: number, size: number): void {
    if (type !== CONTINUATION) this.#begin(type === PUSH_PROMISE ? HEADERS : type, flags, 0);
    // Which stream was promised is not known.
    if (type === PUSH_PROMISE) this.#id = 0;
    if (this.#begun && this.#broken === null && why !== 'head_too_large') this.#keep(type, flags, memory, there, size);
    this.#broken = why;
    this.#missing += bytes;
    this.#continue((flags & FLAG_END_HEADERS) !== 0, -1);
  }

  /** Keeps what is there of the last fragment that can be read. */
  #keep(type: number, flags: number, memory: Memory, there: number, size: number): void {
    let at = 0;
    let end = there;
    if (type !== CONTINUATION) {
      if ((flags & FLAG_PADDED) !== 0 && there > 0) end = Math.min(there, size - memory.view.getUint8(at++));
      if ((flags & FLAG_PRIORITY) !== 0) at += 5;
    }
    if (at < end && !this.#parts.append(memory, at, end)) this.#parts.clear();
  }

  /** What came of the block is of no use. */
  abandon(): void {
    this.streamId = 0;
    this.#begun = false;
    this.#parts.clear();
  }

  #continue(last: boolean, position: number): void {
    if (!last) {
      this.streamId = this.#stream.streamId;
      return;
    }
    const parts = this.#parts;
    if (!this.#begun) this.#stream.hpack.table.lose();
    else if (this.#broken !== null) this.#without(this.#broken, position);
    else {
      const held = parts.take();
      this.#decode(held.memory, 0, this.#bytes, position);
      parts.giveBack(held);
    }
    this.abandon();
  }

  #take(): Message {
    const stream = this.#stream;
    const kind = stream.by === 'client' || this.#pushed ? 'request' : 'response';
    const message = this.#shared.pool.take(kind, this.#bytes > WIDE_BYTES);
    message.version = 20;
    message.streamId = this.#id;
    message.firstByteAt = this.#firstTs;
    message.lastByteAt = stream.ts;
    message.startOffset = this.#firstAt;
    message.ackOffset = this.#ack;
    return message;
  }

  #decode(memory: Memory, at: number, end: number, position: number): void {
    const { open } = this.#stream;
    const known = this.#pushed ? undefined : open.get(this.#id);
    if (known !== undefined) this.#trailers(known, memory, at, end, position);
    else if (this.#stream.wasReset(this.#id)) this.#drop(memory, at, end);
    else this.#head(memory, at, end, position);
    this.#begun = false;
  }

  #head(memory: Memory, at: number, end: number, position: number): void {
    const stream = this.#stream;
    const { list } = this.#shared.hpack;
    const message = this.#take();
    const outcome = stream.hpack.decode(memory, at, end, message.fields);
    message.headBytes = this.#bytes;
    // Trailers of a stream whose head was not seen.
    const headless = stream.guessed && (stream.tookHeadless(this.#id) || isNoHead(list, message.fields));
    if (headless || (stream.guessed && outcome === 'error')) {
      this.#losses.lose('desync', 1, end - at);
      this.#shared.pool.give(message);
      return;
    }
    readHead(message, list, this.#shared, this.#stream.scheme);
    this.#mark(message, outcome === 'error');
    if (this.#isInterim(message)) this.#interject(message, position);
    else this.#announce(message, outcome === 'error', position);
  }

  /** Marks what the block just decoded for `message` lacks. */
  #mark(message: Message, error: boolean): void {
    const { list } = this.#shared.hpack;
    if (error) message.anomalies |= ANOMALY_BIT.hpack_error;
    if (list.unknown > 0) {
      message.lose('hpack_context_lost', 0);
      this.#losses.lose('hpack_context_lost', 1, 0);
    }
    if (list.dropped > 0) {
      message.lose('head_too_large', list.dropped);
      this.#losses.lose('head_too_large', 1, list.dropped);
    }
  }

  #announce(message: Message, error: boolean, position: number): void {
    const stream = this.#stream;
    const { open } = stream;
    if (!this.#endStream) message.units = this.#units(message);
    if (!this.#pushed) stream.met(message.streamId);
    if (message.kind === 'response' && !stream.sawAcknowledged) this.#sink.unseenRequests('gap');
    this.#sink.head(message);
    if (error) stream.finish(message, 'error', position);
    else if (this.#endStream || this.#pushed) stream.finish(message, 'framed', position);
    else if (open.size < STREAMS_MAX) open.set(message.streamId, message);
    else {
      message.lose('queue_limit', 0);
      this.#losses.lose('queue_limit', 1, 0);
      stream.finish(message, 'lost', position);
    }
  }

  #units(message: Message): BodyUnits | null {
    const asked = message.kind === 'request' ? message : this.#stream.opposite(message.streamId);
    if (asked === undefined || asked.method !== 'CONNECT') return this.#shared.bodies.of(message, true);
    const accepted = message.kind === 'request' || (message.status >= 200 && message.status < 300);
    const frames = accepted && asked.protocol.toLowerCase() === 'websocket';
    return frames ? new WebSocketFrames(this.#stream.by, this.#losses) : null;
  }

  #trailers(message: Message, memory: Memory, at: number, end: number, position: number): void {
    const stream = this.#stream;
    const { pool, hpack } = this.#shared;
    message.lastByteAt = stream.ts;
    const block = pool.takeBlock();
    const outcome = stream.hpack.decode(memory, at, end, block);
    // A head without a status (its block was lost, or what it refers to) may have been an interim response's: then this is
    // the final one's. Trailers end the stream and have no pseudo-header fields.
    const headOwed = message.kind === 'response' && message.status === 0 && message.bodyBytes === 0;
    if (headOwed && (!this.#endStream || hpack.list.pseudoCount > 0)) {
      message.fields.clear();
      message.fields.takeFrom(block);
      pool.giveBlock(block);
      readHead(message, hpack.list, this.#shared, this.#stream.scheme);
      this.#mark(message, outcome === 'error');
      if (!this.#endStream) message.units = this.#units(message);
      this.#close(message, outcome === 'error', position);
      return;
    }
    this.#mark(message, outcome === 'error');
    // Pseudo-header fields have no place in trailers, and trailers end the stream (RFC 9113 8.1).
    if (hpack.list.pseudoCount > 0 || hpack.list.pseudoMisplaced) message.anomalies |= ANOMALY_BIT.bad_pseudo_header;
    if (!this.#endStream || hpack.list.badName) message.anomalies |= ANOMALY_BIT.bad_field_line;
    if (FORBIDDEN_TRAILERS.some((name) => block.find(name) >= 0)) message.anomalies |= ANOMALY_BIT.forbidden_trailer;
    if (message.trailers !== null || block.count === 0) pool.giveBlock(block);
    else message.trailers = block;
    this.#close(message, outcome === 'error', position);
  }

  #close(message: Message, error: boolean, position: number): void {
    if (error) this.#stream.finish(message, 'error', position);
    else if (this.#endStream) this.#stream.finish(message, 'framed', position);
  }

  /** Late frames of a stream that was reset: only the table learns from them. */
  #drop(memory: Memory, at: number, end: number): void {
    const { pool } = this.#shared;
    const block = pool.takeBlock();
    this.#stream.hpack.decode(memory, at, end, block);
    pool.giveBlock(block);
  }

  /** The block is known to have been there, and of what it said the beginning at most. */
  #without(why: LossReason, position: number): void {
    const stream = this.#stream;
    const known = stream.open.get(this.#id);
    const message = this.#id === 0 || known !== undefined || stream.wasReset(this.#id) ? null : this.#take();
    if (message !== null) this.#beginning(message);
    stream.hpack.table.lose();
    if (this.#id === 0) this.#sink.unseenRequests(why);
    if (message === null) {
      if (this.#id === 0 || known === undefined) return;
      this.#lack(known, why);
      if (this.#endStream) stream.finish(known, 'framed', position);
      return;
    }
    message.headBytes = this.#bytes;
    this.#lack(message, why);
    if (this.#isInterim(message)) this.#interject(message, position);
    else this.#announce(message, false, position);
  }

  /** Lines of `message` are missing. What was left out for a body's may be those: nothing counts as whole without them. */
  #lack(message: Message, why: LossReason): void {
    message.lose(why, this.#missing);
    if (why !== 'shed_body') return;
    message.lose('hpack_context_lost', 0);
    this.#losses.lose('hpack_context_lost', 1, 0);
  }

  /** Reads into `message` the lines of a head that came before the first missing byte. */
  #beginning(message: Message): void {
    const { hpack } = this.#shared;
    const parts = this.#parts;
    const { length } = parts;
    const held = parts.take();
    this.#stream.hpack.decode(held.memory, 0, length, message.fields);
    parts.giveBack(held);
    const { list } = hpack;
    if (isNoHead(list, message.fields)) message.fields.clear();
    // Not all lines are here: what misses is no fault of the sender's.
    list.dropped += this.#missing;
    readHead(message, list, this.#shared, this.#stream.scheme);
    if (list.unknown > 0) message.lose('hpack_context_lost', 0);
  }

  #isInterim(message: Message): boolean {
    return message.kind === 'response' && message.status >= 100 && message.status < 200 && !this.#endStream;
  }

  #interject(message: Message, position: number): void {
    message.end = 'framed';
    message.endOffset = position;
    this.#sink.interim(message);
    this.#shared.pool.give(message);
  }
}

/** Pseudo-header fields come first: a block that begins with a field known to be none is not a head. */
const isNoHead = (list: HeaderList, block: FieldBlock): boolean =>
  list.pseudoCount === 0 && block.count > 0 && !block.lines[0]!.raw.startsWith(UNKNOWN);

/** RFC 9110 6.5.1. */
const FORBIDDEN_TRAILERS = ['content-length', 'transfer-encoding', 'host'];

/** How a line begins that stands for an entry which was not seen. */
const UNKNOWN = '?';
