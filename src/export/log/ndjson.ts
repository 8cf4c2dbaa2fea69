/** The header log: one JSON object a line, as docs/header-log.md describes it and docs/header-log.schema.json checks it. */
import { type TimeFormatter, UNSEEN } from '../../base/clock.ts';
import type { Connection, ProcessInfo, Side } from '../../model/connection.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { LossMark } from '../../model/loss.ts';
import { anomalyNames, type Message } from '../../model/message.ts';
import type { Redacted, RedactedInterim } from '../../redact/redacted.ts';
import type { RunTotals } from '../exporter.ts';
import { schemeAndAuthority } from '../target.ts';
import { type BlockText, BlockTexts } from './blocks.ts';
import type { LogFormat, LogFormatOptions } from './format.ts';
import { asciiJson, isOpaque, wireJson } from './json.ts';
import { LineBuffer } from './line.ts';
import type { HeaderSelection } from './selection.ts';

const bytesOf = (ascii: string): Uint8Array => Buffer.from(ascii, 'latin1');

/** The part of a line that is the same for all exchanges of a connection, and what it was made from. */
interface ConnectionText {
  readonly connection: Connection;
  readonly process: ProcessInfo | null;
  readonly service: string;
  readonly side: Side;
  readonly clientDirection: number;
  readonly bytes: Buffer;
}

/** Connections whose text is kept: a direct-mapped table, so a busy host replaces entries instead of growing. */
const CONNECTIONS_KEPT = 1_024;

const endpoint = (name: string, { address, port }: { address: string; port: number }): string =>
  `,"${name}":{"address":"${wireJson(address)}","port":${port}}`;

function processJson(info: ProcessInfo | null): string {
  if (info === null) return 'null';
  const container = info.container === null ? '' : `,"container":"${asciiJson(info.container)}"`;
  return `{"pid":${info.pid},"name":"${asciiJson(info.name)}","cgroup":"${asciiJson(info.cgroup)}"${container},"evidence":"${info.evidence}"}`;
}

const lossesJson = (losses: readonly Readonly<LossMark>[]): string =>
  losses.map(({ reason, bytes }) => `{"reason":"${reason}","bytes":${bytes}}`).join(',');

/** The parts of a line that never change, as bytes. */
const PART = {
  begin: bytesOf('{"type":"exchange","id":"'),
  noTime: bytesOf('","ts":null,"protocol":"'),
  time: bytesOf('","ts":"'),
  protocol: bytesOf('","protocol":"'),
  route: bytesOf(',"route":"'),
  request: bytesOf('","request":'),
  nothing: bytesOf('null'),
  response: bytesOf(',"response":'),
  outcome: bytesOf(',"outcome":"'),
  t0: bytesOf('","timing_ns":{"first_request_byte":'),
  t1: bytesOf(',"last_request_byte":'),
  t2: bytesOf(',"first_response_byte":'),
  t3: bytesOf(',"last_response_byte":'),
  inFlight: bytesOf('},"in_flight":'),
  losses: bytesOf(',"losses":['),
  end: bytesOf(']}\n'),
  method: bytesOf('{"method":"'),
  target: bytesOf('","target":"'),
  scheme: bytesOf('","scheme":"'),
  authority: bytesOf('","authority":"'),
  headers: bytesOf('","headers":['),
  status: bytesOf('{"status":'),
  reason: bytesOf(',"reason":"'),
  interim: bytesOf(',"interim":['),
  trailers: bytesOf('],"trailers":['),
  headBytes: bytesOf('],"head_bytes":'),
  bodyBytes: bytesOf(',"body_bytes":'),
} as const;

export class NdjsonFormat implements LogFormat {
  readonly #id: LogFormatOptions['id'];
  readonly #time: TimeFormatter;
  readonly #headers: HeaderSelection | null;
  readonly #connections: (ConnectionText | undefined)[] = new Array(CONNECTIONS_KEPT);
  readonly #blocks = new BlockTexts();
  readonly #line = new LineBuffer();
  /** Opaque fields of the message being written; emptied with it. */
  #opaque: string[] = [];

  constructor(options: LogFormatOptions) {
    this.#id = options.id;
    this.#time = options.time;
    this.#headers = options.headers ?? null;
  }

  begin(): string {
    return '';
  }

