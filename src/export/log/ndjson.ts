/** The header log: one JSON object a line, as docs/header-log.md describes it and docs/header-log.schema.json checks it. */
import { type TimeFormatter, UNSEEN } from '../../base/clock.ts';
import { latin1Bytes } from '../../base/memory.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { LossMark } from '../../model/loss.ts';
import { anomalyNames, type Message } from '../../model/message.ts';
import type { WebSocketSession } from '../../model/websocket.ts';
import type { Redacted, RedactedInterim } from '../../redact/redacted.ts';
import type { RunTotals } from '../exporter.ts';
import { schemeAndAuthority } from '../target.ts';
import { type BlockText, BlockTexts } from './blocks.ts';
import { type ConnectionText, ConnectionTexts } from './connections.ts';
import { grpcRecord, streamRecord } from './facts.ts';
import type { LogFormat, LogFormatOptions } from './format.ts';
import { isOpaque, wireJson } from './json.ts';
import { LineBuffer } from './line.ts';
import type { HeaderSelection } from './selection.ts';
import { websocketLine } from './websocket.ts';

const lossesJson = (losses: readonly Readonly<LossMark>[]): string =>
  losses.map(({ reason, bytes }) => `{"reason":"${reason}","bytes":${bytes}}`).join(',');

/** The parts of a line that never change, as bytes. */
const PART = {
  noTime: latin1Bytes('","ts":null'),
  time: latin1Bytes('","ts":"'),
  zone: latin1Bytes('Z"'),
  request: latin1Bytes('","request":{"method":"'),
  noRequest: latin1Bytes('","request":null'),
  noResponse: latin1Bytes(',"response":null'),
  t1: latin1Bytes(',"last_request_byte":'),
  t2: latin1Bytes(',"first_response_byte":'),
  t3: latin1Bytes(',"last_response_byte":'),
  nothing: latin1Bytes('null'),
  inFlight: latin1Bytes('},"in_flight":'),
  noLosses: latin1Bytes(',"losses":[]}\n'),
  target: latin1Bytes('","target":"'),
  noTrailers: latin1Bytes('],"trailers":[],"head_bytes":'),
  bodyBytes: latin1Bytes(',"body_bytes":'),
  streamId: latin1Bytes(',"stream_id":'),
  noInterim: latin1Bytes(',"interim":[]'),
} as const;

/** Status lines kept as bytes, direct-mapped by their status. */
const STATUSES_KEPT = 64;

interface StatusText {
  readonly status: number;
  readonly reason: string;
  /** From `,"response"` to where the headers go. */
  readonly bytes: Uint8Array;
}

export class NdjsonFormat implements LogFormat {
  readonly #id: LogFormatOptions['id'];
  readonly #time: TimeFormatter;
  readonly #headers: HeaderSelection | null;
  readonly #connections: ConnectionTexts;
  readonly #blocks = new BlockTexts();
  readonly #statuses: (StatusText | undefined)[] = new Array(STATUSES_KEPT);
  /** From `,"outcome"` to the first time, by outcome: there are nine. */
  readonly #outcomes = new Map<string, Uint8Array>();
  readonly #line = new LineBuffer();
  #second = '';
  #secondBytes: Uint8Array = latin1Bytes('');
  /** Opaque fields of the message being written; emptied with it. */
  #opaque: string[] = [];

