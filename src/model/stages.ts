/** The seams between stages: each stage gets one of these and knows nothing of what stands behind it. */
import type { Memory } from '../base/memory.ts';
import type { Connection } from './connection.ts';
import type { Exchange } from './exchange.ts';
import type { LossReason } from './loss.ts';
import type { Message } from './message.ts';
import type { Segment, SocketEvent } from './segment.ts';
import type { WebSocketSession } from './websocket.ts';

/** Takes what a source (the kernel's ring, a capture file) sees, in the order it was seen. */
export interface CaptureSink {
  segment(segment: Segment): void;
  socket(event: SocketEvent): void;
}

/** How a direction of a connection ended. */
export type StreamEnd =
  | 'fin'
  | 'rst'
  /** The capture or the agent ended first. */
  | 'capture_end'
  /** Given up: the connection table was full. */
  | 'evicted'
  /** Gone, and how was not seen: silent for too long, its port used again, its socket closed without FIN or RST. */
  | 'vanished';

/** Takes one direction's bytes in order. Offsets count from the direction's first known byte. */
export interface StreamSink {
  /**
   * `length` bytes at `memory[offset]`, valid during the call only; `position` is the stream offset of the first one,
   * `ts` when they were first seen, `ack` how far this segment acknowledges the other direction's stream (-1: unknown).
   */
  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void;
  /**
   * Bytes [position, position + length) will never come. `left_out`: the kernel kept them back on purpose. Whoever calls
   * it has counted other reasons in the ledger; `left_out` is counted by the sink, if it needed the bytes. `ack`: as in
   * `data` where the bytes were in a segment that was seen and came cut; else it is left out, or -1.
   */
  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack?: number): void;
  /**
   * Comes between `gap` and the data behind it, where the kernel has followed what is missing: `records` of TLS lie wholly in
   * it and the next byte begins one (0: not known); `turns` of this direction began there; `turn`: the other direction spoke
   * just before the next byte.
   */
  followed?(records: number, turns: number, turn: boolean): void;
  /** How many bytes behind the last one of `data` or `gap` it does without: as a `gap` that was `left_out` they cost it nothing. Absent: none. */
  spares?(): number;
  end(how: StreamEnd, ts: number): void;
}

/** Decodes one connection: made by the protocol layers when the connection tracker meets it. */
export interface ConnectionDecoder {
  /** Sinks by Direction: [INGRESS, EGRESS]. */
  readonly streams: readonly [StreamSink, StreamSink];
  /** Time passes (about once a second): time-outs, nothing else. */
  tick(now: number): void;
}
export type DecoderFactory = (connection: Connection) => ConnectionDecoder;

/** Takes messages from an HTTP parser. One for each connection. */
export interface MessageSink {
  /**
   * The head is complete. For a request: it is now in flight. For a response (status >= 200): it has begun. Comes before
   * `end` for every message, also for one whose head is broken or cut: then it has the lines that could be read.
   */
  head(message: Message): void;
  /** An interim response (1xx but 101): complete as it stands. The message is given back after the call. */
  interim(message: Message): void;
  /** `message.end` says how; the message belongs to the sink from now on. */
  end(message: Message): void;
  /**
   * The request that this response head answers, for framing (HEAD, CONNECT; RFC 9112 6.3); null when it was not seen.
   * Called before `head` for the same response.
   */
  requestFor(response: Message): Message | null;
  /** A part of the head has come of a response that begins at `startOffset`. May come more than once. */
  begins?(startOffset: number): void;
  /** What looks like the start of a request came in a segment that acknowledged `ack`, and was passed over, for bytes before it are missing. */
  passed?(ack: number): void;
  /** What stands where a response is due begins like none. True: it is a body that the last one must not have. */
  stray?(): boolean;
}

/** Whose bytes: the client's or the server's direction. */
export type Peer = 'client' | 'server';

/**
 * Takes the messages of a connection that carries many at once (HTTP/2): `message.streamId` says what belongs together.
 * A pushed request comes from the server's direction, with head and end like any other.
 */
export interface MultiplexSink extends Pick<MessageSink, 'head' | 'interim' | 'end'> {
  /** RST_STREAM; comes before the ends of the stream's messages. `code`: RFC 9113 7. */
  reset(by: Peer, streamId: number, code: number, ts: number): void;
  /** GOAWAY: what the other peer began on streams above `lastStreamId` was not looked at. */
  goaway(by: Peer, lastStreamId: number, ts: number): void;
  /** Bytes with frames in them are missing, up to stream offset `end`: a message of any stream may have begun or ended there. */
  missed(by: Peer, why: LossReason, end: number): void;
  /**
   * The server acknowledges bytes of the client that were not seen, not yet, or of which that is not known: a request may have
   * begun there. Or what it promised to push is not known.
   */
  unseenRequests(why: LossReason): void;
}

/** Takes what is finished. The exchange is valid during the call only (pooled). */
export interface ExchangeSink {
  exchange(exchange: Exchange): void;
  /** Comes after the exchange of its handshake. */
  websocket(session: WebSocketSession): void;
}
