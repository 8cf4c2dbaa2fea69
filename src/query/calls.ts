/** Past calls: a filter, a range, a page at a time, newest first. The answer is that of the filter on every stored call. */
import type { WebSocketRecord } from '../model/record.ts';
import { RECORD_COLUMNS, RecordBuilder, type StoredRecord } from '../store/call-record.ts';
import { type Answer, type Rows, spent, tooLong } from '../store/database.ts';
import { judge } from '../store/guard.ts';
import type { StoreReader } from '../store/reader.ts';
import { SEQUENCE_STRIDE } from '../store/record.ts';
import type { SegmentFiles } from '../store/segment-files.ts';
import { callsTable } from '../store/tables.ts';
import { isoTime, type TimeRange } from './calls-range.ts';
import { all, holds, mayMeet, TRUE } from './condition.ts';
import { sessionsOf } from './sessions.ts';
import { runSql } from './sql-run.ts';
import { type CallFailure, type WantedCalls, wantedCalls } from './wanted-calls.ts';

export const CALLS_LIMIT_MAX = 10_000;
export const CALLS_LIMIT = 100;
const TIMEOUT_MS = 30_000;
/** For `pageMs` where somebody waits: what no segment can be ruled out by is answered as far as it was looked for by then. */
export const PAGE_MS = 250;
/** Calls looked at in one go when SQL alone does not decide. */
const CANDIDATES = 2_048;
/** Segments looked at in one go: few at first, because most questions are answered by the newest. */
const GROUP_FIRST = 2;
const GROUP_GROWTH = 4;
const GROUP_MAX = 1_024;
const STEP_GROWTH = 4;

export interface CallQuery {
  /** CEL; without it every call. */
  readonly filter?: string;
  readonly range?: TimeRange;
  /** Calls on a page, 1 to CALLS_LIMIT_MAX. */
  readonly limit?: number;
  /** `next` of the page before. Stays good while calls come in and go. */
  readonly cursor?: string;
  readonly timeoutMs?: number;
  /** The page ends after about this long, with what was found and a cursor that goes on from there; some calls are always looked at. Without it, a page ends when it is full. */
  readonly pageMs?: number;
}

export interface CallPage {
  /** Newest (by when they were stored) first. */
  readonly calls: readonly StoredRecord[];
  /** Of calls on this page that were handshakes: what the WebSockets carried, as far as they have ended. In the order of the calls. */
  readonly websockets: readonly WebSocketRecord[];
  /** Cursor of the next page; null: this is the last one. */
  readonly next: string | null;
  /**
   * Not null: the page ended because its time was up, and no call that was not looked at yet began after this (RFC 3339). It may have few calls, or none:
   * ask with `next` for the others.
   */
  readonly searched_until: string | null;
  /** Files that could not be read: their calls are missing from every answer. */
  readonly damaged: readonly string[];
}

export type CallAnswer =
  | { readonly ok: true; readonly value: CallPage }
  | { readonly ok: false; readonly error: CallFailure };

const CURSOR = /^c(\d{1,16})$/;
const invalid = (message: string): CallAnswer => ({ ok: false, error: { type: 'invalid', message } });

/** Answers one page. Call `reader.refresh()` before the first one, to see what was stored since. */
export async function queryCalls(reader: StoreReader, query: CallQuery): Promise<CallAnswer> {
  const limit = query.limit ?? CALLS_LIMIT;
  if (!Number.isInteger(limit) || limit < 1 || limit > CALLS_LIMIT_MAX) {
    return invalid(`limit is ${limit}, it must be a whole number from 1 to ${CALLS_LIMIT_MAX}`);
  }
  let before = Number.POSITIVE_INFINITY;
  if (query.cursor !== undefined) {
    const match = CURSOR.exec(query.cursor);
    if (match === null) return invalid(`"${query.cursor}" is no cursor: give the one of the page before, as it was`);
    before = Number(match[1]);
  }
  const wanted = wantedCalls(query.filter, query.range ?? { since: null, until: null });
  if (!wanted.ok) return wanted;
  return new Search(reader, wanted.value, query).page(before, limit);
}

