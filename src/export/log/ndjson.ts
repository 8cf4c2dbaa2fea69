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
import { type BlockText, BlockTexts, flat } from './blocks.ts';
import type { LogFormat, LogFormatOptions } from './format.ts';
import { asciiJson, isOpaque, wireJson } from './json.ts';
import type { HeaderSelection } from './selection.ts';

/** The part of a line that is the same for all exchanges of a connection, and what it was made from. */
interface ConnectionText {
  readonly connection: Connection;
  readonly process: ProcessInfo | null;
  readonly service: string;
  readonly side: Side;
  readonly clientDirection: number;
  readonly text: string;
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
  losses.length === 0
    ? '[]'
    : `[${losses.map(({ reason, bytes }) => `{"reason":"${reason}","bytes":${bytes}}`).join(',')}]`;

const since = (at: number, from: number): string => (at === UNSEEN || from === UNSEEN ? 'null' : `${at - from}`);

export class NdjsonFormat implements LogFormat {
  readonly #id: LogFormatOptions['id'];
  readonly #time: TimeFormatter;
  readonly #headers: HeaderSelection | null;
  readonly #connections: (ConnectionText | undefined)[] = new Array(CONNECTIONS_KEPT);
  readonly #blocks = new BlockTexts();
  /** Opaque fields of the message being written; emptied by #opaqueJson. */
  #opaque: string[] = [];

  constructor(options: LogFormatOptions) {
    this.#id = options.id;
    this.#time = options.time;
    this.#headers = options.headers ?? null;
  }

  begin(): string {
    return '';
  }

  /** One line, with its newline, pure ASCII. */
  exchange(x: Redacted<Exchange>): string {
    const request = x.request;
    const response = x.response;
    const t0 = request === null ? UNSEEN : request.firstByteAt;
    const t1 = request === null ? UNSEEN : request.lastByteAt;
    const t2 = response === null ? UNSEEN : response.firstByteAt;
    const t3 = response === null ? UNSEEN : response.lastByteAt;
    const from = t0 !== UNSEEN ? t0 : t1 !== UNSEEN ? t1 : t2 !== UNSEEN ? t2 : t3;
    const id = this.#id(x.connection, x.ordinal);
    const upgrade = x.upgrade;
    const anomalies = x.anomalies;
    const h2 = x.protocol === 'h2' || x.protocol === 'h2c';
    const losses = x.losses;
    return (
      `{"type":"exchange","id":"${id}","ts":${from === UNSEEN ? 'null' : `"${this.#time.format(from)}"`},"protocol":"${x.protocol}"` +
      (upgrade === '' ? '' : `,"upgrade":"${wireJson(upgrade)}"`) +
      (h2 ? `,"stream_id":${request?.streamId || response?.streamId || 0}` : '') +
      this.#connection(x.connection, id) +
      `,"route":"${wireJson(x.route)}","request":` +
      (request === null ? 'null' : this.#request(request)) +
      ',"response":' +
      (response === null ? 'null' : this.#response(response, x.interim, from)) +
      `,"outcome":"${x.outcome}","timing_ns":{"first_request_byte":${since(t0, from)},"last_request_byte":${since(t1, from)},"first_response_byte":${since(t2, from)},"last_response_byte":${since(t3, from)}},"in_flight":${x.inFlight}` +
      (anomalies === 0 ? '' : `,"anomalies":${JSON.stringify(anomalyNames(anomalies))}`) +
      (losses.length === 0 ? ',"losses":[]}\n' : `,"losses":${lossesJson(losses)}}\n`)
    );
  }

  /** The last line of a run. `exchanges`: lines printed before it; `seen`: exchanges that took place. */
  end(totals: RunTotals, exchanges: number, seen: number): string {
    const losses = totals.losses.map(
      ({ reason, count, bytes }) => `{"reason":"${reason}","count":${count},"bytes":${bytes}}`,
    );
    return `{"type":"summary","segments":${totals.segments},"bytes":${totals.bytes},"connections":${totals.connections},"exchanges":${exchanges},"exchanges_seen":${seen},"losses":[${losses.join(',')}]}\n`;
  }

  #connection(connection: Connection, id: string): string {
    const slot = connection.id & (CONNECTIONS_KEPT - 1);
    const kept = this.#connections[slot];
    const { process, service, side, clientDirection } = connection;
    if (
      kept !== undefined &&
      kept.connection === connection &&
      kept.process === process &&
      kept.service === service &&
      kept.side === side &&
      kept.clientDirection === clientDirection
    )
      return kept.text;
    const text =
      `,"side":"${side}","service":"${asciiJson(service)}","connection":"${id.slice(0, id.lastIndexOf('-'))}","process":${processJson(process)}` +
      endpoint('client', connection.client) +
      endpoint('server', connection.server);
    this.#connections[slot] = { connection, process, service, side, clientDirection, text };
    return text;
  }

  #request(m: Redacted<Message>): string {
    const target = m.target;
    const { scheme, authority } = schemeAndAuthority(m);
    const method = m.method;
    return (
      `{"method":"${this.#text(method, ':method')}","target":"${this.#text(target, ':target')}","scheme":"${wireJson(scheme)}","authority":"${this.#text(authority, ':authority')}","headers":` +
      this.#message(m, '')
    );
  }

