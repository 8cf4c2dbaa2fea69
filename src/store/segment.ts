/** A segment's records as columns: what the sealed files hold. Filled batch by batch, or from a log. docs/store.md explains the columns. */
import { UNSEEN } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import { anomalyNames } from '../model/message.ts';
import type { RollupLevel } from './layout.ts';
import type { ByteValues } from './parquet/byte-values.ts';
import { type Column, INT32, INT64, NumberColumn, TextColumn, TextsColumn, WordColumn } from './parquet/columns.ts';
import {
  CALL,
  CONTEXT_BYTES,
  CONTEXT_WORDS,
  HAS_REQUEST,
  HAS_RESPONSE,
  KIND_CALL,
  KIND_CONTEXT,
  KIND_HEADER,
  KIND_LEDGER,
  KIND_STATE,
  KIND_WORD,
} from './record.ts';

const NOTHING = new Uint8Array(0);

/** First record of a segment. */
export interface SegmentHeader {
  /** Unix time in ns that the segment's times count from, as decimal text. */
  readonly anchor: string;
  /** Unix time in ms at which it was begun: names its hour. */
  readonly openedMs: number;
}

/** Which series a state belongs to, and over what time. */
export interface StateKey {
  readonly level: 'minute' | RollupLevel['name'];
  /** Unix time in ms. */
  readonly startMs: number;
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  /** Which statistic: what the merge function goes by. */
  readonly kind: string;
}

interface Context {
  /** run, side, service, process name, cgroup, container, evidence. */
  readonly words: readonly number[];
  /** -1: not known. */
  readonly pid: number;
}
const NO_CONTEXT: Context = { words: new Array(CONTEXT_WORDS).fill(0), pid: -1 };

export class Segment {
  header: SegmentHeader | null = null;
  readonly #words: Uint8Array[] = [NOTHING];
  readonly #contexts: Context[] = [];
  /** Words of `stateEntry`. */
  readonly #entered = new Map<string, number>();
  /** Sequence number of the last call; -1: there was none. */
  lastSequence = -1;

  readonly #word = (id: number): Uint8Array => this.#words[id] ?? NOTHING;
  readonly #sequence = new NumberColumn('sequence', INT64);
  readonly #ts = new NumberColumn('ts', INT64, true, 'timestamp_ns');
  readonly #lastRequest = new NumberColumn('last_request_ns', INT64, true);
  readonly #firstResponse = new NumberColumn('first_response_ns', INT64, true);
  readonly #lastResponse = new NumberColumn('last_response_ns', INT64, true);
  readonly #started = new NumberColumn('first_request_ns', INT64, true);
  readonly #run = new WordColumn('run', this.#word);
  readonly #connection = new NumberColumn('connection', INT64);
  readonly #ordinal = new NumberColumn('ordinal', INT32);
  readonly #protocol = new WordColumn('protocol', this.#word);
  readonly #upgrade = new WordColumn('upgrade', this.#word);
  readonly #stream = new NumberColumn('stream_id', INT64);
  readonly #side = new WordColumn('side', this.#word);
  readonly #service = new WordColumn('service', this.#word);
  readonly #pid = new NumberColumn('process_pid', INT32, true);
  readonly #process = new WordColumn('process_name', this.#word);
  readonly #cgroup = new WordColumn('process_cgroup', this.#word);
  readonly #container = new WordColumn('process_container', this.#word);
  readonly #evidence = new WordColumn('process_evidence', this.#word);
  readonly #client = new WordColumn('client_address', this.#word);
  readonly #clientPort = new NumberColumn('client_port', INT32);
  readonly #server = new WordColumn('server_address', this.#word);
  readonly #serverPort = new NumberColumn('server_port', INT32);
  readonly #route = new WordColumn('route', this.#word);
  readonly #method = new WordColumn('method', this.#word, true);
  readonly #target = new TextColumn('target');
  readonly #scheme = new WordColumn('scheme', this.#word);
  readonly #authority = new WordColumn('authority', this.#word);
  readonly #status = new NumberColumn('status', INT32, true);
  readonly #reason = new WordColumn('reason', this.#word);
  readonly #outcome = new WordColumn('outcome', this.#word);
  readonly #inFlight = new NumberColumn('in_flight', INT64);
  readonly #requestHead = new NumberColumn('request_head_bytes', INT64);
  readonly #requestBody = new NumberColumn('request_body_bytes', INT64);
  readonly #responseHead = new NumberColumn('response_head_bytes', INT64);
  readonly #responseBody = new NumberColumn('response_body_bytes', INT64);
  readonly #requestHeaders = new WordColumn('request_headers', this.#word, true);
  readonly #requestValues = new TextsColumn('request_values');
  readonly #responseHeaders = new WordColumn('response_headers', this.#word, true);
  readonly #responseValues = new TextsColumn('response_values');
  readonly #anomalies = new TextColumn('anomalies');
  readonly #losses = new TextColumn('losses');
  readonly #extra = new TextColumn('extra');
  readonly calls: readonly Column[] = [
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
  ];

  readonly #stateLevel = new WordColumn('level', this.#word);
  readonly #stateStart = new NumberColumn('start', INT64, false, 'timestamp_ms');
  readonly #stateService = new WordColumn('service', this.#word);
  readonly #stateSide = new WordColumn('side', this.#word);
  readonly #stateMethod = new WordColumn('method', this.#word);
  readonly #stateRoute = new WordColumn('route', this.#word);
  readonly #stateKind = new WordColumn('kind', this.#word);
  readonly #state = new TextColumn('state', 'blob');
  readonly states: readonly Column[] = [
    this.#stateStart,
    this.#stateLevel,
    this.#stateService,
    this.#stateSide,
    this.#stateMethod,
    this.#stateRoute,
    this.#stateKind,
    this.#state,
  ];

