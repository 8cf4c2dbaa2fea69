/**
 * States of statistics over a range: whole days and hours from what was merged before, the rest from minutes. What a state
 * holds is known to the merge function alone.
 */
import { join } from 'node:path';
import { type Answer, quote } from './database.ts';
import { ROLLUP } from './layout.ts';
import type { StoreReader } from './reader.ts';
import { publish, STATES_FILE, writeParquet } from './seal.ts';
import { Segment } from './segment.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
const TIMEOUT_MS = 30_000;
/** Calls that were open when their hour ended are counted in the minute they end in: an hour is merged this long after it. */
const SETTLE_MS = 120_000;

/** Merges states of one kind into one; never gets an empty list. */
export type MergeStates = (kind: string, states: readonly Uint8Array[]) => Uint8Array;

/** One series' state over the whole range. */
export interface MergedState {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  readonly kind: string;
  readonly state: Uint8Array;
}

export interface StateSelection {
  /** Unix time in ms; widened to whole minutes. */
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Only these kinds; without it all. */
  readonly kinds?: readonly string[];
}

/** Where the parts of a range come from. */
interface Plan {
  readonly files: string[];
  /** Stretches [from, to) for which minutes are read. */
  readonly minutes: [number, number][];
}

function plan(reader: StoreReader, fromMs: number, toMs: number): Plan {
  const days = reader.rollups('day');
  const hours = reader.rollups('hour');
  const files: string[] = [];
  const minutes: [number, number][] = [];
  let at = fromMs;
  while (at < toMs) {
    const day = at % DAY_MS === 0 && at + DAY_MS <= toMs ? days.get(at) : undefined;
    const hour = at % HOUR_MS === 0 && at + HOUR_MS <= toMs ? hours.get(at) : undefined;
    if (day !== undefined) {
      files.push(day);
      at += DAY_MS;
    } else if (hour !== undefined) {
      files.push(hour);
      at += HOUR_MS;
    } else {
      const next = Math.min(toMs, (Math.floor(at / HOUR_MS) + 1) * HOUR_MS);
      const last = minutes.at(-1);
      if (last !== undefined && last[1] === at) last[1] = next;
      else minutes.push([at, next]);
      at = next;
    }
  }
  return { files, minutes };
}

/** The states of a range, one for each series and kind. An empty or turned-round range is refused. */
export async function mergedStates(
  reader: StoreReader,
  selection: StateSelection,
  merge: MergeStates,
): Promise<Answer<MergedState[]>> {
  const fromMs = Math.floor(selection.sinceMs / MINUTE_MS) * MINUTE_MS;
  const toMs = Math.ceil(selection.untilMs / MINUTE_MS) * MINUTE_MS;
  if (!(selection.sinceMs < selection.untilMs)) {
    return { ok: false, error: { type: 'invalid', message: 'the range is empty: it ends before it begins' } };
  }
  const span = await spanOf(reader);
  if (!span.ok) return span;
  // A range may be far wider than what there is.
  const { files, minutes } = plan(reader, Math.max(fromMs, span.value[0]), Math.min(toMs, span.value[1]));
  const sources = files.map((path) => `SELECT * FROM read_parquet(${quote(path)})`);
  if (minutes.length > 0) {
    const within = minutes.map(
      ([from, to]) => `(start >= make_timestamp(${from * 1_000}) AND start < make_timestamp(${to * 1_000}))`,
    );
    sources.push(`SELECT * FROM states WHERE level = 'minute' AND (${within.join(' OR ')})`);
  }
  if (sources.length === 0) return { ok: true, value: [] };
  const kinds = selection.kinds === undefined ? '' : ` WHERE kind IN (${selection.kinds.map(quote).join(', ')})`;
  return select(reader, `SELECT * FROM (${sources.join(' UNION ALL ')})${kinds}`, merge);
}

/** First and last time for which there are states, in ms, widened to whole days. */
async function spanOf(reader: StoreReader): Promise<Answer<readonly [number, number]>> {
  const answer = await reader.database.select(
    'SELECT epoch_ms(min(start)), epoch_ms(max(start)) FROM states',
    TIMEOUT_MS,
  );
  if (!answer.ok) return answer;
  const [min, max] = answer.value.rows[0]!;
  const starts = [...reader.rollups('hour').keys(), ...reader.rollups('day').keys()];
  if (min !== null && max !== null) starts.push(Number(min), Number(max));
  if (starts.length === 0) return { ok: true, value: [0, 0] };
  const least = starts.reduce((a, b) => Math.min(a, b));
  const most = starts.reduce((a, b) => Math.max(a, b));
  return { ok: true, value: [Math.floor(least / DAY_MS) * DAY_MS, (Math.floor(most / DAY_MS) + 1) * DAY_MS] };
}

async function select(reader: StoreReader, from: string, merge: MergeStates): Promise<Answer<MergedState[]>> {
  const answer = await reader.database.select(
    `SELECT service, side, method, route, kind, list(state) FROM (${from}) GROUP BY ALL ORDER BY ALL`,
    TIMEOUT_MS,
  );
  if (!answer.ok) return answer;
  const value = answer.value.rows.map((row) => {
    const [service, side, method, route, kind] = row as string[] as [string, string, string, string, string];
    const states = (row[5] as { items: readonly { bytes: Uint8Array }[] }).items.map(({ bytes }) => bytes);
    return { service, side, method, route, kind, state: states.length === 1 ? states[0]! : merge(kind, states) };
  });
  return { ok: true, value };
}

/**
 * Merges the states of hours that are over, and of days whose hours are: what reports over long ranges read. Call it now and
 * then in the process that writes; each hour is done once, and what is interrupted is done again. Returns the hours and days done.
 */
export async function rollUp(reader: StoreReader, merge: MergeStates, nowMs: number): Promise<Answer<number>> {
  let done = 0;
  const span = await spanOf(reader);
  if (!span.ok) return span;
  const [first, last] = span.value;
  const write = async (level: 'hour' | 'day', start: number, length: number): Promise<Answer<null>> => {
    const states = await mergedStates(reader, { sinceMs: start, untilMs: start + length }, merge);
    if (!states.ok) return states;
    if (states.value.length === 0) return { ok: true, value: null };
    const segment = new Segment();
    for (const state of states.value) segment.stateEntry({ ...state, level, startMs: start }, state.state);
    const name = new Date(start).toISOString().slice(0, level === 'hour' ? 13 : 10);
    publish(join(reader.data, ROLLUP, level, name), (folder) =>
      writeParquet(join(folder, STATES_FILE), segment.states, {}),
    );
    done++;
    return { ok: true, value: null };
  };
  for (const [level, length] of [
    ['hour', HOUR_MS],
    ['day', DAY_MS],
  ] as const) {
    const there = reader.rollups(level);
    for (let start = first; start + length <= Math.min(last, nowMs - SETTLE_MS); start += length) {
      if (there.has(start)) continue;
      const written = await write(level, start, length);
      if (!written.ok) return written;
    }
  }
  return { ok: true, value: done };
}