  #response(m: Redacted<Message>, interim: readonly RedactedInterim[], from: number): string {
    const between = `,"interim":[${interim.length === 0 ? '' : interim.map((i) => this.#interim(i, from)).join(',')}]`;
    return `{"status":${m.status},"reason":"${this.#text(m.reason, ':reason')}","headers":${this.#message(m, between)}`;
  }

  /** From the list of headers to the closing brace; `more`: members that only one kind of message has. */
  #message(m: Redacted<Message>, more: string): string {
    const headers = this.#fields(m.fields);
    const trailers = m.trailers;
    const text = `${headers}],"trailers":[${trailers === null ? '' : this.#fields(trailers).slice(1)}],"head_bytes":${m.headBytes},"body_bytes":${m.bodyBytes}`;
    return this.#opaque.length === 0 ? `${text}${more}}` : `${text}${more}${this.#opaqueJson()}}`;
  }

  #opaqueJson(): string {
    const names = [...new Set(this.#opaque)].map((name) => `"${wireJson(name)}"`);
    this.#opaque = [];
    return `,"opaque":[${names.join(',')}]`;
  }

  /** `latin1` as the inside of a JSON string; what is not UTF-8 is put down under `label`. */
  #text(latin1: string, label: string): string {
    const json = wireJson(latin1);
    if (json !== latin1 && isOpaque(latin1)) this.#opaque.push(label);
    return json;
  }

  /** `[` and the pairs, without the closing bracket. */
  #fields(fields: Redacted<FieldBlock>): string {
    const text = this.#blocks.find(fields);
    if (text === null) return this.#eachField(fields);
    if (text.parts === null) return this.#learn(fields, text);
    const { parts, varying } = text;
    let out = parts[0]!;
    for (let v = 0; v < varying.length; v++) {
      const i = varying[v]!;
      out += this.#value(fields, i) + parts[v + 1]!;
    }
    return out;
  }

  #eachField(fields: Redacted<FieldBlock>): string {
    let out = '[';
    for (let i = 0; i < fields.count; i++) {
      if (this.#headers !== null && !this.#headers.includes(fields.lower(i))) continue;
      const pair = this.#pair(fields, i);
      out += out.length === 1 ? pair : `,${pair}`;
    }
    return out;
  }

  /** As #eachField, and keeps what of it is the same for all blocks with these lines. */
  #learn(fields: Redacted<FieldBlock>, text: BlockText): string {
    const opaque = this.#opaque.length;
    const parts: string[] = [];
    const varying: number[] = [];
    let part = '[';
    let out = '';
    let first = true;
    for (let i = 0; i < fields.count; i++) {
      if (this.#headers !== null && !this.#headers.includes(fields.lower(i))) continue;
      if (!first) part += ',';
      first = false;
      if (fields.shared(i)) part += this.#pair(fields, i);
      else {
        part += fields.kept(i) ?? this.#keepBeginning(fields, i);
        // What is opaque so far belongs to a name or a shared value: it has to be listed each time.
        if (this.#opaque.length === opaque) {
          parts.push(flat(part));
          varying.push(i);
        }
        out += part + this.#value(fields, i);
        part = '"]';
      }
    }
    if (this.#opaque.length === opaque) {
      parts.push(flat(part));
      text.keep(parts, varying);
    }
    return out + part;
  }

  #value(fields: Redacted<FieldBlock>, i: number): string {
    const value = fields.value(i);
    const json = wireJson(value);
    if (json !== value && isOpaque(value)) this.#opaque.push(fields.lower(i));
    return json;
  }

  #pair(fields: Redacted<FieldBlock>, i: number): string {
    const kept = fields.kept(i);
    if (fields.shared(i)) {
      if (kept !== null) return kept;
      const opaque = this.#opaque.length;
      const pair = `${this.#beginning(fields, i)}${this.#text(fields.value(i), fields.lower(i))}"]`;
      // What is opaque has to be listed each time, so it is made each time.
      if (this.#opaque.length === opaque) fields.keep(i, pair);
      return pair;
    }
    const beginning = kept ?? this.#keepBeginning(fields, i);
    return `${beginning}${this.#value(fields, i)}"]`;
  }

  #beginning(fields: Redacted<FieldBlock>, i: number): string {
    return `["${this.#text(fields.raw(i), fields.lower(i))}","`;
  }

  #keepBeginning(fields: Redacted<FieldBlock>, i: number): string {
    const opaque = this.#opaque.length;
    const beginning = this.#beginning(fields, i);
    if (this.#opaque.length === opaque) fields.keep(i, beginning);
    return beginning;
  }

  #interim(interim: RedactedInterim, from: number): string {
    const fields = interim.fields
      .filter(([name]) => this.#headers === null || this.#headers.includes(name.toLowerCase()))
      .map(([name, value]) => `["${this.#text(name, name.toLowerCase())}","${this.#text(value, name.toLowerCase())}"]`);
    return `{"status":${interim.status},"at_ns":${since(interim.at, from)},"headers":[${fields.join(',')}]}`;
  }
}
