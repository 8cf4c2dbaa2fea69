/** One call as a record of the segment: docs/store.md has the columns, record.ts the bytes. Runs in the thread that parses. */
import { UNSEEN } from '../base/clock.ts';
import { grpcRecord, streamRecord } from '../export/log/facts.ts';
import { isOpaque } from '../export/log/json.ts';
import { sessionFacts } from '../export/log/websocket.ts';
import { schemeAndAuthority } from '../export/target.ts';
import type { Connection, ProcessInfo } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import type { FieldBlock } from '../model/fields.ts';
import type { Message } from '../model/message.ts';
import type { TlsFacts } from '../model/tls.ts';
import type { WebSocketSession } from '../model/websocket.ts';
import type { Redacted } from '../redact/redacted.ts';
import { CALL, HAS_REQUEST, HAS_RESPONSE, KIND_CALL, KIND_CONTEXT, KIND_SESSION } from './record.ts';
import { RecordBuffer } from './record-buffer.ts';
import { Shapes } from './shapes.ts';
import { NOT_ASCII, shown, Words } from './words.ts';

/** Connections whose words are remembered: a direct-mapped table. */
const CONNECTIONS_KEPT = 1_024;

/** What the calls of a connection share, as words of a segment, and what it was made from. */
interface ConnectionWords {
  readonly segment: number;
  readonly connection: Connection;
  readonly process: ProcessInfo | null;
  readonly service: string;
  readonly side: string;
  readonly clientDirection: number;
  /** The last thing to be known of a TLS handshake. */
  readonly alpn: string;
  readonly context: number;
  readonly client: number;
  readonly server: number;
}

const pairs = (fields: Redacted<FieldBlock>): [string, string][] =>
  Array.from({ length: fields.count }, (_, i) => [shown(fields.raw(i)), shown(fields.value(i))]);

/** Remembers the last text of a field: most calls repeat it, and comparing costs less than looking it up. */
class Last {
  notAscii = false;
  #text = '';
  #word = 0;

  reset(): void {
    this.notAscii = false;
    this.#text = '';
    this.#word = 0;
  }

  wire(text: string, words: Words): number {
    if (text !== this.#text) {
      this.#word = words.wire(text);
      this.notAscii = NOT_ASCII.test(text);
      this.#text = text;
    }
    return this.#word;
  }
}

