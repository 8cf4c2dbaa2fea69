/** The calls of a segment as columns: what `calls.parquet` holds. docs/store.md explains them. */
import { UNSEEN } from '../base/clock.ts';
import { anomalyNames } from '../model/message.ts';
import type { ByteValues } from './parquet/byte-values.ts';
import { type Column, INT32, INT64, NumberColumn, TextColumn, TextsColumn, WordColumn } from './parquet/columns.ts';
import { CALL, CONTEXT_WORDS, HAS_REQUEST, HAS_RESPONSE } from './record.ts';

const NOTHING = new Uint8Array(0);

/** What the calls of a connection share. */
export interface Context {
  /** In the order of a CONTEXT record: see record.ts. */
  readonly words: readonly number[];
  /** -1: not known. */
  readonly pid: number;
  /** The TLS handshake resumed a session; null: not known, or no TLS. */
  readonly resumed: boolean | null;
}
const NO_CONTEXT: Context = { words: new Array(CONTEXT_WORDS).fill(0), pid: -1, resumed: null };

export class CallColumns {
  readonly #sequence = new NumberColumn('sequence', INT64);
  readonly #ts = new NumberColumn('ts', INT64, true, 'timestamp_ns');
  readonly #lastRequest = new NumberColumn('last_request_ns', INT64, true);
  readonly #firstResponse = new NumberColumn('first_response_ns', INT64, true);
  readonly #lastResponse = new NumberColumn('last_response_ns', INT64, true);
  readonly #started = new NumberColumn('first_request_ns', INT64, true);
  readonly #run: WordColumn;
  readonly #connection = new NumberColumn('connection', INT64);
  readonly #ordinal = new NumberColumn('ordinal', INT32);
  readonly #protocol: WordColumn;
  readonly #upgrade: WordColumn;
  readonly #stream = new NumberColumn('stream_id', INT64);
  readonly #side: WordColumn;
  readonly #service: WordColumn;
  readonly #pid = new NumberColumn('process_pid', INT32, true);
  readonly #process: WordColumn;
  readonly #cgroup: WordColumn;
  readonly #container: WordColumn;
  readonly #evidence: WordColumn;
  readonly #client: WordColumn;
  readonly #clientPort = new NumberColumn('client_port', INT32);
  readonly #server: WordColumn;
  readonly #serverPort = new NumberColumn('server_port', INT32);
  readonly #route: WordColumn;
  readonly #method: WordColumn;
  readonly #target = new TextColumn('target');
  readonly #scheme: WordColumn;
  readonly #authority: WordColumn;
  readonly #status = new NumberColumn('status', INT32, true);
  readonly #reason: WordColumn;
  readonly #outcome: WordColumn;
  readonly #inFlight = new NumberColumn('in_flight', INT64);
  readonly #requestHead = new NumberColumn('request_head_bytes', INT64);
  readonly #requestBody = new NumberColumn('request_body_bytes', INT64);
  readonly #responseHead = new NumberColumn('response_head_bytes', INT64);
  readonly #responseBody = new NumberColumn('response_body_bytes', INT64);
  readonly #requestHeaders: WordColumn;
  readonly #requestValues = new TextsColumn('request_values');
  readonly #responseHeaders: WordColumn;
  readonly #responseValues = new TextsColumn('response_values');
  readonly #anomalies = new TextColumn('anomalies');
  readonly #losses = new TextColumn('losses');
  readonly #extra = new TextColumn('extra');
  readonly #tlsVersion: WordColumn;
  readonly #tlsCipher: WordColumn;
  readonly #tlsSni: WordColumn;
  readonly #tlsAlpn: WordColumn;
  readonly #tlsJa4: WordColumn;
  readonly #tlsResumed = new NumberColumn('tls_resumed', INT32, true);
  readonly all: readonly Column[];

