/** Builds exchanges for tests of redaction and the log, with field values as the parser leaves them: shared or in the block's memory. */
import { TimeFormatter } from '../../src/base/clock.ts';
import { Memory } from '../../src/base/memory.ts';
import { HarFormat } from '../../src/export/log/har.ts';
import { NdjsonFormat } from '../../src/export/log/ndjson.ts';
import { Connection } from '../../src/model/connection.ts';
import { Exchange, type Interim } from '../../src/model/exchange.ts';
import { FieldBlock, FieldLine, HeaderName } from '../../src/model/fields.ts';
import { Message, type MessageKind } from '../../src/model/message.ts';
import { Fingerprinter } from '../../src/redact/fingerprint.ts';
import { CredentialPolicy, type RedactOptions } from '../../src/redact/policy.ts';

export type Pairs = ReadonlyArray<readonly [name: string, value: string]>;

export interface MessageSpec {
  method?: string;
  target?: string;
  status?: number;
  reason?: string;
  version?: number;
  /** Of HTTP/2. */
  scheme?: string;
  authority?: string;
  headers?: Pairs;
  trailers?: Pairs;
  headBytes?: number;
  bodyBytes?: number;
  first?: number;
  last?: number;
  streamId?: number;
}

export interface ExchangeSpec
  extends Partial<
    Pick<
      Exchange,
      'protocol' | 'upgrade' | 'outcome' | 'inFlight' | 'anomalies' | 'route' | 'ordinal' | 'losses' | 'grpc'
    >
  > {
  request?: MessageSpec | null;
  response?: MessageSpec | null;
  interim?: readonly Interim[];
  connection?: Connection;
}

/** All text is latin1 code points. Every second line is shared unless `shared` says otherwise. */
export function fieldsOf(
  pairs: Pairs,
  block = new FieldBlock(),
  shared: (i: number) => boolean = (i) => i % 2 === 0,
): FieldBlock {
  block.memory = Memory.from(Buffer.from(pairs.map(([, value]) => value).join(''), 'latin1'));
  let offset = 0;
  pairs.forEach(([raw, value], i) => {
    const name = new HeaderName(i + 1, raw.toLowerCase());
    block.push(new FieldLine(name, raw, shared(i) ? value : null), offset, value.length);
    offset += value.length;
  });
  return block;
}

function messageOf(kind: MessageKind, spec: MessageSpec): Message {
  const m = new Message();
  m.reset(kind);
  m.method = spec.method ?? (kind === 'request' ? 'GET' : '');
  m.target = spec.target ?? (kind === 'request' ? '/' : '');
  m.status = spec.status ?? (kind === 'response' ? 200 : 0);
  m.reason = spec.reason ?? (kind === 'response' ? 'OK' : '');
  m.version = spec.version ?? 11;
  m.scheme = spec.scheme ?? '';
  m.authority = spec.authority ?? '';
  m.streamId = spec.streamId ?? 0;
  m.headBytes = spec.headBytes ?? 0;
  m.bodyBytes = spec.bodyBytes ?? 0;
  m.firstByteAt = spec.first ?? (kind === 'request' ? 1_000 : 1_801_000);
  m.lastByteAt = spec.last ?? (kind === 'request' ? 13_000 : 1_901_000);
  fieldsOf(spec.headers ?? [], m.fields);
  if (spec.trailers !== undefined) m.trailers = fieldsOf(spec.trailers);
  return m;
}

export function connectionOf(): Connection {
  const c = new Connection(7, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 });
  c.side = 'server';
  c.clientDirection = 0;
  c.service = 'nginx.service';
  c.process = { pid: 1, name: 'nginx', cgroup: '/system.slice/nginx.service', container: null, evidence: 'writer' };
  return c;
}

export function exchangeOf(spec: ExchangeSpec): Exchange {
  const x = new Exchange();
  x.connection = spec.connection ?? connectionOf();
  x.ordinal = spec.ordinal ?? 1;
  x.protocol = spec.protocol ?? 'http/1.1';
  x.upgrade = spec.upgrade ?? '';
  x.grpc = spec.grpc ?? null;
  x.request = spec.request === null ? null : messageOf('request', spec.request ?? {});
  x.response = spec.response === null ? null : messageOf('response', spec.response ?? {});
  x.interim = spec.interim ?? [];
  x.outcome = spec.outcome ?? 'complete';
  x.inFlight = spec.inFlight ?? 1;
  x.anomalies = spec.anomalies ?? 0;
  x.losses.push(...(spec.losses ?? []));
  x.route = spec.route ?? '';
  return x;
}

export const id = (connection: Connection, ordinal: number): string =>
  `r-${connection.id.toString(36)}-${ordinal.toString(36)}`;
export const time = (): TimeFormatter => new TimeFormatter({ wallNs: 1_795_363_445_000_000_000n });
export const policy = (options: RedactOptions = {}): CredentialPolicy =>
  new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 7)), options);
export const ndjson = (): NdjsonFormat => new NdjsonFormat({ id, time: time() });
export const har = (): HarFormat => new HarFormat({ id, time: time() }, '0.0.0');
