/** A line of the header log, parsed: docs/header-log.md describes it. */
import type { Outcome } from './exchange.ts';
import type { LossMark, LossTotal } from './loss.ts';
import type { WebSocketEnd } from './websocket.ts';

export type FieldPair = readonly [name: string, value: string];

interface EndpointRecord {
  readonly address: string;
  readonly port: number;
}

interface MessageRecord {
  readonly headers: readonly FieldPair[];
  readonly trailers: readonly FieldPair[];
  readonly head_bytes: number;
  readonly body_bytes: number;
}

export interface RequestRecord extends MessageRecord {
  readonly method: string;
  readonly target: string;
  readonly scheme: string;
  readonly authority: string;
}

interface ResponseRecord extends MessageRecord {
  readonly status: number;
  readonly reason: string;
}

export interface ExchangeRecord {
  readonly type: 'exchange';
  readonly id: string;
  /** RFC 3339 with nanoseconds; null when the capture had no time. */
  readonly ts: string | null;
  readonly protocol: string;
  readonly side: string;
  readonly service: string;
  readonly process?: { readonly pid: number; readonly name: string; readonly cgroup: string } | null;
  readonly client: EndpointRecord;
  readonly server: EndpointRecord;
  readonly tls?: {
    readonly version: string;
    readonly sni?: string;
    readonly alpn?: string;
    readonly cipher?: string;
  };
  readonly route: string;
  readonly request: RequestRecord | null;
  readonly response: ResponseRecord | null;
  readonly outcome: Outcome;
  /** Of gRPC calls. */
  readonly grpc?: { readonly status: number | null };
  /** Nanoseconds from `ts`; null where a time was not seen. */
  readonly timing_ns: {
    readonly first_request_byte: number | null;
    readonly last_request_byte: number | null;
    readonly first_response_byte: number | null;
    readonly last_response_byte: number | null;
  };
  readonly in_flight: number;
  readonly losses: readonly LossMark[];
}

/** What a WebSocket carried, from its handshake to its end; comes after the handshake's exchange. */
export interface WebSocketRecord {
  readonly type: 'websocket';
  /** Id of the handshake's exchange. */
  readonly exchange: string;
  readonly ts: string | null;
  readonly connection: string;
  readonly side: string;
  readonly service: string;
  readonly end: WebSocketEnd;
  readonly closed_by: 'client' | 'server' | null;
  readonly duration_ns: number | null;
  readonly from_client: WebSocketSideRecord;
  readonly from_server: WebSocketSideRecord;
  readonly losses: readonly LossMark[];
}

interface WebSocketSideRecord {
  readonly messages: { readonly text: number; readonly binary: number };
  /** Payload as it was on the wire. */
  readonly bytes: { readonly text: number; readonly binary: number; readonly control: number };
  readonly close: { readonly code: number | null } | null;
}

/** Last line of a run or replay. */
export interface SummaryRecord {
  readonly type: 'summary';
  readonly segments: number;
  readonly bytes: number;
  readonly connections: number;
  readonly exchanges: number;
  readonly losses: readonly LossTotal[];
}

/** In the stream of `tail`: lines that this viewer was too slow for since the last such line. */
export interface TailLostRecord {
  readonly type: 'tail_lost';
  readonly count: number;
}