  /** `text`: bytes of a word of the segment. */
  constructor(text: (word: number) => Uint8Array) {
    this.#run = new WordColumn('run', text);
    this.#protocol = new WordColumn('protocol', text);
    this.#upgrade = new WordColumn('upgrade', text);
    this.#side = new WordColumn('side', text);
    this.#service = new WordColumn('service', text);
    this.#process = new WordColumn('process_name', text);
    this.#cgroup = new WordColumn('process_cgroup', text);
    this.#container = new WordColumn('process_container', text);
    this.#evidence = new WordColumn('process_evidence', text);
    this.#client = new WordColumn('client_address', text);
    this.#server = new WordColumn('server_address', text);
    this.#route = new WordColumn('route', text);
    this.#method = new WordColumn('method', text, true);
    this.#scheme = new WordColumn('scheme', text);
    this.#authority = new WordColumn('authority', text);
    this.#reason = new WordColumn('reason', text);
    this.#outcome = new WordColumn('outcome', text);
    this.#requestHeaders = new WordColumn('request_headers', text, true);
    this.#responseHeaders = new WordColumn('response_headers', text, true);
    this.#tlsVersion = new WordColumn('tls_version', text, true);
    this.#tlsCipher = new WordColumn('tls_cipher', text, true);
    this.#tlsSni = new WordColumn('tls_sni', text, true);
    this.#tlsAlpn = new WordColumn('tls_alpn', text, true);
    this.#tlsJa4 = new WordColumn('tls_ja4', text, true);
    this.all = [
      this.#sequence,
      this.#ts,
      this.#run,
      this.#connection,
      this.#ordinal,
      this.#protocol,
      this.#upgrade,
      this.#stream,
      this.#side,
      this.#service,
      this.#pid,
      this.#process,
      this.#cgroup,
      this.#container,
      this.#evidence,
      this.#client,
      this.#clientPort,
      this.#server,
      this.#serverPort,
      this.#route,
      this.#method,
      this.#target,
      this.#scheme,
      this.#authority,
      this.#status,
      this.#reason,
      this.#outcome,
      this.#started,
      this.#lastRequest,
      this.#firstResponse,
      this.#lastResponse,
      this.#inFlight,
      this.#requestHead,
      this.#requestBody,
      this.#responseHead,
      this.#responseBody,
      this.#requestHeaders,
      this.#requestValues,
      this.#responseHeaders,
      this.#responseValues,
      this.#anomalies,
      this.#losses,
      this.#extra,
      this.#tlsVersion,
      this.#tlsCipher,
      this.#tlsSni,
      this.#tlsAlpn,
      this.#tlsJa4,
      this.#tlsResumed,
    ];
  }

  get rows(): number {
    return this.#sequence.rows;
  }

  get targets(): ByteValues {
    return this.#target.values;
  }

