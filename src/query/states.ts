/**
 * The statistics that the store keeps, read back over any range: what lies in a state, how states of a kind are merged, and the
 * report that comes of them.
 */

import type { Side } from '../model/connection.ts';
import type { Change } from '../stats/headers/changes.ts';
import { decodeHeaders, encodeHeaders } from '../stats/headers/codec.ts';
import { HeaderState } from '../stats/headers/state.ts';
import { encodeSeries, mergeSeries, SeriesState } from '../stats/series.ts';
import { StateSet } from '../stats/state-set.ts';
import type { Answer } from '../store/database.ts';
import type { StoreReader } from '../store/reader.ts';
import { type MergeStates, mergedStates } from '../store/states.ts';
import { composeReport, type Report, type ReportStates } from './report.ts';

export const STATE_KIND = {
  /** encodeSeries() of one series in one minute. */
  calls: 'calls',
  /** encodeHeaders() of all series in one window. */
  headers: 'headers',
  /** JSON: the changes found in one window. */
  changes: 'changes',
} as const;

const TIMEOUT_MS = 30_000;

/** Bytes that cannot be read add nothing: the store has checked them against its own sums, so they are another version's. */
export const mergeStates: MergeStates = (kind, states) => {
  switch (kind) {
    case STATE_KIND.calls: {
      const merged = new SeriesState();
      for (const state of states) mergeSeries(merged, state);
      return encodeSeries(merged);
    }
    case STATE_KIND.headers:
      return encodeHeaders(headersOf(states));
    default:
      return Buffer.from(JSON.stringify(states.flatMap(changesOf)));
  }
};

function headersOf(states: readonly Uint8Array[]): HeaderState {
  const merged = new HeaderState();
  for (const state of states) {
    const decoded = decodeHeaders(state);
    if (decoded.ok) merged.merge(decoded.state);
  }
  return merged;
}

const changesOf = (state: Uint8Array): Change[] => JSON.parse(Buffer.from(state).toString()) as Change[];

/** Unix ms. */
export interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** First and last call of the store within a range; null: there is none. */
export async function storedSpan(
  reader: StoreReader,
  sinceMs: number | null,
  untilMs: number | null,
): Promise<Answer<Span | null>> {
  const conditions = [
    ...(sinceMs === null ? [] : [`ts >= make_timestamp_ns(${Math.round(sinceMs)}000000)`]),
    ...(untilMs === null ? [] : [`ts < make_timestamp_ns(${Math.round(untilMs)}000000)`]),
  ];
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  const answer = await reader.database.select(
    `SELECT epoch_ns(min(ts))::DOUBLE / 1e6, epoch_ns(max(ts))::DOUBLE / 1e6 FROM calls${where}`,
    TIMEOUT_MS,
  );
  if (!answer.ok) return answer;
  const [first, last] = answer.value.rows[0] as [number | null, number | null];
  return { ok: true, value: first === null || last === null ? null : { sinceMs: first, untilMs: last } };
}

/** The states of a range, widened to whole minutes. */
export async function storedStates(reader: StoreReader, span: Span): Promise<Answer<ReportStates>> {
  const answer = await mergedStates(reader, span, mergeStates);
  if (!answer.ok) return answer;
  const series = new StateSet();
  const headers: Uint8Array[] = [];
  const changes: Change[] = [];
  for (const { service, side, method, route, kind, state } of answer.value) {
    if (kind === STATE_KIND.calls) series.add({ service, side: side as Side, method, route }, state);
    else if (kind === STATE_KIND.headers) headers.push(state);
    else if (kind === STATE_KIND.changes) changes.push(...changesOf(state));
  }
  // As long before: what the range's header statistics are compared with.
  const length = Math.max(MINUTE_MS, span.untilMs - span.sinceMs);
  const before = await mergedStates(
    reader,
    {
      sinceMs: span.sinceMs - length,
      untilMs: Math.floor(span.sinceMs / MINUTE_MS) * MINUTE_MS,
      kinds: [STATE_KIND.headers],
    },
    mergeStates,
  );
  if (!before.ok) return before;
  const reference = before.value.length === 0 ? null : headersOf(before.value.map(({ state }) => state));
  const losses = await storedLosses(reader, span);
  if (!losses.ok) return losses;
  changes.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return { ok: true, value: { series, headers: headersOf(headers), reference, changes, losses: losses.value } };
}

const MINUTE_MS = 60_000;

async function storedLosses(reader: StoreReader, span: Span): Promise<Answer<{ reason: string; count: number }[]>> {
  const answer = await reader.database.select(
    `SELECT reason, sum(lost)::DOUBLE FROM ledger WHERE lost > 0 AND second >= make_timestamp(${Math.floor(span.sinceMs / 1_000)}000000)
     AND second <= make_timestamp(${Math.ceil(span.untilMs / 1_000)}000000) GROUP BY reason ORDER BY reason`,
    TIMEOUT_MS,
  );
  if (!answer.ok) return answer;
  return {
    ok: true,
    value: answer.value.rows.map(([reason, count]) => ({ reason: String(reason), count: Number(count) })),
  };
}

/** A report over a range of the store; without ends, over everything in it. */
export async function storedReport(
  reader: StoreReader,
  sinceMs: number | null,
  untilMs: number | null,
): Promise<Answer<Report>> {
  const found = await storedSpan(reader, sinceMs, untilMs);
  if (!found.ok) return found;
  const span = {
    sinceMs: sinceMs ?? found.value?.sinceMs ?? 0,
    // The last call is in the range.
    untilMs: untilMs ?? (found.value === null ? (sinceMs ?? 0) + 1 : found.value.untilMs + 1),
  };
  if (span.untilMs <= span.sinceMs) span.untilMs = span.sinceMs + 1;
  const states = await storedStates(reader, span);
  if (!states.ok) return states;
  return { ok: true, value: composeReport(states.value, span.sinceMs, span.untilMs) };
}