  readonly #second = new NumberColumn('second', INT64, false, 'timestamp_ms');
  readonly #captured = new NumberColumn('captured', INT64);
  readonly #because = new WordColumn('reason', this.#word);
  readonly #lost = new NumberColumn('lost', INT64);
  readonly #lostBytes = new NumberColumn('lost_bytes', INT64);
  readonly ledger: readonly Column[] = [this.#second, this.#captured, this.#because, this.#lost, this.#lostBytes];

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

  /** Unix ms of the first minute whose state is here; Infinity: there is none. */
  statesFromMs = Number.POSITIVE_INFINITY;

  get empty(): boolean {
    return this.rows === 0 && this.#state.rows === 0 && this.#second.rows === 0;
  }

  clear(): void {
    this.header = null;
    this.lastSequence = -1;
    this.statesFromMs = Number.POSITIVE_INFINITY;
    this.#words.length = 1;
    this.#contexts.length = 0;
    this.#entered.clear();
    for (const column of [...this.calls, ...this.states, ...this.ledger]) column.clear();
  }

  /** A state that is in no log: one that was merged from others. */
  stateEntry(key: StateKey, state: Uint8Array): void {
    const word = (text: string): number => {
      if (text === '') return 0;
      let id = this.#entered.get(text);
      if (id === undefined) {
        id = this.#words.push(Buffer.from(text)) - 1;
        this.#entered.set(text, id);
      }
      return id;
    };
    this.#stateStart.push(key.startMs);
    this.#stateLevel.push(word(key.level));
    this.#stateService.push(word(key.service));
    this.#stateSide.push(word(key.side));
    this.#stateMethod.push(word(key.method));
    this.#stateRoute.push(word(key.route));
    this.#stateKind.push(word(key.kind));
    this.#state.push(state, 0, state.length);
  }

  /** Takes the records in [from, to) of `memory`, which were written whole. False: they are none (a fault of the writer). */
  consume(memory: Memory, from: number, to: number): boolean {
    const { view, buf } = memory;
    let at = from;
    while (at < to) {
      switch (view.getUint8(at)) {
        case KIND_CALL:
          at = this.#call(view, buf, at);
          break;
        case KIND_WORD: {
          const id = view.getUint32(at + 1, true);
          const length = view.getUint32(at + 5, true);
          at += 9;
          // Copied: the batch is used again.
          this.#words[id] = Uint8Array.prototype.slice.call(buf, at, at + length);
          at += length;
          break;
        }
        case KIND_CONTEXT: {
          const id = view.getUint32(at + 1, true);
          const words = Array.from({ length: CONTEXT_WORDS }, (_, i) => view.getUint32(at + 5 + i * 4, true));
          this.#contexts[id] = { words, pid: view.getUint32(at + 5 + CONTEXT_WORDS * 4, true) - 1 };
          at += CONTEXT_BYTES;
          break;
        }
        case KIND_STATE:
          at = this.#stateRow(view, buf, at);
          break;
        case KIND_LEDGER:
          this.#ledgerRow(
            view.getFloat64(at + 1, true),
            view.getFloat64(at + 9, true),
            view.getUint32(at + 17, true),
            view.getFloat64(at + 21, true),
            view.getFloat64(at + 29, true),
          );
          at += 37;
          break;
        case KIND_HEADER: {
          const length = view.getUint32(at + 1, true);
          this.header = JSON.parse(buf.toString('utf8', at + 5, at + 5 + length)) as SegmentHeader;
          this.#ts.base = BigInt(this.header.anchor);
          at += 5 + length;
          break;
        }
        default:
          return false;
      }
    }
    return at === to;
  }

  #ledgerRow(secondMs: number, captured: number, word: number, lost: number, bytes: number): void {
    this.#second.push(secondMs);
    this.#captured.push(captured);
    this.#because.push(word);
    this.#lost.push(lost);
    this.#lostBytes.push(bytes);
  }

  #stateRow(view: DataView, buf: Buffer, at: number): number {
    const startMs = view.getFloat64(at + 1, true);
    this.statesFromMs = Math.min(this.statesFromMs, startMs);
    this.#stateStart.push(startMs);
    this.#stateLevel.push(view.getUint32(at + 9, true));
    this.#stateService.push(view.getUint32(at + 13, true));
    this.#stateSide.push(view.getUint32(at + 17, true));
    this.#stateMethod.push(view.getUint32(at + 21, true));
    this.#stateRoute.push(view.getUint32(at + 25, true));
    this.#stateKind.push(view.getUint32(at + 29, true));
    const length = view.getUint32(at + 33, true);
    this.#state.push(buf, at + 37, length);
    return at + 37 + length;
  }

  #call(view: DataView, buf: Buffer, at: number): number {
    const u32 = (offset: number): number => view.getUint32(at + offset, true);
    const f64 = (offset: number): number => view.getFloat64(at + offset, true);
    const flags = view.getUint8(at + CALL.FLAGS);
    const sequence = f64(CALL.SEQUENCE);
    this.lastSequence = sequence;
    this.#sequence.push(sequence);
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
    const context = this.#contexts[u32(CALL.CONTEXT)] ?? NO_CONTEXT;
    this.#run.push(context.words[0]!);
    this.#side.push(context.words[1]!);
    this.#service.push(context.words[2]!);
    this.#process.push(context.words[3]!);
    this.#cgroup.push(context.words[4]!);
    this.#container.push(context.words[5]!);
    this.#evidence.push(context.words[6]!);
    if (context.pid < 0) this.#pid.pushNull();
    else this.#pid.push(context.pid);
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