  /** One line, with its newline. */
  exchange(x: Redacted<Exchange>): string {
    this.#line.clear();
    this.encode(x, this.#line);
    return this.#line.toString();
  }

  encode(x: Redacted<Exchange>, out: LineBuffer): void {
    const { connection, request, response, upgrade, anomalies, losses } = x;
    const t0 = request === null ? UNSEEN : request.firstByteAt;
    const t1 = request === null ? UNSEEN : request.lastByteAt;
    const t2 = response === null ? UNSEEN : response.firstByteAt;
    const t3 = response === null ? UNSEEN : response.lastByteAt;
    const from = t0 !== UNSEEN ? t0 : t1 !== UNSEEN ? t1 : t2 !== UNSEEN ? t2 : t3;
    const id = this.#id(connection, x.ordinal);
    out.append(PART.begin);
    out.text(id);
    if (from === UNSEEN) out.append(PART.noTime);
    else {
      out.append(PART.time);
      out.text(this.#time.format(from));
      out.append(PART.protocol);
    }
    out.text(x.protocol);
    out.text('"');
    if (upgrade !== '') out.text(`,"upgrade":"${wireJson(upgrade)}"`);
    if (x.protocol === 'h2' || x.protocol === 'h2c')
      out.text(`,"stream_id":${request?.streamId || response?.streamId || 0}`);
    out.append(this.#connection(connection, id));
    out.append(PART.route);
    out.text(wireJson(x.route));
    out.append(PART.request);
    if (request === null) out.append(PART.nothing);
    else this.#request(request, out);
    out.append(PART.response);
    if (response === null) out.append(PART.nothing);
    else this.#response(response, x.interim, from, out);
    out.append(PART.outcome);
    out.text(x.outcome);
    out.append(PART.t0);
    since(t0, from, out);
    out.append(PART.t1);
    since(t1, from, out);
    out.append(PART.t2);
    since(t2, from, out);
    out.append(PART.t3);
    since(t3, from, out);
    out.append(PART.inFlight);
    out.integer(x.inFlight);
    if (anomalies !== 0) out.text(`,"anomalies":${JSON.stringify(anomalyNames(anomalies))}`);
    out.append(PART.losses);
    if (losses.length > 0) out.text(lossesJson(losses));
    out.append(PART.end);
  }

  /** The last line of a run. `printed`: exchange lines before it. */
  end(totals: RunTotals, printed: number): string {
    const losses = totals.losses.map(
      ({ reason, count, bytes }) => `{"reason":"${reason}","count":${count},"bytes":${bytes}}`,
    );
    return `{"type":"summary","segments":${totals.segments},"bytes":${totals.bytes},"connections":${totals.connections},"exchanges":${printed},"exchanges_seen":${totals.exchanges},"losses":[${losses.join(',')}]}\n`;
  }

  #connection(connection: Connection, id: string): Buffer {
    const slot = connection.id & (CONNECTIONS_KEPT - 1);
    const kept = this.#connections[slot];
    const { process, service, side, clientDirection } = connection;
    const same =
      kept !== undefined &&
      kept.connection === connection &&
      kept.process === process &&
      kept.service === service &&
      kept.side === side &&
      kept.clientDirection === clientDirection;
    if (same) return kept.bytes;
    const text =
      `,"side":"${side}","service":"${asciiJson(service)}","connection":"${id.slice(0, id.lastIndexOf('-'))}","process":${processJson(process)}` +
      endpoint('client', connection.client) +
      endpoint('server', connection.server);
    const bytes = Buffer.from(text, 'latin1');
    this.#connections[slot] = { connection, process, service, side, clientDirection, bytes };
    return bytes;
  }

  #request(m: Redacted<Message>, out: LineBuffer): void {
    const { scheme, authority } = schemeAndAuthority(m);
    out.append(PART.method);
    this.#text(m.method, ':method', out);
    out.append(PART.target);
    this.#text(m.target, ':target', out);
    out.append(PART.scheme);
    out.text(wireJson(scheme));
    out.append(PART.authority);
    this.#text(authority, ':authority', out);
    out.append(PART.headers);
    this.#message(m, out);
    this.#endMessage(out);
  }

  #response(m: Redacted<Message>, interim: readonly RedactedInterim[], from: number, out: LineBuffer): void {
    out.append(PART.status);
    out.integer(m.status);
    out.append(PART.reason);
    this.#text(m.reason, ':reason', out);
    out.append(PART.headers);
    this.#message(m, out);
    out.append(PART.interim);
    for (let i = 0; i < interim.length; i++) {
      if (i > 0) out.text(',');
      this.#interim(interim[i]!, from, out);
    }
    out.text(']');
    this.#endMessage(out);
  }

