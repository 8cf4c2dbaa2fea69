/** What a call is as a row of a table: the columns of CSV and Parquet. Header fields are JSON, because a call has any number of them. */
import type { WebSocketRecord } from '../../model/record.ts';
import type { StoredRecord } from '../../store/call-record.ts';

export interface TextField {
  readonly name: string;
  readonly kind: 'text';
  /** "": there is none. */
  readonly of: (call: StoredRecord, websocket: WebSocketRecord | undefined) => string;
}
export interface NumberField {
  readonly name: string;
  readonly kind: 'number';
  /** Whole; null: not known. */
  readonly of: (call: StoredRecord) => number | null;
}
export type Field = TextField | NumberField;

const text = (name: string, of: TextField['of']): TextField => ({ name, kind: 'text', of });
const number = (name: string, of: NumberField['of']): NumberField => ({ name, kind: 'number', of });
const json = (value: unknown): string => (value === undefined || value === null ? '' : JSON.stringify(value));

/** The time is a column before these, of the format's own type. */
export const FIELDS: readonly Field[] = [
  text('id', (x) => x.id),
  text('connection', (x) => x.connection),
  text('protocol', (x) => x.protocol),
  text('upgrade', (x) => x.upgrade ?? ''),
  number('stream_id', (x) => x.stream_id ?? null),
  text('side', (x) => x.side),
  text('service', (x) => x.service),
  number('process_pid', (x) => x.process?.pid ?? null),
  text('process_name', (x) => x.process?.name ?? ''),
  text('process_cgroup', (x) => x.process?.cgroup ?? ''),
  text('client_address', (x) => x.client.address),
  number('client_port', (x) => x.client.port),
  text('server_address', (x) => x.server.address),
  number('server_port', (x) => x.server.port),
  text('route', (x) => x.route),
  text('method', (x) => x.request?.method ?? ''),
  text('target', (x) => x.request?.target ?? ''),
  text('scheme', (x) => x.request?.scheme ?? ''),
  text('authority', (x) => x.request?.authority ?? ''),
  number('status', (x) => x.response?.status ?? null),
  text('outcome', (x) => x.outcome),
  number('first_request_ns', (x) => x.timing_ns.first_request_byte),
  number('last_request_ns', (x) => x.timing_ns.last_request_byte),
  number('first_response_ns', (x) => x.timing_ns.first_response_byte),
  number('last_response_ns', (x) => x.timing_ns.last_response_byte),
  number('in_flight', (x) => x.in_flight),
  number('request_head_bytes', (x) => x.request?.head_bytes ?? null),
  number('request_body_bytes', (x) => x.request?.body_bytes ?? null),
  number('response_head_bytes', (x) => x.response?.head_bytes ?? null),
  number('response_body_bytes', (x) => x.response?.body_bytes ?? null),
  text('request_headers', (x) => json(x.request?.headers)),
  text('response_headers', (x) => json(x.response?.headers)),
  text('anomalies', (x) => json(x.anomalies)),
  text('losses', (x) => (x.losses.length === 0 ? '' : json(x.losses))),
  text('tls_version', (x) => x.tls?.version ?? ''),
  text('tls_sni', (x) => x.tls?.sni ?? ''),
  text('tls_alpn', (x) => x.tls?.alpn ?? ''),
  text('tls_cipher', (x) => x.tls?.cipher ?? ''),
  text('grpc', (x) => json(x.grpc)),
  text('stream', (x) => json(x.stream)),
  text('websocket', (_, session) => json(session)),
];
