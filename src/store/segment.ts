/** A segment's records as columns: what the sealed files hold. Filled batch by batch, or from a log. docs/store.md explains the columns. */
import { UNSEEN } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import { CallColumns, type Context } from './call-columns.ts';
import type { RollupLevel } from './layout.ts';
import { type Column, INT32, INT64, NumberColumn, TextColumn, WordColumn } from './parquet/columns.ts';
import {
  CONTEXT_WORDS,
  KIND_CALL,
  KIND_CONTEXT,
  KIND_HEADER,
  KIND_LEDGER,
  KIND_OLD_CONTEXT,
  KIND_SESSION,
  KIND_STATE,
  KIND_WORD,
  OLD_CONTEXT_WORDS,
  SESSION_BYTES,
} from './record.ts';
import { SegmentWords } from './segment-words.ts';

/** By the number in a CONTEXT. */
const RESUMED: readonly (boolean | null)[] = [null, false, true];

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

export class Segment {
  header: SegmentHeader | null = null;
  readonly #words = new SegmentWords();
  readonly #contexts: Context[] = [];
  /** Words of `stateEntry`. */
  readonly #entered = new Map<string, number>();

  readonly #word = this.#words.text;
  readonly calls = new CallColumns(this.#word, this.#contexts);

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

  readonly #sessionRun = new WordColumn('run', this.#word);
  readonly #sessionConnection = new NumberColumn('connection', INT64);
  readonly #sessionOrdinal = new NumberColumn('ordinal', INT32);
  readonly #sessionTs = new NumberColumn('ts', INT64, true, 'timestamp_ns');
  readonly #sessionSide = new WordColumn('side', this.#word);
  readonly #sessionService = new WordColumn('service', this.#word);
  readonly #session = new TextColumn('session');
  /** WebSockets that have ended, of calls in this segment or an earlier one. */
  readonly sessions: readonly Column[] = [
    this.#sessionRun,
    this.#sessionConnection,
    this.#sessionOrdinal,
    this.#sessionTs,
    this.#sessionSide,
    this.#sessionService,
    this.#session,
  ];

  get rows(): number {
    return this.calls.rows;
  }

  /** Unix ms of the first minute whose state is here; Infinity: there is none. */
  statesFromMs = Number.POSITIVE_INFINITY;

  get empty(): boolean {
    return [this.calls, this.#state, this.#second, this.#session].every(({ rows }) => rows === 0);
  }

  clear(): void {
    this.header = null;
    this.statesFromMs = Number.POSITIVE_INFINITY;
    this.#words.clear();
    this.#contexts.length = 0;
    this.#entered.clear();
    this.clearRows();
  }

  /** Words and contexts stay: what comes next may name them. */
  clearRows(): void {
    this.calls.clear();
    for (const column of [...this.states, ...this.ledger, ...this.sessions]) column.clear();
  }

  /** A state that is in no log: one that was merged from others. */
  stateEntry(key: StateKey, state: Uint8Array): void {
    const word = (text: string): number => {
      if (text === '') return 0;
      let id = this.#entered.get(text);
      if (id === undefined) {
        const bytes = Buffer.from(text);
        id = this.#words.add(bytes, 0, bytes.length);
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
          at = this.calls.push(view, buf, at);
          break;
        case KIND_WORD: {
          const length = view.getUint32(at + 5, true);
          if (this.#words.add(buf, at + 9, length) !== view.getUint32(at + 1, true)) return false;
          at += 9 + length;
          break;
        }
        case KIND_CONTEXT:
          at = this.#context(view, at, CONTEXT_WORDS);
          break;
        case KIND_OLD_CONTEXT:
          at = this.#context(view, at, OLD_CONTEXT_WORDS);
          break;
        case KIND_SESSION:
          at = this.#sessionRow(view, buf, at);
          break;
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
          this.calls.anchor = BigInt(this.header.anchor);
          this.#sessionTs.base = BigInt(this.header.anchor);
          at += 5 + length;
          break;
        }
        default:
          return false;
      }
    }
    return at === to;
  }

  #context(view: DataView, at: number, words: number): number {
    const id = view.getUint32(at + 1, true);
    const end = at + 5 + words * 4;
    this.#contexts[id] = {
      words: Array.from({ length: CONTEXT_WORDS }, (_, i) => (i < words ? view.getUint32(at + 5 + i * 4, true) : 0)),
      pid: view.getUint32(end, true) - 1,
      resumed: words === CONTEXT_WORDS ? (RESUMED[view.getUint8(end + 4)] ?? null) : null,
    };
    return end + (words === CONTEXT_WORDS ? 5 : 4);
  }

  #sessionRow(view: DataView, buf: Buffer, at: number): number {
    const context = this.#contexts[view.getUint32(at + 13, true)];
    const began = view.getFloat64(at + 17, true);
    const length = view.getUint32(at + 25, true);
    this.#sessionRun.push(context?.words[0] ?? 0);
    this.#sessionConnection.push(view.getFloat64(at + 1, true));
    this.#sessionOrdinal.push(view.getUint32(at + 9, true));
    if (began === UNSEEN) this.#sessionTs.pushNull();
    else this.#sessionTs.push(began);
    this.#sessionSide.push(context?.words[1] ?? 0);
    this.#sessionService.push(context?.words[2] ?? 0);
    this.#session.push(buf, at + SESSION_BYTES, length);
    return at + SESSION_BYTES + length;
  }

  #ledgerRow(secondMs: number, captured: number, word: number, lost: number, bytes: number): void {
    // Logs of a time when what a kill had lost was entered at its instant.
    this.#second.push(Math.floor(secondMs));
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
}
