/** The calls of a segment as columns: what `calls.parquet` holds. docs/store.md explains them. */
import { UNSEEN } from '../base/clock.ts';
import { anomalyNames } from '../model/message.ts';
import type { ByteValues } from './parquet/byte-values.ts';
import { type Column, INT32, INT64, NumberColumn, TextColumn } from './parquet/columns.ts';
import { TextsColumn } from './parquet/list-column.ts';
import { TupleNumbers, TupleWords } from './parquet/tuple-columns.ts';
import { Tuples } from './parquet/tuples.ts';
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

/** Words of a CALL that most calls of a connection have in common; the number of the connection is one of 64 bits. */
const PEERS = [CALL.CONTEXT, CALL.CLIENT, CALL.SERVER, CALL.CLIENT_PORT, CALL.CONNECTION, CALL.CONNECTION + 4];
const PEER = { CONTEXT: 0, CLIENT: 1, SERVER: 2, PORTS: 3, CONNECTION: 4 } as const;
/** And those that many calls of a route have in common. Kind, flags and status are one word. */
const KINDS = [
  0,
  CALL.PROTOCOL,
  CALL.UPGRADE,
  CALL.METHOD,
  CALL.SCHEME,
  CALL.AUTHORITY,
  CALL.ROUTE,
  CALL.REASON,
  CALL.OUTCOME,
  CALL.REQUEST_SHAPE,
  CALL.RESPONSE_SHAPE,
];
const KIND = {
  FLAGS: 0,
  PROTOCOL: 1,
  UPGRADE: 2,
  METHOD: 3,
  SCHEME: 4,
  AUTHORITY: 5,
  ROUTE: 6,
  REASON: 7,
  OUTCOME: 8,
  REQUEST_SHAPE: 9,
  RESPONSE_SHAPE: 10,
} as const;
/** Of the word FLAGS. */
const flagsOf = (word: number): number => (word >>> 8) & 0xff;
const statusOf = (word: number): number => word >>> 16;
/** Of the word PORTS: the client's comes first. */
const clientPortOf = (word: number): number => word & 0xffff;
const serverPortOf = (word: number): number => word >>> 16;

export class CallColumns {
  readonly #sequence = new NumberColumn('sequence', INT64);
  readonly #ts = new NumberColumn('ts', INT64, true, 'timestamp_ns');
  readonly #lastRequest = new NumberColumn('last_request_ns', INT64, true);
  readonly #firstResponse = new NumberColumn('first_response_ns', INT64, true);
  readonly #lastResponse = new NumberColumn('last_response_ns', INT64, true);
  readonly #started = new NumberColumn('first_request_ns', INT64, true);
  readonly #run: TupleWords;
  readonly #connection: TupleNumbers;
  readonly #ordinal = new NumberColumn('ordinal', INT32);
  readonly #protocol: TupleWords;
  readonly #upgrade: TupleWords;
  readonly #stream = new NumberColumn('stream_id', INT64);
  readonly #side: TupleWords;
  readonly #service: TupleWords;
  readonly #pid: TupleNumbers;
  readonly #process: TupleWords;
  readonly #cgroup: TupleWords;
  readonly #container: TupleWords;
  readonly #evidence: TupleWords;
  readonly #client: TupleWords;
  readonly #clientPort: TupleNumbers;
  readonly #server: TupleWords;
  readonly #serverPort: TupleNumbers;
  readonly #route: TupleWords;
  readonly #method: TupleWords;
  readonly #target = new TextColumn('target');
  readonly #scheme: TupleWords;
  readonly #authority: TupleWords;
  readonly #status: TupleNumbers;
  readonly #reason: TupleWords;
  readonly #outcome: TupleWords;
  readonly #inFlight = new NumberColumn('in_flight', INT64);
  readonly #requestHead = new NumberColumn('request_head_bytes', INT64);
  readonly #requestBody = new NumberColumn('request_body_bytes', INT64);
  readonly #responseHead = new NumberColumn('response_head_bytes', INT64);
  readonly #responseBody = new NumberColumn('response_body_bytes', INT64);
  readonly #requestHeaders: TupleWords;
  readonly #requestValues = new TextsColumn('request_values');
  readonly #responseHeaders: TupleWords;
  readonly #responseValues = new TextsColumn('response_values');
  readonly #anomalies = new TextColumn('anomalies');
  readonly #losses = new TextColumn('losses');
  readonly #extra = new TextColumn('extra');
  readonly #tlsVersion: TupleWords;
  readonly #tlsCipher: TupleWords;
  readonly #tlsSni: TupleWords;
  readonly #tlsAlpn: TupleWords;
  readonly #tlsJa4: TupleWords;
  readonly #tlsResumed: TupleNumbers;
  readonly all: readonly Column[];

  readonly #peers = new Tuples(PEERS);
  readonly #kinds = new Tuples(KINDS);
  readonly #double = new DataView(new ArrayBuffer(8));