  /** The pairs of the headers, and what both kinds of messages have behind them. */
  #message(m: Redacted<Message>, out: LineBuffer): void {
    this.#fields(m.fields, out);
    out.append(PART.trailers);
    const trailers = m.trailers;
    if (trailers !== null) this.#fields(trailers, out);
    out.append(PART.headBytes);
    out.integer(m.headBytes);
    out.append(PART.bodyBytes);
    out.integer(m.bodyBytes);
  }

  #endMessage(out: LineBuffer): void {
    if (this.#opaque.length > 0) {
      const names = [...new Set(this.#opaque)].map((name) => `"${wireJson(name)}"`);
      this.#opaque = [];
      out.text(`,"opaque":[${names.join(',')}]`);
    }
    out.text('}');
  }

  /** Appends `latin1` as the inside of a JSON string; what is not UTF-8 is put down under `label`. */
  #text(latin1: string, label: string, out: LineBuffer): void {
    const json = wireJson(latin1);
    if (json !== latin1 && isOpaque(latin1)) this.#opaque.push(label);
    out.text(json);
  }

  /** The pairs, with commas between them. */
  #fields(fields: Redacted<FieldBlock>, out: LineBuffer): void {
    const known = this.#blocks.find(fields);
    if (known?.parts) {
      const { parts, varying } = known;
      out.append(parts[0]!);
      for (let v = 0; v < varying.length; v++) {
        this.#value(fields, varying[v]!, out);
        out.append(parts[v + 1]!);
      }
    } else this.#eachField(fields, known, out);
  }

  /** Field by field; keeps in `block`, if there is one, what is the same for all blocks with these lines. */
  #eachField(fields: Redacted<FieldBlock>, block: BlockText | null, out: LineBuffer): void {
    const parts: Buffer[] = [];
    const varying: number[] = [];
    const opaque = this.#opaque.length;
    let opaqueValues = 0;
    let part = '';
    for (let i = 0; i < fields.count; i++) {
      if (this.#headers !== null && !this.#headers.includes(fields.lower(i))) continue;
      const start = out.length;
      if (out.bytes[start - 1] !== OPENING) out.text(',');
      out.text('["');
      this.#text(fields.raw(i), fields.lower(i), out);
      out.text('","');
      const value = out.length;
      if (fields.shared(i)) {
        this.#text(fields.value(i), fields.lower(i), out);
        out.text('"]');
        if (block !== null) part += out.bytes.latin1Slice(start, out.length);
        continue;
      }
      const before = this.#opaque.length;
      this.#value(fields, i, out);
      opaqueValues += this.#opaque.length - before;
      out.text('"]');
      if (block === null) continue;
      parts.push(Buffer.from(part + out.bytes.latin1Slice(start, value), 'latin1'));
      varying.push(i);
      part = '"]';
    }
    // An opaque name or shared value has to be listed each time, so it is looked at each time.
    if (block === null || this.#opaque.length - opaque > opaqueValues) return;
    parts.push(Buffer.from(part, 'latin1'));
    block.keep(parts, varying);
  }

  /** Appends the value of line i, which is not shared. */
  #value(fields: Redacted<FieldBlock>, i: number, out: LineBuffer): void {
    out.reserve(fields.length(i));
    const end = fields.plain(i, out.bytes, out.length);
    if (end >= 0) out.length = end;
    else this.#text(fields.value(i), fields.lower(i), out);
  }

  #interim(interim: RedactedInterim, from: number, out: LineBuffer): void {
    out.text(`{"status":${interim.status},"at_ns":`);
    since(interim.at, from, out);
    out.text(',"headers":[');
    for (const [name, value] of interim.fields) {
      const lower = name.toLowerCase();
      if (this.#headers !== null && !this.#headers.includes(lower)) continue;
      out.text(out.bytes[out.length - 1] === OPENING ? '["' : ',["');
      this.#text(name, lower, out);
      out.text('","');
      this.#text(value, lower, out);
      out.text('"]');
    }
    out.text(']}');
  }
}

/** `[`: nothing stands in the list yet. A pair always ends in `]`. */
const OPENING = 0x5b;

function since(at: number, from: number, out: LineBuffer): void {
  if (at === UNSEEN || from === UNSEEN) out.append(PART.nothing);
  else out.integer(at - from);
}
