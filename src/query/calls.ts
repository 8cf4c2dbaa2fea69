/** Past calls: a filter, a range, a page at a time, newest first. The answer is that of the filter on every stored call. */
import type { WebSocketRecord } from '../model/record.ts';
import { RECORD_COLUMNS, RecordBuilder, type StoredRecord } from '../store/call-record.ts';
import { type Answer, type Rows, tooLong } from '../store/database.ts';
import { judge } from '../store/guard.ts';
import type { StoreReader } from '../store/reader.ts';
import { SEQUENCE_STRIDE } from '../store/record.ts';
import type { SegmentFiles } from '../store/segment-files.ts';
import { callsTable } from '../store/tables.ts';
import type { TimeRange } from './calls-range.ts';
import { all, type Condition, holds, mayMeet, TRUE } from './condition.ts';
import { sessionsOf } from './sessions.ts';
import { runSql } from './sql-run.ts';
import { type CallFailure, wantedCalls } from './wanted-calls.ts';

export const CALLS_LIMIT_MAX = 10_000;
export const CALLS_LIMIT = 100;
const TIMEOUT_MS = 30_000;
/** Calls looked at in one go when SQL alone does not decide. */
const CANDIDATES = 2_048;
/** Segments looked at in one go: few at first, because most questions are answered by the newest. */
const GROUP_FIRST = 2;
const GROUP_GROWTH = 4;
const GROUP_MAX = 1_024;

export interface CallQuery {
  /** CEL; without it every call. */
  readonly filter?: string;
  readonly range?: TimeRange;
  /** Calls on a page, 1 to CALLS_LIMIT_MAX. */
  readonly limit?: number;
  /** `next` of the page before. Stays good while calls come in and go. */
  readonly cursor?: string;
  readonly timeoutMs?: number;
}

export interface CallPage {
  /** Newest (by when they were stored) first. */
  readonly calls: readonly StoredRecord[];
  /** Of calls on this page that were handshakes: what the WebSockets carried, as far as they have ended. In the order of the calls. */
  readonly websockets: readonly WebSocketRecord[];
  /** Cursor of the next page; null: this is the last one. */
  readonly next: string | null;
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
  const { condition, matches } = wanted.value;
  return new Search(reader, condition, matches, limit, query.timeoutMs ?? TIMEOUT_MS).page(before);
}

class Search {
  readonly #reader: StoreReader;
  readonly #condition: Condition;
  readonly #matches: (record: StoredRecord) => boolean;
  readonly #limit: number;
  readonly #timeoutMs: number;
  readonly #deadlineMs: number;
  readonly #builder = new RecordBuilder();

  constructor(
    reader: StoreReader,
    condition: Condition,
    matches: (record: StoredRecord) => boolean,
    limit: number,
    timeoutMs: number,
  ) {
    this.#reader = reader;
    this.#condition = condition;
    this.#matches = matches;
    this.#limit = limit;
    this.#timeoutMs = timeoutMs;
    this.#deadlineMs = Date.now() + timeoutMs;
  }

