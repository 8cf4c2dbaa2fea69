import type { Memory } from '../base/memory.ts';
import type { LossReason } from './loss.ts';
import type { WebSocketDirection } from './websocket.ts';

/** Reads a body's own framing as its bytes pass; keeps none of them. */
interface Units {
  /** The next bytes of the body, at `memory[at, end)`; `ts`: when they were seen, or UNSEEN. */
  read(memory: Memory, at: number, end: number, ts: number): void;
  /** `length` bytes of the body were not seen. */
  skip(length: number, why: LossReason | 'left_out'): void;
}

/** Messages with a length before each. */
export interface MessageUnits extends Units {
  readonly kind: 'grpc' | 'grpc-web';
  /** Messages that have begun. */
  readonly count: number;
  /** False: bytes that would have told where messages begin were not seen, so there may be more. */
  readonly exact: boolean;
  /** grpc-status of the trailers that gRPC-Web carries in its body; null: none was seen there. */
  readonly status: number | null;
}

/** Events of a stream, one after the other. */
export interface EventUnits extends Units {
  readonly kind: 'sse' | 'ndjson';
  /** `whole`: the body was seen to its end, so what stands there without a line end is its last line. */
  facts(whole: boolean): StreamFacts;
}

/** What a stream of events says without its content. */
export interface StreamFacts {
  readonly kind: 'sse' | 'ndjson';
  /** null: the content is coded, so nobody can count them here. */
  readonly events: number | null;
  /** When the last byte of the first and of the last event came, nanoseconds since the anchor, or UNSEEN. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** The longest time between two events that follow each other for certain; UNSEEN: there are no two. */
  readonly maxGapNs: number;
  /** Bytes of the body were not seen: there may be more events, and longer gaps. */
  readonly partial: boolean;
}

/** WebSocket frames of one direction of a stream (RFC 8441). */
export interface FrameUnits extends Units, WebSocketDirection {
  /** A Close may be among the last bytes, of which nobody knows where frames begin. */
  readonly closeUnseen: boolean;
  readonly kind: 'websocket';
}

/** What a body is made of, where it is a sequence of things to count. */
export type BodyUnits = MessageUnits | EventUnits | FrameUnits;