  constructor(options: LogFormatOptions) {
    this.#connections = new ConnectionTexts(options.id);
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
    const { protocol, request, response, upgrade, anomalies, losses } = x;
    const connection = this.#connections.of(x.connection, protocol);
    const t0 = request === null ? UNSEEN : request.firstByteAt;
    const t1 = request === null ? UNSEEN : request.lastByteAt;
    const t2 = response === null ? UNSEEN : response.firstByteAt;
    const t3 = response === null ? UNSEEN : response.lastByteAt;
    const from = t0 !== UNSEEN ? t0 : t1 !== UNSEEN ? t1 : t2 !== UNSEEN ? t2 : t3;
    out.append(connection.begin);
    out.base36(x.ordinal);
    this.#timestamp(from, out);
    const streams = protocol === 'h2' || protocol === 'h2c';
    if (upgrade === '' && !streams) out.append(connection.whole);
    else {
      out.append(connection.protocolPart);
      if (upgrade !== '') out.text(`,"upgrade":"${wireJson(upgrade)}"`);
      if (streams) {
        out.append(PART.streamId);
        out.integer(request?.streamId || response?.streamId || 0);
      }
      if (x.grpc !== null) out.text(`,"grpc":${JSON.stringify(grpcRecord(x.grpc))}`);
      out.append(connection.rest);
    }
    const route = x.route;
    if (!out.json(route)) out.text(wireJson(route));
    if (request === null) out.append(PART.noRequest);
    else this.#request(request, connection, out);
    if (response === null) out.append(PART.noResponse);
    else this.#response(response, connection, x.interim, from, out);
    out.append(this.#outcome(x.outcome));
    since(t0, from, out);
    out.append(PART.t1);
    since(t1, from, out);
    out.append(PART.t2);
    since(t2, from, out);
    out.append(PART.t3);
    since(t3, from, out);
    out.append(PART.inFlight);
    out.integer(x.inFlight);
    const { stream } = x;
    if (stream !== null) out.text(`,"stream":${JSON.stringify(streamRecord(stream, from))}`);
    if (anomalies !== 0) out.text(`,"anomalies":${JSON.stringify(anomalyNames(anomalies))}`);
    if (losses.length === 0) out.append(PART.noLosses);
    else out.text(`,"losses":[${lossesJson(losses)}]}\n`);
  }

  websocket(session: WebSocketSession): string {
    return websocketLine(session, this.#id(session.connection, session.ordinal), this.#time);
  }

  /** The last line of a run. `printed`: exchange lines before it. */
  end(totals: RunTotals, printed: number): string {
    const losses = totals.losses.map(
      ({ reason, count, bytes }) => `{"reason":"${reason}","count":${count},"bytes":${bytes}}`,
    );
    return `{"type":"summary","segments":${totals.segments},"bytes":${totals.bytes},"connections":${totals.connections},"exchanges":${printed},"exchanges_seen":${totals.exchanges},"losses":[${losses.join(',')}]}\n`;
  }

  /** Ends the id and appends the time, a whole number of nanoseconds. */
  #timestamp(ts: number, out: LineBuffer): void {
    if (ts === UNSEEN) {
      out.append(PART.noTime);
      return;
    }
    out.append(PART.time);
    const nanoseconds = this.#time.split(ts);
    const second = this.#time.secondText;
    if (second !== this.#second) {
      this.#second = second;
      this.#secondBytes = latin1Bytes(second);
    }
    out.append(this.#secondBytes);
    out.nineDigits(nanoseconds);
    out.append(PART.zone);
  }

  #outcome(outcome: string): Uint8Array {
    let bytes = this.#outcomes.get(outcome);
    if (bytes === undefined) {
      bytes = latin1Bytes(`,"outcome":"${outcome}","timing_ns":{"first_request_byte":`);
      this.#outcomes.set(outcome, bytes);
    }
    return bytes;
  }

  #request(m: Redacted<Message>, connection: ConnectionText, out: LineBuffer): void {
    const { method, target } = m;
    out.append(PART.request);
    this.#text(method, ':method', out);
    out.append(PART.target);
    this.#text(target, ':target', out);
    const fields = m.fields;
    const known = this.#known(fields, connection.request);
    connection.request = known;
    const origin = target.charCodeAt(0) === SLASH && m.version < 20 && m.scheme === '' && method !== 'CONNECT';
    if (origin && known !== null && known.requestHead !== null) {
      out.append(known.requestHead);
      this.#varying(fields, known, out);
    } else {
      const start = out.length;
      const place = m.version < 20 || m.scheme === '' ? null : connection.placeOf(m.scheme, m.authority);
      if (place !== null && place.bytes !== null) out.append(place.bytes);
      else {
        const { scheme, authority } = schemeAndAuthority(m);
        const opaque = this.#opaque.length;
        out.text(`","scheme":"${wireJson(scheme)}","authority":"`);
        this.#text(authority, ':authority', out);
        out.text('","headers":[');
        // What is opaque has to be listed each time; without an authority Host says it.
        if (place !== null && place.authority !== '' && this.#opaque.length === opaque)
          place.bytes = latin1Bytes(out.bytes.latin1Slice(start, out.length));
      }
      const end = out.length;
      this.#fields(fields, known, out);
      if (origin && known?.parts && sameHost(fields))
        known.requestHead = latin1Bytes(out.bytes.latin1Slice(start, end) + known.parts[0]!.latin1Slice());
    }
    this.#counts(m, out);
    this.#endMessage(out);
  }

  #response(
    m: Redacted<Message>,
    connection: ConnectionText,
    interim: readonly RedactedInterim[],
    from: number,
    out: LineBuffer,
  ): void {
    const { status, reason, fields } = m;
    const slot = status & (STATUSES_KEPT - 1);
    const kept = this.#statuses[slot];
    if (kept !== undefined && kept.status === status && kept.reason === reason) out.append(kept.bytes);
    else {
      const start = out.length;
      out.text(`,"response":{"status":${status},"reason":"`);
      this.#text(reason, ':reason', out);
      out.text('","headers":[');
      if (this.#opaque.length === 0) {
        const bytes = latin1Bytes(out.bytes.latin1Slice(start, out.length));
        this.#statuses[slot] = { status, reason, bytes };
      }
    }
    const known = this.#known(fields, connection.response);
    connection.response = known;
    this.#fields(fields, known, out);
    this.#counts(m, out);
    if (interim.length === 0) out.append(PART.noInterim);
    else {
      out.text(',"interim":[');
      for (let i = 0; i < interim.length; i++) {
        if (i > 0) out.text(',');
        this.#interim(interim[i]!, from, out);
      }
      out.text(']');
    }
    this.#endMessage(out);
  }

