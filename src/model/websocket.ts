import type { Connection } from './connection.ts';
import type { LossMark } from './loss.ts';

/** What one end of a WebSocket sent (RFC 6455), without what it said. Payload counts as it was on the wire, compressed or not. */
export interface WebSocketDirection {
  /** Frames whose header was read, and how many of them were masked. */
  readonly frames: number;
  readonly masked: number;
  /** Messages that ended, and payload bytes of all data frames, by the type of their message. */
  readonly textMessages: number;
  readonly textBytes: number;
  readonly binaryMessages: number;
  readonly binaryBytes: number;
  /** Messages that ended and were compressed (permessage-deflate, RFC 7692). */
  readonly compressed: number;
  readonly pings: number;
  readonly pongs: number;
  readonly controlBytes: number;
  readonly close: WebSocketClose | null;
  /** When the first and the last message ended, nanoseconds since the anchor, or UNSEEN. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** Bytes whose place in the frames is not known. */
  readonly unreadBytes: number;
  /** Framing broke the rules: nothing after it was read. */
  readonly violation: boolean;
  /** What is missing from these numbers; empty: nothing. */
  readonly losses: readonly Readonly<LossMark>[];
}

export interface WebSocketClose {
  /** null: the frame carries none, or it was not seen. */
  readonly code: number | null;
  readonly reasonBytes: number;
  /** Nanoseconds since the anchor, or UNSEEN. */
  readonly at: number;
}

export const WEBSOCKET_ENDS = [
  /** By a Close frame of an end at least. */
  'closed',
  /** The connection or stream was closed without one. */
  'cut',
  'reset',
  /** The capture or the agent ended first. */
  'open',
  /** Its end was not seen. */
  'lost',
] as const;
export type WebSocketEnd = (typeof WEBSOCKET_ENDS)[number];

/** A WebSocket from its handshake to its end. */
export interface WebSocketSession {
  readonly connection: Connection;
  /** Of the exchange that was the handshake. */
  readonly ordinal: number;
  /** When the server's answer to the handshake ended, and when the session did; nanoseconds since the anchor, or UNSEEN. */
  readonly beganAt: number;
  readonly endedAt: number;
  readonly end: WebSocketEnd;
  readonly client: WebSocketDirection;
  readonly server: WebSocketDirection;
}