  /** Header blocks of all calls: the lines that they share, and each call's own values. */
  get headers(): readonly { part: 'request' | 'response'; shapes: readonly Uint8Array[]; own: ByteValues }[] {
    return [
      { part: 'request', shapes: this.#requestHeaders.texts, own: this.#requestValues.values },
      { part: 'response', shapes: this.#responseHeaders.texts, own: this.#responseValues.values },
    ];
  }

  /** Unix time in ns that the times of records count from. */
  set anchor(wallNs: bigint) {
    this.#ts.base = wallNs;
  }

  clear(): void {
    for (const column of this.all) column.clear();
  }

  /** Takes the CALL record at `at`; returns where the next record begins. */
  push(view: DataView, buf: Buffer, at: number, contexts: readonly Context[]): number {
    const u32 = (offset: number): number => view.getUint32(at + offset, true);
    const f64 = (offset: number): number => view.getFloat64(at + offset, true);
    const flags = view.getUint8(at + CALL.FLAGS);
    this.#sequence.push(f64(CALL.SEQUENCE));
    const t0 = f64(CALL.T0);
    const t1 = f64(CALL.T1);
    const t2 = f64(CALL.T2);
    const t3 = f64(CALL.T3);
    const from = t0 !== UNSEEN ? t0 : t1 !== UNSEEN ? t1 : t2 !== UNSEEN ? t2 : t3;
    if (from === UNSEEN) this.#ts.pushNull();
    else this.#ts.push(from);
    since(this.#started, t0, from);
    since(this.#lastRequest, t1, from);
    since(this.#firstResponse, t2, from);
    since(this.#lastResponse, t3, from);
    this.#connection.push(f64(CALL.CONNECTION));
    this.#ordinal.push(u32(CALL.ORDINAL));
    const context = contexts[u32(CALL.CONTEXT)] ?? NO_CONTEXT;
    this.#run.push(context.words[0]!);
    this.#side.push(context.words[1]!);
    this.#service.push(context.words[2]!);
    this.#process.push(context.words[3]!);
    this.#cgroup.push(context.words[4]!);
    this.#container.push(context.words[5]!);
    this.#evidence.push(context.words[6]!);
    if (context.pid < 0) this.#pid.pushNull();
    else this.#pid.push(context.pid);
    this.#tlsVersion.push(context.words[7]!);
    this.#tlsCipher.push(context.words[8]!);
    this.#tlsSni.push(context.words[9]!);
    this.#tlsAlpn.push(context.words[10]!);
    this.#tlsJa4.push(context.words[11]!);
    if (context.resumed === null) this.#tlsResumed.pushNull();
    else this.#tlsResumed.push(context.resumed ? 1 : 0);
    this.#client.push(u32(CALL.CLIENT));
    this.#server.push(u32(CALL.SERVER));
    this.#clientPort.push(view.getUint16(at + CALL.CLIENT_PORT, true));
    this.#serverPort.push(view.getUint16(at + CALL.SERVER_PORT, true));
    this.#protocol.push(u32(CALL.PROTOCOL));
    this.#upgrade.push(u32(CALL.UPGRADE));
    this.#stream.push(u32(CALL.STREAM));
    this.#method.push(u32(CALL.METHOD));
    this.#scheme.push(u32(CALL.SCHEME));
    this.#authority.push(u32(CALL.AUTHORITY));
    this.#route.push(u32(CALL.ROUTE));
    this.#reason.push(u32(CALL.REASON));
    this.#outcome.push(u32(CALL.OUTCOME));
    if ((flags & HAS_RESPONSE) === 0) this.#status.pushNull();
    else this.#status.push(view.getUint16(at + CALL.STATUS, true));
    this.#inFlight.push(u32(CALL.IN_FLIGHT));
    this.#requestHead.push(u32(CALL.REQUEST_HEAD));
    this.#responseHead.push(u32(CALL.RESPONSE_HEAD));
    this.#requestBody.push(f64(CALL.REQUEST_BODY));
    this.#responseBody.push(f64(CALL.RESPONSE_BODY));
    this.#requestHeaders.push((flags & HAS_REQUEST) === 0 ? 0 : u32(CALL.REQUEST_SHAPE));
    this.#responseHeaders.push((flags & HAS_RESPONSE) === 0 ? 0 : u32(CALL.RESPONSE_SHAPE));
    const anomalies = u32(CALL.ANOMALIES);
    const named = anomalies === 0 ? NOTHING : Buffer.from(JSON.stringify(anomalyNames(anomalies)));
    this.#anomalies.push(named, 0, named.length);
    const targetBytes = u32(CALL.TEXTS);
    const extraBytes = u32(CALL.TEXTS + 4);
    const lossBytes = u32(CALL.TEXTS + 8);
    let next = at + CALL.FIXED_BYTES;
    this.#target.push(buf, next, targetBytes);
    next += targetBytes;
    next = values(this.#requestValues, u32(CALL.TEXTS + 12), view, buf, next);
    next = values(this.#responseValues, u32(CALL.TEXTS + 16), view, buf, next);
    this.#extra.push(buf, next, extraBytes);
    next += extraBytes;
    this.#losses.push(buf, next, lossBytes);
    return next + lossBytes;
  }
}

function since(column: NumberColumn, at: number, from: number): void {
  if (at === UNSEEN || from === UNSEEN) column.pushNull();
  else column.push(at - from);
}

function values(column: TextsColumn, count: number, view: DataView, buf: Buffer, at: number): number {
  column.row(count);
  let next = at;
  for (let i = 0; i < count; i++) {
    const length = view.getUint32(next, true);
    column.push(buf, next + 4, length);
    next += 4 + length;
  }
  return next;
}