  /** Behind the headers: trailers and sizes. */
  #counts(m: Redacted<Message>, out: LineBuffer): void {
    const trailers = m.trailers;
    if (trailers === null) out.append(PART.noTrailers);
    else {
      out.text('],"trailers":[');
      this.#fields(trailers, this.#known(trailers, null), out);
      out.text('],"head_bytes":');
    }
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
    out.byte(CLOSING);
  }

  /** Appends `latin1` as the inside of a JSON string; what is not UTF-8 is put down under `label`. */
  #text(latin1: string, label: string, out: LineBuffer): void {
    if (out.json(latin1)) return;
    if (isOpaque(latin1)) this.#opaque.push(label);
    out.text(wireJson(latin1));
  }

  /** What is remembered of these lines: `last` when they are the same again. */
  #known(fields: Redacted<FieldBlock>, last: BlockText | null): BlockText | null {
    return last?.matches(fields) ? last : this.#blocks.find(fields);
  }

  /** The pairs, with commas between them. */
  #fields(fields: Redacted<FieldBlock>, known: BlockText | null, out: LineBuffer): void {
    if (known?.parts) {
      out.append(known.parts[0]!);
      this.#varying(fields, known, out);
    } else this.#eachField(fields, known, out);
  }

  /** The varying values of lines with text, and what stands behind each. */
  #varying(fields: Redacted<FieldBlock>, known: BlockText, out: LineBuffer): void {
    const { parts, varying } = known;
    for (let v = 0; v < varying.length; v++) {
      this.#value(fields, varying[v]!, out);
      out.append(parts![v + 1]!);
    }
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
      parts.push(latin1Bytes(part + out.bytes.latin1Slice(start, value)));
      varying.push(i);
      part = '"]';
    }
    // An opaque name or shared value has to be listed each time, so it is looked at each time.
    if (block === null || this.#opaque.length - opaque > opaqueValues) return;
    parts.push(latin1Bytes(part));
    block.keep(parts, varying);
  }

  /** Appends the value of line i, which is not shared. */
  #value(fields: Redacted<FieldBlock>, i: number, out: LineBuffer): void {
    out.reserve(fields.length(i));
    const end = fields.plain(i, out.bytes, out.length);
    if (end >= 0) {
      out.length = end;
      return;
    }
    const credential = fields.credential(i);
    if (credential !== null) out.append(credential);
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

const SLASH = 0x2f;
const CLOSING = 0x7d;
/** `[`: nothing stands in the list yet. A pair always ends in `]`. */
const OPENING = 0x5b;

/** Whether all requests with these lines name the same host. */
function sameHost(fields: Redacted<FieldBlock>): boolean {
  const host = fields.find('host');
  return host < 0 || fields.shared(host);
}

function since(at: number, from: number, out: LineBuffer): void {
  if (at === UNSEEN || from === UNSEEN) out.append(PART.nothing);
  else out.integer(at - from);
}
