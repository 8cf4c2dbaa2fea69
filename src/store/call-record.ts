/** A stored call as the header log's record (docs/header-log.md): the same fields in the same order, also where they are left out. */
import type { GrpcRecord, StreamRecord } from '../export/log/facts.ts';
import type { ExchangeRecord, FieldPair, RequestRecord } from '../model/record.ts';
import type { ShapeLine } from './shapes.ts';

/** Expressions over a calls file, in the order that `recordOf` takes them. */
export const RECORD_COLUMNS = [
  'sequence',
  'epoch_ns(ts)',
  'run',
  'connection',
  'ordinal',
  'protocol',
  'upgrade',
  'stream_id',
  'side',
  'service',
  'process_pid',
  'process_name',
  'process_cgroup',
  'process_container',
  'process_evidence',
  'client_address',
  'client_port',
  'server_address',
  'server_port',
  'route',
  'method',
  'target',
  'scheme',
  'authority',
  'status',
  'reason',
  'outcome',
  'first_request_ns',
  'last_request_ns',
  'first_response_ns',
  'last_response_ns',
  'in_flight',
  'request_head_bytes',
  'request_body_bytes',
  'response_head_bytes',
  'response_body_bytes',
  'request_headers',
  'request_values',
  'response_headers',
  'response_values',
  'anomalies',
  'losses',
  'extra',
  'tls_version',
  'tls_sni',
  'tls_alpn',
  'tls_cipher',
] as const;

type Value = string | number | bigint | null | { readonly items: readonly string[] };

interface Extra {
  readonly grpc?: GrpcRecord;
  readonly stream?: StreamRecord;
  readonly request_trailers?: FieldPair[];
  readonly response_trailers?: FieldPair[];
  readonly request_opaque?: string[];
  readonly response_opaque?: string[];
  readonly interim?: readonly {
    readonly status: number;
    readonly at_ns: number | null;
    readonly headers: FieldPair[];
  }[];
}
const NO_EXTRA: Extra = {};
const NS_PER_S = 1_000_000_000n;

/** RFC 3339 with nanoseconds. */
export function timeText(ns: bigint): string {
  const second = ns >= 0n ? ns / NS_PER_S : (ns - NS_PER_S + 1n) / NS_PER_S;
  const date = new Date(Number(second) * 1000).toISOString().slice(0, 20);
  return `${date}${(ns - second * NS_PER_S).toString().padStart(9, '0')}Z`;
}

function fields(shape: string, values: readonly string[], shapes: Map<string, readonly ShapeLine[]>): FieldPair[] {
  let lines = shapes.get(shape);
  if (lines === undefined) {
    lines = JSON.parse(shape) as ShapeLine[];
    shapes.set(shape, lines);
  }
  return lines.map(([name, value, own]) => [name, own === undefined ? value : values[own - 1]!]);
}

/** What a line of the log has beyond what readers of records rely on. */
export interface StoredRecord extends ExchangeRecord {
  readonly upgrade?: string;
  readonly stream_id?: number;
  readonly grpc?: GrpcRecord;
  readonly stream?: StreamRecord;
  readonly connection: string;
  readonly process: {
    readonly pid: number;
    readonly name: string;
    readonly cgroup: string;
    readonly container?: string;
    readonly evidence: string;
  } | null;
  readonly request: (RequestRecord & { readonly opaque?: readonly string[] }) | null;
  readonly response:
    | (NonNullable<ExchangeRecord['response']> & {
        readonly interim: readonly {
          readonly status: number;
          readonly at_ns: number | null;
          readonly headers: FieldPair[];
        }[];
        readonly opaque?: readonly string[];
      })
    | null;
  readonly anomalies?: readonly string[];
}

/** Builds records; shapes are parsed once. Make one for each page of an answer. */
export class RecordBuilder {
  readonly #shapes = new Map<string, readonly ShapeLine[]>();

  /** `row`: the values of RECORD_COLUMNS. */
  record(row: readonly unknown[]): StoredRecord {
    const v = row as readonly Value[];
    const text = (i: number): string => v[i] as string;
    const number = (i: number): number => Number(v[i]);
    const since = (i: number): number | null => (v[i] === null ? null : Number(v[i]));
    const list = (i: number): readonly string[] => (v[i] as { readonly items: readonly string[] }).items;
    const extra: Extra = text(42) === '' ? NO_EXTRA : (JSON.parse(text(42)) as Extra);
    const connection = `${text(2)}-${number(3).toString(36)}`;
    const protocol = text(5);
    const container = text(13);
    return {
      type: 'exchange',
      id: `${connection}-${number(4).toString(36)}`,
      ts: v[1] === null ? null : timeText(v[1] as bigint),
      protocol,
      ...(text(6) === '' ? {} : { upgrade: text(6) }),
      ...(protocol === 'h2' || protocol === 'h2c' ? { stream_id: number(7) } : {}),
      ...(extra.grpc === undefined ? {} : { grpc: extra.grpc }),
      side: text(8),
      service: text(9),
      connection,
      process:
        v[10] === null
          ? null
          : {
              pid: number(10),
              name: text(11),
              cgroup: text(12),
              ...(container === '' ? {} : { container }),
              evidence: text(14),
            },
      client: { address: text(15), port: number(16) },
      server: { address: text(17), port: number(18) },
      ...(v[43] === null ? {} : { tls: tlsOf(text(43), v[44], v[45], v[46]) }),
      route: text(19),
      request:
        v[36] === null
          ? null
          : {
              method: v[20] === null ? '' : text(20),
              target: text(21),
              scheme: text(22),
              authority: text(23),
              headers: fields(text(36), list(37), this.#shapes),
              trailers: extra.request_trailers ?? [],
              head_bytes: number(32),
              body_bytes: number(33),
              ...(extra.request_opaque === undefined ? {} : { opaque: extra.request_opaque }),
            },
      response:
        v[24] === null
          ? null
          : {
              status: number(24),
              reason: text(25),
              headers: fields(text(38), list(39), this.#shapes),
              trailers: extra.response_trailers ?? [],
              head_bytes: number(34),
              body_bytes: number(35),
              interim: extra.interim ?? [],
              ...(extra.response_opaque === undefined ? {} : { opaque: extra.response_opaque }),
            },
      outcome: text(26) as ExchangeRecord['outcome'],
      timing_ns: {
        first_request_byte: since(27),
        last_request_byte: since(28),
        first_response_byte: since(29),
        last_response_byte: since(30),
      },
      in_flight: number(31),
      ...(extra.stream === undefined ? {} : { stream: extra.stream }),
      ...(text(40) === '' ? {} : { anomalies: JSON.parse(text(40)) as string[] }),
      losses: text(41) === '' ? [] : (JSON.parse(text(41)) as ExchangeRecord['losses']),
    };
  }
}

/** null of a part: it is not known. */
const tlsOf = (version: string, sni: unknown, alpn: unknown, cipher: unknown): NonNullable<ExchangeRecord['tls']> => ({
  version,
  ...(sni === null ? {} : { sni: sni as string }),
  ...(alpn === null ? {} : { alpn: alpn as string }),
  ...(cipher === null ? {} : { cipher: cipher as string }),
});
