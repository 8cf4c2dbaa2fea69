import { UNSEEN } from '../base/clock.ts';
import { FieldBlock } from './fields.ts';
import type { LossMark, LossReason } from './loss.ts';
import type { BodyUnits } from './units.ts';

export type MessageKind = 'request' | 'response';

/** How a message ended. */
export type MessageEnd =
  /** By its own framing. */
  | 'framed'
  /** Response body delimited by FIN, and FIN was seen (RFC 9112 6.3 rule 8). */
  | 'fin'
  /** FIN before its framing was satisfied. */
  | 'short'
  | 'rst'
  /** The connection became another protocol at this point (101, 2xx to CONNECT). */
  | 'switched'
  /** Framing contradicts itself; nothing after it can be trusted. */
  | 'error'
  /** Captured bytes do not reach its end. */
  | 'lost'
  /** The capture or the agent ended first. */
  | 'open';

/** What the peers did against the rules. Names are in the log. */
export const ANOMALIES = [
  'content_length_and_transfer_encoding',
  'differing_content_lengths',
  'bad_content_length',
  'bad_chunk_size',
  'bad_chunk_end',
  'transfer_encoding_not_chunked_last',
  'transfer_encoding_in_http10',
  'bad_start_line',
  'bad_field_line',
  'whitespace_before_colon',
  'bare_lf',
  'bare_cr',
  'obs_fold',
  'nul_byte',
  'missing_host',
  'duplicate_host',
  'short_body',
  'response_without_request',
  'early_response',
  'body_where_none_allowed',
  'hpack_error',
  'h2_frame_error',
  'bad_pseudo_header',
  'content_length_mismatch',
  /** What frames or routes a message stands behind its body, where it is too late for that (RFC 9110 6.5.1). */
  'forbidden_trailer',
] as const;
export type Anomaly = (typeof ANOMALIES)[number];

/** Bit for each anomaly, so that marking one allocates nothing. */
export const ANOMALY_BIT: Readonly<Record<Anomaly, number>> = Object.fromEntries(
  ANOMALIES.map((name, i) => [name, 2 ** i]),
) as Record<Anomaly, number>;

/** The anomalies in a bit set (bits below 2^31). */
export const anomalyNames = (bits: number): Anomaly[] => ANOMALIES.filter((_, i) => (bits & (1 << i)) !== 0);

/**
 * One request or response, HTTP/1 or HTTP/2. `memory` of `fields` belongs to the message and lives as long as it does.
 * Pooled: whoever ends an exchange gives its messages back.
 */
export class Message {
  kind: MessageKind = 'request';
  /** 10 for HTTP/1.0, 11, 20. */
  version = 11;
  /** Request: "" in a response. */
  method = '';
  /** Request target as sent (latin1); "" in a response. */
  target = '';
  /** HTTP/2 request: `:scheme`, `:authority` and (extended CONNECT) `:protocol`; "" in HTTP/1, where target and Host say it. */
  scheme = '';
  authority = '';
  protocol = '';
  /** Response; 0 in a request. */
  status = 0;
  reason = '';
  /** HTTP/2 stream; 0 in HTTP/1. */
  streamId = 0;
  readonly fields = new FieldBlock();
  /** null while none were sent. */
  trailers: FieldBlock | null = null;
  /** Start line through the empty line, in bytes. HTTP/2: the encoded header block, without padding and priority. */
  headBytes = 0;
  /** After transfer coding is removed, before content decoding. */
  bodyBytes = 0;
  /** Counts the application messages in the body; null: it is not known to have any. */
  units: BodyUnits | null = null;
  /** Nanoseconds since the anchor, or UNSEEN. */
  firstByteAt: number = UNSEEN;
  lastByteAt: number = UNSEEN;
  /** Stream offsets in this direction: of the first byte, and just after the last one (-1 until it ended). */
  startOffset = 0;
  endOffset = -1;
  /** Offset in the other direction's stream that the first byte's segment acknowledged; -1 when not known. */
  ackOffset = -1;
  end: MessageEnd = 'open';
  anomalies = 0;
  /** What is missing from this message; empty almost always. */
  readonly losses: LossMark[] = [];

  lose(reason: LossReason, bytes: number): void {
    const mark = this.losses.find((m) => m.reason === reason);
    if (mark === undefined) this.losses.push({ reason, bytes });
    else mark.bytes += bytes;
  }

  reset(kind: MessageKind): void {
    this.kind = kind;
    this.version = 11;
    this.method = '';
    this.target = '';
    this.scheme = '';
    this.authority = '';
    this.protocol = '';
    this.status = 0;
    this.reason = '';
    this.streamId = 0;
    this.fields.clear();
    this.trailers = null;
    this.headBytes = 0;
    this.bodyBytes = 0;
    this.units = null;
    this.firstByteAt = UNSEEN;
    this.lastByteAt = UNSEEN;
    this.startOffset = 0;
    this.endOffset = -1;
    this.ackOffset = -1;
    this.end = 'open';
    this.anomalies = 0;
    if (this.losses.length > 0) this.losses.length = 0;
  }
}