  async page(cursor: number): Promise<CallAnswer> {
    const calls: StoredRecord[] = [];
    let before = cursor;
    const segments = this.#candidates(before);
    let size = GROUP_FIRST;
    for (let group = next(segments, size); group.length > 0; ) {
      // One more than asked for: it tells whether there is another page.
      const wanted = Math.max(CANDIDATES, this.#limit + 1);
      const found = await this.#sequences(group, before, wanted);
      if (!found.ok) return found;
      const records = await this.#records(group, found.value.slice(0, wanted));
      if (!records.ok) return records;
      for (const { sequence, record } of records.value) {
        if (!this.#matches(record)) continue;
        if (calls.length === this.#limit) return this.#answer(calls, before);
        calls.push(record);
        before = sequence;
      }
      if (found.value.length < wanted) {
        size = Math.min(GROUP_MAX, size * GROUP_GROWTH);
        before = Math.min(before, group.at(-1)!.from);
        group = next(segments, size);
      } else before = found.value.at(-1)!;
    }
    return this.#answer(calls, -1);
  }

  /** Segments that may have such calls, newest first. */
  *#candidates(before: number): Generator<SegmentFiles> {
    const { need } = this.#condition;
    for (const files of this.#reader.segments.toReversed()) {
      if (files.from >= before) continue;
      if (mayMeet(need, files)) yield files;
    }
  }

  async #answer(calls: readonly StoredRecord[], next: number): Promise<CallAnswer> {
    const sessions = await sessionsOf(this.#reader, calls);
    if (!sessions.ok) return sessions;
    const websockets = calls.flatMap(({ id }) => sessions.value.get(id) ?? []);
    return {
      ok: true,
      value: { calls, websockets, next: next < 0 ? null : `c${next}`, damaged: [...this.#reader.damaged] },
    };
  }

  /** Sequences of calls that meet the conditions, newest first. */
  async #sequences(group: readonly SegmentFiles[], before: number, limit: number): Promise<Answer<number[]>> {
    const where = all(this.#condition, Number.isFinite(before) ? holds(`sequence < ${before}`) : TRUE).sql;
    const sql = (calls: string): string =>
      `SELECT sequence FROM ${calls} WHERE ${where} ORDER BY sequence DESC LIMIT ${limit}`;
    const answer = await this.#select(group, sql);
    return answer.ok ? { ok: true, value: answer.value.rows.map(([sequence]) => Number(sequence)) } : answer;
  }

  async #records(
    group: readonly SegmentFiles[],
    sequences: readonly number[],
  ): Promise<Answer<{ sequence: number; record: StoredRecord }[]>> {
    const records: { sequence: number; record: StoredRecord }[] = [];
    // As many as a page needs, at first: the rest is read only when the filter turned some of them down.
    for (let from = 0; from < sequences.length; from += this.#limit + 1) {
      const some = sequences.slice(from, from + this.#limit + 1);
      const segments = new Set(some.map((sequence) => Math.floor(sequence / SEQUENCE_STRIDE)));
      const files = group.filter(({ segment }) => segments.has(segment));
      const where = `sequence BETWEEN ${some.at(-1)} AND ${some[0]} AND sequence IN (${some.join(', ')})`;
      const sql = (calls: string): string =>
        `SELECT ${RECORD_COLUMNS.join(', ')} FROM ${calls} WHERE ${where} ORDER BY sequence DESC`;
      const answer = await this.#select(files, sql);
      if (!answer.ok) return answer;
      let passed = 0;
      for (const row of answer.value.rows) {
        const record = this.#builder.record(row);
        if (this.#matches(record)) passed++;
        records.push({ sequence: Number(row[0]), record });
      }
      if (passed > this.#limit) break;
    }
    return { ok: true, value: records };
  }

  /** Runs over the files of a group; a file that turns out to be damaged is left out, and named in the answer. */
  async #select(group: readonly SegmentFiles[], sql: (calls: string) => string): Promise<Answer<Rows>> {
    const run = (files: readonly SegmentFiles[]): Promise<Answer<Rows>> =>
      this.#reader.database.select(sql(callsTable(files)), Math.max(1, this.#deadlineMs - Date.now()));
    const sound = group.filter(({ calls }) => !this.#reader.damaged.has(calls));
    if (sound.length === 0) return { ok: true, value: { columns: [], rows: [] } };
    const answer = await run(sound);
    if (answer.ok || answer.error.type === 'memory') return answer;
    if (answer.error.type === 'timeout') return { ok: false, error: tooLong(this.#timeoutMs) };
    // These statements are this program's own: what fails about them is a file.
    const left: SegmentFiles[] = [];
    for (const files of sound) {
      const alone = await run([files]);
      if (alone.ok) left.push(files);
      else await this.#reader.exclude(files.calls);
    }
    return left.length === sound.length ? answer : this.#select(left, sql);
  }
}

function next(segments: Generator<SegmentFiles>, size: number): SegmentFiles[] {
  const some: SegmentFiles[] = [];
  while (some.length < size) {
    const { value, done } = segments.next();
    if (done === true) break;
    some.push(value);
  }
  return some;
}

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