  /** `text`: bytes of a word of the segment; `contexts`: of the segment, by number. */
  constructor(text: (word: number) => Uint8Array, contexts: readonly Context[]) {
    const peers = this.#peers;
    const kinds = this.#kinds;
    const context = (tuple: number): Context => contexts[peers.word(tuple, PEER.CONTEXT)] ?? NO_CONTEXT;
    const shared = (name: string, place: number, optional = false): TupleWords =>
      new TupleWords(name, peers, (tuple) => context(tuple).words[place]!, text, optional);
    const peer = (name: string, place: number): TupleWords =>
      new TupleWords(name, peers, (tuple) => peers.word(tuple, place), text);
    const kind = (name: string, place: number, optional = false): TupleWords =>
      new TupleWords(name, kinds, (tuple) => kinds.word(tuple, place), text, optional);
    const flags = (tuple: number): number => kinds.word(tuple, KIND.FLAGS);
    const shape = (name: string, place: number, wanted: number): TupleWords => {
      const word = (tuple: number): number => ((flagsOf(flags(tuple)) & wanted) === 0 ? 0 : kinds.word(tuple, place));
      return new TupleWords(name, kinds, word, text, true);
    };
    this.#run = shared('run', 0);
    this.#side = shared('side', 1);
    this.#service = shared('service', 2);
    this.#process = shared('process_name', 3);
    this.#cgroup = shared('process_cgroup', 4);
    this.#container = shared('process_container', 5);
    this.#evidence = shared('process_evidence', 6);
    this.#tlsVersion = shared('tls_version', 7, true);
    this.#tlsCipher = shared('tls_cipher', 8, true);
    this.#tlsSni = shared('tls_sni', 9, true);
    this.#tlsAlpn = shared('tls_alpn', 10, true);
    this.#tlsJa4 = shared('tls_ja4', 11, true);
    const pid = (tuple: number): number | null => (context(tuple).pid < 0 ? null : context(tuple).pid);
    this.#pid = new TupleNumbers('process_pid', INT32, peers, pid, true);
    const resumed = (tuple: number): number | null => {
      const known = context(tuple).resumed;
      return known === null ? null : known ? 1 : 0;
    };
    this.#tlsResumed = new TupleNumbers('tls_resumed', INT32, peers, resumed, true);
    this.#client = peer('client_address', PEER.CLIENT);
    this.#server = peer('server_address', PEER.SERVER);
    const port = (name: string, of: (word: number) => number): TupleNumbers =>
      new TupleNumbers(name, INT32, peers, (tuple) => of(peers.word(tuple, PEER.PORTS)));
    this.#clientPort = port('client_port', clientPortOf);
    this.#serverPort = port('server_port', serverPortOf);
    const connection = (tuple: number): number => {
      this.#double.setUint32(0, peers.word(tuple, PEER.CONNECTION), true);
      this.#double.setUint32(4, peers.word(tuple, PEER.CONNECTION + 1), true);
      return this.#double.getFloat64(0, true);
    };
    this.#connection = new TupleNumbers('connection', INT64, peers, connection);
    this.#protocol = kind('protocol', KIND.PROTOCOL);
    this.#upgrade = kind('upgrade', KIND.UPGRADE);
    this.#method = kind('method', KIND.METHOD, true);
    this.#scheme = kind('scheme', KIND.SCHEME);
    this.#authority = kind('authority', KIND.AUTHORITY);
    this.#route = kind('route', KIND.ROUTE);
    this.#reason = kind('reason', KIND.REASON);
    this.#outcome = kind('outcome', KIND.OUTCOME);
    const status = (tuple: number): number | null =>
      (flagsOf(flags(tuple)) & HAS_RESPONSE) === 0 ? null : statusOf(flags(tuple));
    this.#status = new TupleNumbers('status', INT32, kinds, status, true);
    this.#requestHeaders = shape('request_headers', KIND.REQUEST_SHAPE, HAS_REQUEST);
    this.#responseHeaders = shape('response_headers', KIND.RESPONSE_SHAPE, HAS_RESPONSE);
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
    this.#peers.clear();
    this.#kinds.clear();
    for (const column of this.all) column.clear();
  }

  /** Takes the CALL record at `at`; returns where the next record begins. */
  push(view: DataView, buf: Buffer, at: number): number {
    const u32 = (offset: number): number => view.getUint32(at + offset, true);
    const f64 = (offset: number): number => view.getFloat64(at + offset, true);
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
    this.#ordinal.push(u32(CALL.ORDINAL));
    this.#peers.push(view, at);
    this.#kinds.push(view, at);
    this.#stream.push(u32(CALL.STREAM));
    this.#inFlight.push(u32(CALL.IN_FLIGHT));
    this.#requestHead.push(u32(CALL.REQUEST_HEAD));
    this.#responseHead.push(u32(CALL.RESPONSE_HEAD));
    this.#requestBody.push(f64(CALL.REQUEST_BODY));
    this.#responseBody.push(f64(CALL.RESPONSE_BODY));
    const anomalies = u32(CALL.ANOMALIES);
    const named = anomalies === 0 ? NOTHING : Buffer.from(JSON.stringify(anomalyNames(anomalies)));
    this.#anomalies.push(named, 0, named.length);
    const targetBytes = u32(CALL.TEXTS);
    const extraBytes = u32(CALL.TEXTS + 4);
    const lossBytes = u32(CALL.TEXTS + 8);
    let next = at + CALL.FIXED_BYTES;
    this.#target.copy(view, next, targetBytes);
    next += targetBytes;
    next = this.#requestValues.copyRow(view, next, u32(CALL.TEXTS + 12));
    next = this.#responseValues.copyRow(view, next, u32(CALL.TEXTS + 16));
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
