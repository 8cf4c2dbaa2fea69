import type { Connection } from './connection.ts';
import type { LossMark } from './loss.ts';
import type { Message } from './message.ts';

export const OUTCOMES = [
  'complete',
  'timeout',
  'reset_before_headers',
  'reset_in_body',
  'client_abort',
  'truncated',
  'protocol_error',
  'upgraded',
  'open',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

export type Protocol = 'http/1.0' | 'http/1.1' | 'h2' | 'h2c';

/** An interim response (RFC 9110 15.2): status and when its first byte came. Fields are copied, they are rare. */
export interface Interim {
  readonly status: number;
  /** Nanoseconds since the anchor, or UNSEEN. */
  readonly at: number;
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>;
}

/** What a gRPC call says beyond HTTP. */
export interface GrpcFacts {
  /** grpc-status; null: none was seen. */
  readonly status: number | null;
  /** grpc-timeout in ns; null: the call has no deadline. */
  readonly timeoutNs: number | null;
  /** Messages each way; null: not all of them could be counted. */
  readonly requestMessages: number | null;
  readonly responseMessages: number | null;
}

/** One call: a request and its response, as one side saw them. Pooled and mutable: see ExchangeSink. */
export class Exchange {
  connection!: Connection;
  /** Ordinal on its connection, from 1. With the run's prefix and the connection it makes the id. */
  ordinal = 0;
  protocol: Protocol = 'http/1.1';
  /** "" or what it was upgraded to: "websocket", "h2c", "connect", ... */
  upgrade = '';
  request: Message | null = null;
  response: Message | null = null;
  /** Shared empty array while there are none. */
  interim: readonly Interim[] = [];
  outcome: Outcome = 'open';
  /** In flight in the whole service on this side when this call arrived, this one included; 0 when the request was not seen. */
  inFlight = 0;
  /** ANOMALY_BIT set of the call (those of both messages and of the pairing). */
  anomalies = 0;
  /** Everything missing from this record; empty: it is whole. */
  readonly losses: LossMark[] = [];
  /** null: the call is not gRPC. */
  grpc: GrpcFacts | null = null;
  /** Endpoint template; "" until somebody asks (see exchange/route). */
  route = '';
}