export class CallEncoder {
  readonly words = new Words();
  /** The last call, encoded. */
  readonly row = new RecordBuffer(1 << 16);
  readonly #run: string;
  readonly #shapes = new Shapes(this.words);
  readonly #connections: (ConnectionWords | undefined)[] = new Array(CONNECTIONS_KEPT);
  readonly #contexts = new Map<string, number>();
  readonly #method = new Last();
  readonly #scheme = new Last();
  readonly #authority = new Last();
  readonly #route = new Last();
  readonly #reason = new Last();
  readonly #protocol = new Last();
  readonly #outcome = new Last();
  readonly #lasts = [
    this.#method,
    this.#scheme,
    this.#authority,
    this.#route,
    this.#reason,
    this.#protocol,
    this.#outcome,
  ];
  #segment = 0;
  /** Something of the call at hand is not ASCII, so perhaps not UTF-8. */
  #notAscii = false;

  /** `run`: first part of the ids of this run's calls. */
  constructor(run: string) {
    this.#run = run;
  }

  /** Another segment begins: it knows no words. */
  reset(): void {
    this.#segment++;
    this.words.reset();
    this.#shapes.reset();
    this.#contexts.clear();
    for (const last of this.#lasts) last.reset();
  }

  /** Encodes `x` into `row`; what it needs defined stands in `words.pending`. `sequence` numbers the calls of a data folder. */
  encode(x: Redacted<Exchange>, sequence: number): void {
    const { words, row } = this;
    const { request, response, connection } = x;
    const requestShape = request === null ? null : this.#shapes.of(request.fields);
    const responseShape = response === null ? null : this.#shapes.of(response.fields);
    const shared = this.#connection(connection);
    row.length = 0;
    row.reserve(CALL.FIXED_BYTES);
    const { view } = row.memory;
    view.setUint8(0, KIND_CALL);
    view.setUint8(CALL.FLAGS, (request === null ? 0 : HAS_REQUEST) | (response === null ? 0 : HAS_RESPONSE));
    view.setUint16(CALL.STATUS, response?.status ?? 0, true);
    view.setFloat64(CALL.T0, request?.firstByteAt ?? UNSEEN, true);
    view.setFloat64(CALL.T1, request?.lastByteAt ?? UNSEEN, true);
    view.setFloat64(CALL.T2, response?.firstByteAt ?? UNSEEN, true);
    view.setFloat64(CALL.T3, response?.lastByteAt ?? UNSEEN, true);
    view.setFloat64(CALL.CONNECTION, connection.id, true);
    view.setUint32(CALL.ORDINAL, x.ordinal, true);
    view.setUint32(CALL.CONTEXT, shared.context, true);
    view.setUint32(CALL.CLIENT, shared.client, true);
    view.setUint32(CALL.SERVER, shared.server, true);
    view.setUint16(CALL.CLIENT_PORT, connection.client.port, true);
    view.setUint16(CALL.SERVER_PORT, connection.server.port, true);
    view.setUint32(CALL.PROTOCOL, this.#protocol.wire(x.protocol, words), true);
    view.setUint32(CALL.UPGRADE, words.wire(x.upgrade), true);
    view.setUint32(CALL.STREAM, request?.streamId || response?.streamId || 0, true);
    view.setUint32(CALL.ROUTE, this.#route.wire(x.route, words), true);
    view.setUint32(CALL.OUTCOME, this.#outcome.wire(x.outcome, words), true);
    view.setUint32(CALL.IN_FLIGHT, x.inFlight, true);
    view.setUint32(CALL.ANOMALIES, x.anomalies, true);
    let target = '';
    if (request !== null) {
      target = request.target;
      const { scheme, authority } = schemeAndAuthority(request);
      view.setUint32(CALL.METHOD, this.#method.wire(request.method, words), true);
      view.setUint32(CALL.SCHEME, this.#scheme.wire(scheme, words), true);
      view.setUint32(CALL.AUTHORITY, this.#authority.wire(authority, words), true);
      view.setUint32(CALL.REQUEST_HEAD, request.headBytes, true);
      view.setFloat64(CALL.REQUEST_BODY, request.bodyBytes, true);
    } else {
      view.setUint32(CALL.METHOD, 0, true);
      view.setUint32(CALL.SCHEME, 0, true);
      view.setUint32(CALL.AUTHORITY, 0, true);
      view.setUint32(CALL.REQUEST_HEAD, 0, true);
      view.setFloat64(CALL.REQUEST_BODY, 0, true);
    }
    view.setUint32(CALL.REASON, response === null ? 0 : this.#reason.wire(response.reason, words), true);
    view.setUint32(CALL.RESPONSE_HEAD, response?.headBytes ?? 0, true);
    view.setFloat64(CALL.RESPONSE_BODY, response?.bodyBytes ?? 0, true);
    view.setUint32(CALL.REQUEST_SHAPE, requestShape?.word ?? 0, true);
    view.setUint32(CALL.RESPONSE_SHAPE, responseShape?.word ?? 0, true);
    view.setFloat64(CALL.SEQUENCE, sequence, true);
    row.length = CALL.FIXED_BYTES;
    this.#notAscii =
      this.#method.notAscii || this.#authority.notAscii || this.#reason.notAscii || NOT_ASCII.test(target);
    const targetBytes = row.text(shown(target));
    if (request !== null) this.#values(request.fields, requestShape!.varying);
    if (response !== null) this.#values(response.fields, responseShape!.varying);
    const rare =
      this.#notAscii ||
      x.grpc !== null ||
      x.stream !== null ||
      x.interim.length > 0 ||
      (request !== null && (request.trailers !== null || requestShape!.notAscii)) ||
      (response !== null && (response.trailers !== null || responseShape!.notAscii));
    const extra = rare ? extraOf(x, request, response) : '';
    const extraBytes = extra === '' ? 0 : row.text(extra);
    const lossBytes = x.losses.length === 0 ? 0 : row.text(JSON.stringify(x.losses));
    // The row may have moved while it grew.
    const texts = row.memory.view;
    texts.setUint32(CALL.TEXTS, targetBytes, true);
    texts.setUint32(CALL.TEXTS + 4, extraBytes, true);
    texts.setUint32(CALL.TEXTS + 8, lossBytes, true);
    texts.setUint32(CALL.TEXTS + 12, requestShape?.varying.length ?? 0, true);
    texts.setUint32(CALL.TEXTS + 16, responseShape?.varying.length ?? 0, true);
  }

  /** Encodes a WebSocket that has ended into `row`, as `encode` does with a call. */
  session(session: WebSocketSession): void {
    const { connection, ordinal, beganAt } = session;
    const { row } = this;
    const { context } = this.#connection(connection);
    row.length = 0;
    row.u8(KIND_SESSION);
    row.f64(connection.id);
    row.u32(ordinal);
    row.u32(context);
    row.f64(beganAt);
    row.counted(JSON.stringify(sessionFacts(session)));
  }

  /** Appends the values of these lines, each behind its length. */
  #values(fields: Redacted<FieldBlock>, varying: readonly number[]): void {
    const { row } = this;
    for (let v = 0; v < varying.length; v++) {
      const i = varying[v]!;
      if (!fields.shared(i)) {
        row.reserve(4 + fields.length(i));
        const at = row.length + 4;
        const end = fields.plain(i, row.memory.buf, at);
        if (end >= 0) {
          row.memory.view.setUint32(row.length, end - at, true);
          row.length = end;
          continue;
        }
      }
      const value = fields.value(i);
      if (NOT_ASCII.test(value)) this.#notAscii = true;
      row.counted(shown(value));
    }
  }

  #connection(connection: Connection): ConnectionWords {
    const slot = connection.id & (CONNECTIONS_KEPT - 1);
    const kept = this.#connections[slot];
    const { process, service, side, clientDirection, tls } = connection;
    const same =
      kept !== undefined &&
      kept.segment === this.#segment &&
      kept.connection === connection &&
      kept.process === process &&
      kept.service === service &&
      kept.side === side &&
      kept.clientDirection === clientDirection &&
      (tls === null || kept.alpn === tls.alpn);
    if (same) return kept;
    const { words } = this;
    const made: ConnectionWords = {
      segment: this.#segment,
      connection,
      process,
      service,
      side,
      clientDirection,
      alpn: tls?.alpn ?? '',
      context: this.#context(side, service, process, tls),
      client: words.text(connection.client.address),
      server: words.text(connection.server.address),
    };
    this.#connections[slot] = made;
    return made;
  }

  #context(side: string, service: string, process: ProcessInfo | null, tls: TlsFacts | null): number {
    const p =
      process === null
        ? ['', '', '', '']
        : [process.name, process.cgroup, process.container ?? '', process.evidence as string];
    const t = tls === null ? ['', '', '', '', ''] : [tls.version, tls.cipher, shown(tls.sni), shown(tls.alpn), tls.ja4];
    const resumed = tls === null || tls.resumed === null ? 0 : tls.resumed ? 2 : 1;
    const key = JSON.stringify([side, service, process?.pid ?? -1, ...p, ...t, resumed]);
    const known = this.#contexts.get(key);
    if (known !== undefined) return known;
    const { words } = this;
    const ids = [this.#run, side, service, ...p, ...t].map((text) => words.text(text));
    const id = this.#contexts.size;
    this.#contexts.set(key, id);
    words.bytes += key.length;
    const { pending } = words;
    pending.u8(KIND_CONTEXT);
    pending.u32(id);
    for (const word of ids) pending.u32(word);
    pending.u32(process === null ? 0 : process.pid + 1);
    pending.u8(resumed);
    return id;
  }
}

/** Names of what is not UTF-8 in a message, as the header log lists them. */
function opaqueNames(x: Redacted<Exchange>, m: Redacted<Message>, part: 'request' | 'response'): string[] {
  const names = new Set<string>();
  const look = (text: string, label: string): void => {
    if (isOpaque(text)) names.add(shown(label));
  };
  const lookAll = (fields: Redacted<FieldBlock>): void => {
    for (let i = 0; i < fields.count; i++) {
      look(fields.raw(i), fields.lower(i));
      look(fields.value(i), fields.lower(i));
    }
  };
  if (part === 'request') {
    look(m.method, ':method');
    look(m.target, ':target');
    look(schemeAndAuthority(m).authority, ':authority');
  } else look(m.reason, ':reason');
  lookAll(m.fields);
  if (m.trailers !== null) lookAll(m.trailers);
  if (part === 'response') {
    for (const interim of x.interim) {
      for (const [name, value] of interim.fields) {
        look(name, name.toLowerCase());
        look(value, name.toLowerCase());
      }
    }
  }
  return [...names];
}

/** What few calls have, as JSON; "": nothing. */
function extraOf(x: Redacted<Exchange>, request: Redacted<Message> | null, response: Redacted<Message> | null): string {
  const requestOpaque = request === null ? [] : opaqueNames(x, request, 'request');
  const responseOpaque = response === null ? [] : opaqueNames(x, response, 'response');
  const requestTrailers = request?.trailers == null ? [] : pairs(request.trailers);
  const responseTrailers = response?.trailers == null ? [] : pairs(response.trailers);
  const { interim } = x;
  const times = [request?.firstByteAt, request?.lastByteAt, response?.firstByteAt, response?.lastByteAt];
  const from = times.find((at) => at !== undefined && at !== UNSEEN) ?? UNSEEN;
  const extra = {
    ...(x.grpc === null ? {} : { grpc: grpcRecord(x.grpc) }),
    ...(x.stream === null ? {} : { stream: streamRecord(x.stream, from) }),
    ...(requestTrailers.length === 0 ? {} : { request_trailers: requestTrailers }),
    ...(responseTrailers.length === 0 ? {} : { response_trailers: responseTrailers }),
    ...(requestOpaque.length === 0 ? {} : { request_opaque: requestOpaque }),
    ...(responseOpaque.length === 0 ? {} : { response_opaque: responseOpaque }),
    ...(interim.length === 0
      ? {}
      : {
          // Times count from the call's own `ts`.
          interim: interim.map(({ status, at, fields }) => ({
            status,
            at_ns: at === UNSEEN || from === UNSEEN ? null : at - from,
            headers: fields.map(([name, value]) => [shown(name), shown(value)]),
          })),
        }),
  };
  return Object.keys(extra).length === 0 ? '' : JSON.stringify(extra);
}