class Search {
  readonly #reader: StoreReader;
  readonly #wanted: WantedCalls;
  readonly #timeoutMs: number;
  readonly #deadlineMs: number;
  /** When the page's time is up, on the clock of `performance.now`. */
  readonly #pageEndMs: number;
  readonly #since: bigint | null;
  readonly #builder = new RecordBuilder();
  /** Newest first, and how many of them were looked at. */
  readonly #segments: readonly SegmentFiles[];
  #taken = 0;

  constructor(reader: StoreReader, wanted: WantedCalls, query: CallQuery) {
    this.#reader = reader;
    this.#wanted = wanted;
    this.#timeoutMs = query.timeoutMs ?? TIMEOUT_MS;
    this.#deadlineMs = Date.now() + this.#timeoutMs;
    this.#pageEndMs = performance.now() + (query.pageMs ?? Number.POSITIVE_INFINITY);
    this.#since = query.range?.since ?? null;
    this.#segments = reader.segments.toReversed();
  }

  async page(cursor: number, limit: number): Promise<CallAnswer> {
    const calls: StoredRecord[] = [];
    let before = cursor;
    while (this.#segments[this.#taken] !== undefined && this.#segments[this.#taken]!.from >= before) this.#taken++;
    let size = GROUP_FIRST;
    // One more than asked for: it tells whether there is another page.
    const wanted = Math.max(CANDIDATES, limit + 1);
    for (;;) {
      const group = this.#take(size);
      const begunMs = performance.now();
      for (let more = group.length > 0; more; ) {
        const found = await this.#sequences(group, before, wanted);
        if (!found.ok) return found;
        more = found.value.length >= wanted;
        // As many as the page needs, at first: the rest is read only when the filter turns some of them down.
        let step = limit + 1;
        for (let from = 0; from < found.value.length; ) {
          const some = found.value.slice(from, from + step);
          from += some.length;
          step = Math.max(step, Math.min(CANDIDATES, step * STEP_GROWTH));
          const records = await this.#records(group, some);
          if (!records.ok) return records;
          for (const { sequence, record } of records.value) {
            if (!this.#wanted.matches(record)) continue;
            if (calls.length === limit) return this.#answer(calls, before);
            calls.push(record);
            before = sequence;
          }
          before = some.at(-1)!;
          const rest = more || from < found.value.length;
          if (rest && this.#leftMs <= 0) return this.#answer(calls, before, this.#until(before));
        }
      }
      if (this.#taken === this.#segments.length) return this.#answer(calls, -1);
      before = Math.min(before, this.#segments[this.#taken - 1]!.from);
      const fitting = Math.floor((this.#leftMs * group.length) / (performance.now() - begunMs));
      if (!(fitting >= 1)) return this.#answer(calls, before, this.#until(before));
      size = Math.min(GROUP_MAX, size * GROUP_GROWTH, fitting);
    }
  }

  /** Of the page's time. */
  get #leftMs(): number {
    return this.#pageEndMs - performance.now();
  }

  /** The next segments that may have such calls, at most `size`; fewer when the time is up. */
  #take(size: number): SegmentFiles[] {
    const { need } = this.#wanted.condition;
    const some: SegmentFiles[] = [];
    while (this.#taken < this.#segments.length && some.length < size) {
      const files = this.#segments[this.#taken++]!;
      const old = this.#since !== null && files.newest !== null && files.newest < this.#since;
      if (!old && mayMeet(need, files)) some.push(files);
      else if (this.#leftMs <= 0) break;
    }
    return some;
  }

  /** When the newest call began that may be among those from `before` on; null: nobody knows. */
  #until(before: number): string | null {
    let newest: bigint | null = null;
    for (const files of this.#segments)
      if (files.from < before && files.newest !== null && (newest === null || files.newest > newest))
        newest = files.newest;
    return newest === null ? null : isoTime(newest);
  }

  async #answer(calls: readonly StoredRecord[], next: number, until: string | null = null): Promise<CallAnswer> {
    const sessions = await sessionsOf(this.#reader, calls);
    if (!sessions.ok) return sessions;
    const websockets = calls.flatMap(({ id }) => sessions.value.get(id) ?? []);
    return {
      ok: true,
      value: {
        calls,
        websockets,
        next: next < 0 ? null : `c${next}`,
        searched_until: until,
        damaged: [...this.#reader.damaged],
      },
    };
  }

  /** Sequences of calls that meet the conditions, newest first. */
  async #sequences(group: readonly SegmentFiles[], before: number, limit: number): Promise<Answer<number[]>> {
    const where = all(this.#wanted.condition, Number.isFinite(before) ? holds(`sequence < ${before}`) : TRUE).sql;
    const sql = (calls: string): string =>
      `SELECT sequence FROM ${calls} WHERE ${where} ORDER BY sequence DESC LIMIT ${limit}`;
    const answer = await this.#select(group, sql);
    return answer.ok ? { ok: true, value: answer.value.rows.map(([sequence]) => Number(sequence)) } : answer;
  }

  async #records(
    group: readonly SegmentFiles[],
    sequences: readonly number[],
  ): Promise<Answer<{ sequence: number; record: StoredRecord }[]>> {
    const segments = new Set(sequences.map((sequence) => Math.floor(sequence / SEQUENCE_STRIDE)));
    const files = group.filter(({ segment }) => segments.has(segment));
    const where = `sequence BETWEEN ${sequences.at(-1)} AND ${sequences[0]} AND sequence IN (${sequences.join(', ')})`;
    const sql = (calls: string): string =>
      `SELECT ${RECORD_COLUMNS.join(', ')} FROM ${calls} WHERE ${where} ORDER BY sequence DESC`;
    const answer = await this.#select(files, sql);
    if (!answer.ok) return answer;
    const records = answer.value.rows.map((row) => ({ sequence: Number(row[0]), record: this.#builder.record(row) }));
    return { ok: true, value: records };
  }

  /** Runs over the files of a group; a file that turns out to be damaged is left out, and named in the answer. */
  async #select(group: readonly SegmentFiles[], sql: (calls: string) => string): Promise<Answer<Rows>> {
    const sound = group.filter(({ calls }) => !this.#reader.damaged.has(calls));
    if (sound.length === 0) return { ok: true, value: { columns: [], rows: [] } };
    const answer = await this.#run(sql(callsTable(sound)));
    if (answer.ok || spent(answer.error)) return answer;
    const left: SegmentFiles[] = [];
    for (const files of sound) {
      const alone = await this.#run(sql(callsTable([files])));
      if (alone.ok) {
        left.push(files);
        continue;
      }
      const values = spent(alone.error) ? alone : await this.#run(everyValue(callsTable([files])));
      // No file is to blame for a statement that fails though all values can be read.
      if (values.ok || spent(values.error)) return alone;
      await this.#reader.exclude(files.calls);
    }
    return left.length === sound.length ? answer : this.#select(left, sql);
  }

  async #run(sql: string): Promise<Answer<Rows>> {
    const answer = await this.#reader.database.select(sql, Math.max(1, this.#deadlineMs - Date.now()));
    return !answer.ok && answer.error.type === 'timeout' ? { ok: false, error: tooLong(this.#timeoutMs) } : answer;
  }
}

const everyValue = (calls: string): string => `SELECT bit_xor(hash(${RECORD_COLUMNS.join(', ')})) FROM ${calls}`;

export const SQL_ROWS_MAX = 100_000;

export interface SqlAnswer extends Rows<unknown> {
  /** There were more rows than were asked for. */
  readonly more: boolean;
}

/** `--sql`: one SELECT over calls, states and ledger (docs/store.md). */
export async function querySql(
  reader: StoreReader,
  sql: string,
  { rows = 10_000, timeoutMs = TIMEOUT_MS }: { rows?: number; timeoutMs?: number } = {},
): Promise<Answer<SqlAnswer>> {
  const refused = await judge(reader.database, sql);
  if (refused !== null) return refused;
  const views = await reader.views();
  const wanted = Math.min(rows, SQL_ROWS_MAX);
  // The statement was parsed as one SELECT; a comment at its end must not swallow what follows.
  const statement = sql.trimEnd().replace(/;$/, '');
  const answer = await runSql({
    folders: reader.folders,
    views,
    statement: `SELECT * FROM (${statement}\n) LIMIT ${wanted + 1}`,
    timeoutMs,
  });
  if (!answer.ok) return answer;
  const { columns, rows: found } = answer.value;
  return { ok: true, value: { columns, rows: found.slice(0, wanted), more: found.length > wanted } };
}
