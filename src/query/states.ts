/** The statistics that the store keeps, read back over any range, and the report that comes of them. */

import type { Side } from '../model/connection.ts';
import type { Comparison } from '../stats/compare.ts';
import type { Change } from '../stats/headers/changes.ts';
import { encodeHeaders, mergeHeaders } from '../stats/headers/codec.ts';
import { HeaderState } from '../stats/headers/state.ts';
import { COUNTER, countsOf, encodeSeries, SeriesState } from '../stats/series.ts';
import { StateSet } from '../stats/state-set.ts';
import { TlsStatistics } from '../stats/tls.ts';
import { BURN_WINDOWS, burnOf, type ServiceBurn, type WindowCount } from '../stats/windows.ts';
import type { Answer } from '../store/database.ts';
import type { StoreReader } from '../store/reader.ts';
import { type Merger, mergerOf, STATE_KIND } from '../store/state-merge.ts';
import { mergedStates } from '../store/states.ts';
import {
  type ComparedStates,
  compareStates,
  composeReport,
  type RecentStates,
  type Report,
  type ReportStates,
} from './report.ts';

export { STATE_KIND };

/** Unix ms, from inclusive, to exclusive. */
export interface Span {
  readonly sinceMs: number;
  readonly untilMs: number;
}

/** A range as the store can answer it: statistics are kept by the minute. */
export interface Coverage {
  /** Whole minutes that are read. */
  readonly minutes: Span;
  /** What of them was observed: what rates are over. */
  readonly observed: Span;
}

const MS_PER_S = 1_000;
const MINUTE_MS = 60_000;
const TEN_MINUTES_MS = 10 * MINUTE_MS;
const HOUR_MS = 60 * MINUTE_MS;
const EVER: Span = { sinceMs: Date.UTC(1678, 0), untilMs: Date.UTC(2262, 0) };

/**
 * What the store can say of a range, whose ends may be open (null). A minute that the range begins or ends in counts whole, so
 * the observed stretch grows with it; it never reaches beyond what the store holds at an open end, before its first call, or
 * into the future.
 */
export function coverage(reader: StoreReader, sinceMs: number | null, untilMs: number | null, nowMs: number): Coverage {
  const minutes = {
    sinceMs: sinceMs === null ? EVER.sinceMs : Math.floor(sinceMs / MINUTE_MS) * MINUTE_MS,
    untilMs: untilMs === null ? EVER.untilMs : Math.ceil(untilMs / MINUTE_MS) * MINUTE_MS,
  };
  const held = storedExtent(reader);
  if (held === null || held.sinceMs >= minutes.untilMs || held.untilMs < minutes.sinceMs) {
    const since = sinceMs ?? untilMs ?? nowMs;
    const until = Math.max(since, untilMs ?? nowMs);
    return { minutes, observed: { sinceMs: since, untilMs: until } };
  }
  const since = Math.max(minutes.sinceMs, held.sinceMs);
  const last = Math.min(held.untilMs, nowMs);
  // What is still to come was observed by nobody; calls of a clock that is set to the future were.
  const end = untilMs === null ? held.untilMs : Math.min(untilMs, Math.max(nowMs, held.untilMs));
  const until = Math.min(minutes.untilMs, Math.max(end, last));
  return { minutes, observed: { sinceMs: since, untilMs: Math.max(since + 1, until) } };
}

/** First and last instant that the store knows of; null: it is empty. */
export function storedExtent(reader: StoreReader): Span | null {
  const held = reader.extent();
  // A call's last instant belongs to the range.
  return held === null ? null : { sinceMs: Math.max(held.firstMs, EVER.sinceMs), untilMs: held.endMs + 1 };
}

/** The states of whole minutes, with what is `recent` of them. */
export async function storedStates(
  reader: StoreReader,
  minutes: Span,
  recent: RecentStates | null = null,
): Promise<Answer<Omit<ReportStates, 'burn'>>> {
  const answer = await statesBefore(reader, minutes, recent, mergerOf);
  if (!answer.ok) return answer;
  const series = new StateSet();
  let headers = new HeaderState();
  const changes: Change[] = [];
  const tls = new TlsStatistics();
  for (const { service, side, method, route, kind, merged } of answer.value) {
    // A kind that this program does not know.
    if (kind !== merged.kind) continue;
    switch (merged.kind) {
      case STATE_KIND.calls:
        series.put({ service, side: side as Side, method, route }, merged.state);
        break;
      case STATE_KIND.headers:
        headers = merged.state;
        break;
      case STATE_KIND.tls:
        tls.addState(service, side as Side, merged.state);
        break;
      default:
        changes.push(...merged.state);
    }
  }
  if (recent !== null) {
    for (const { key, state } of recent.series) series.merge(key, state);
    headers.merge(recent.headers);
    tls.merge(recent.tls);
    changes.push(...recent.changes);
  }
  const reference = await headersBefore(reader, minutes);
  if (!reference.ok) return reference;
  changes.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return {
    ok: true,
    value: {
      series,
      headers,
      reference: reference.value,
      changes,
      losses: storedLosses(reader, minutes),
      tls,
    },
  };
}

/** Of a span what the store has before memory begins. */
async function statesBefore<M extends Merger>(
  reader: StoreReader,
  { sinceMs, untilMs, kinds }: Span & { readonly kinds?: readonly string[] },
  recent: RecentStates | null,
  make: (kind: string) => M,
): ReturnType<typeof mergedStates<M>> {
  const before = { sinceMs, untilMs: Math.min(untilMs, recent?.fromMs ?? untilMs), ...(kinds && { kinds }) };
  if (before.sinceMs >= before.untilMs && before.untilMs < untilMs) return { ok: true, value: [] };
  return await mergedStates(reader, before, make);
}

/**
 * What a reference is made of: the ends of one that is long need not be those of the range to the minute, and what is merged
 * already is read faster.
 */
const grainOf = (lengthMs: number): number =>
  lengthMs >= 6 * HOUR_MS ? HOUR_MS : lengthMs >= HOUR_MS ? TEN_MINUTES_MS : MINUTE_MS;

/** Header statistics of about as long before: what the range's are compared with. Null: there is nothing before. */
async function headersBefore(reader: StoreReader, minutes: Span): Promise<Answer<HeaderState | null>> {
  if (minutes.sinceMs === EVER.sinceMs) return { ok: true, value: null };
  const length = Math.max(MINUTE_MS, Math.min(minutes.untilMs, Date.now()) - minutes.sinceMs);
  const grain = grainOf(length);
  const untilMs = Math.floor(minutes.sinceMs / grain) * grain;
  const sinceMs = Math.max(EVER.sinceMs, Math.floor((untilMs - length) / grain) * grain);
  if (sinceMs >= untilMs) return { ok: true, value: null };
  const selection = { sinceMs, untilMs, kinds: [STATE_KIND.headers] };
  const answer = await mergedStates(reader, selection, () => new ReferenceMerger());
  return answer.ok ? { ok: true, value: answer.value[0]?.merged.state ?? null } : answer;
}

/** Of header statistics what a comparison looks at: counts and values. */
class ReferenceMerger implements Merger {
  readonly state = new HeaderState();

  add(state: Uint8Array): void {
    mergeHeaders(this.state, state, 'values');
  }

  encode(): Uint8Array {
    return encodeHeaders(this.state);
  }
}

/** Of states of calls no more than burn rates need. */
class CountMerger implements Merger {
  calls = 0;
  errors = 0;

  add(state: Uint8Array): void {
    const { calls, errors } = countsOf(state);
    this.calls += calls;
    this.errors += errors;
  }

  encode(): Uint8Array {
    const state = new SeriesState();
    state.counters[COUNTER.calls] = this.calls;
    state.counters[COUNTER.errors] = this.errors;
    return encodeSeries(state);
  }
}

/** Calls and errors of each service in the windows that end with the minute of `untilMs`, each stretch between two of them read once. */
async function storedBurn(
  reader: StoreReader,
  untilMs: number,
  recent: RecentStates | null,
): Promise<Answer<ServiceBurn[]>> {
  const end = Math.ceil(untilMs / MINUTE_MS) * MINUTE_MS;
  const lengths = Object.values(BURN_WINDOWS).toSorted((a, b) => a - b);
  const services = new Map<string, { service: string; side: string; within: WindowCount[] }>();
  // A longer window holds what a shorter one does.
  const count = (service: string, side: string, shortest: number, { calls, errors }: WindowCount): void => {
    const name = `${side} ${service}`;
    let known = services.get(name);
    if (known === undefined) {
      known = { service, side, within: lengths.map(() => ({ calls: 0, errors: 0 })) };
      services.set(name, known);
    }
    for (const window of known.within.slice(shortest)) {
      window.calls += calls;
      window.errors += errors;
    }
  };
  for (const [i, length] of lengths.entries()) {
    const span = { sinceMs: end - length * MINUTE_MS, untilMs: end - (lengths[i - 1] ?? 0) * MINUTE_MS };
    const selection = { ...span, kinds: [STATE_KIND.calls] };
    const answer = await statesBefore(reader, selection, recent, () => new CountMerger());
    if (!answer.ok) return answer;
    for (const { service, side, merged } of answer.value) count(service, side, i, merged);
  }
  // The shortest window is longer than what is recent.
  for (const { key, state } of recent?.series ?? [])
    count(key.service, key.side, 0, { calls: state.calls, errors: state.get('errors') });
  const value = [...services.values()].map(({ service, side, within }) => ({
    service,
    side,
    burn: burnOf((minutes) => within[lengths.indexOf(minutes as (typeof lengths)[number])]!),
  }));
  return { ok: true, value };
}

function storedLosses(reader: StoreReader, span: Span): { reason: string; count: number }[] {
  const whole = (ms: number): number => ms * MS_PER_S;
  const lost = reader.losses(whole(Math.floor(span.sinceMs / MS_PER_S)), whole(Math.ceil(span.untilMs / MS_PER_S)));
  return [...lost].map(([reason, count]) => ({ reason, count })).sort((a, b) => (a.reason < b.reason ? -1 : 1));
}

/**
 * A report over a range of the store; without ends, over everything in it.
 *
 * @param recentTo of the agent that fills the store: what it has in memory up to this Unix ms, asked for where the range reaches so far
 */
export async function storedReport(
  reader: StoreReader,
  sinceMs: number | null,
  untilMs: number | null,
  nowMs: number,
  recentTo?: (untilMs: number) => RecentStates,
): Promise<Answer<Report>> {
  const { minutes, observed } = coverage(reader, sinceMs, untilMs, nowMs);
  const recent = recentTo?.(minutes.untilMs) ?? null;
  const { files } = reader.states;
  try {
    const states = await storedStates(reader, minutes, recent);
    if (!states.ok) return states;
    const burn = await storedBurn(reader, observed.untilMs, recent);
    if (!burn.ok) return burn;
    const whole = { ...states.value, burn: burn.value };
    return { ok: true, value: composeReport(whole, observed.sinceMs, observed.untilMs) };
  } finally {
    files.forget();
  }
}

/** Two ranges, and what changed from the first to the second. */
export async function storedComparison(
  reader: StoreReader,
  before: Asked,
  after: Asked,
  nowMs: number,
): Promise<Answer<Comparison>> {
  const found: Coverage[] = [];
  for (const { sinceMs, untilMs } of [before, after]) {
    found.push(coverage(reader, sinceMs, untilMs, nowMs));
  }
  const apart = apartByMinutes(before, after, found as [Coverage, Coverage]);
  if (apart === null) {
    const message =
      'both ranges lie in one minute, and statistics are kept by the minute (UTC): compare ranges that are further apart';
    return { ok: false, error: { type: 'invalid', message } };
  }
  const sides: ComparedStates[] = [];
  const { files } = reader.states;
  try {
    for (const { minutes, observed } of apart) {
      const states = await storedStates(reader, minutes);
      if (!states.ok) return states;
      sides.push({ ...observed, states: states.value });
    }
  } finally {
    files.forget();
  }
  return { ok: true, value: compareStates(sides[0]!, sides[1]!) };
}

/** Ends of a range in Unix ms; null: open. */
export interface Asked {
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
}

/** Where one range ends in the minute in which the other begins, that minute is the later one's alone. Null: nothing is left then. */
function apartByMinutes(
  before: Asked,
  after: Asked,
  [first, second]: readonly [Coverage, Coverage],
): readonly [Coverage, Coverage] | null {
  const meets = (a: Asked, b: Asked): boolean => a.untilMs !== null && b.sinceMs !== null && a.untilMs <= b.sinceMs;
  if (meets(before, after)) {
    const cut = endAt(first, second.minutes.sinceMs);
    return cut === null ? null : [cut, second];
  }
  if (meets(after, before)) {
    const cut = endAt(second, first.minutes.sinceMs);
    return cut === null ? null : [first, cut];
  }
  return [first, second];
}

function endAt({ minutes, observed }: Coverage, endMs: number): Coverage | null {
  if (minutes.untilMs <= endMs) return { minutes, observed };
  if (observed.sinceMs >= endMs) return null;
  const until = Math.max(observed.sinceMs, Math.min(observed.untilMs, endMs));
  return {
    minutes: { sinceMs: minutes.sinceMs, untilMs: endMs },
    observed: { sinceMs: observed.sinceMs, untilMs: until },
  };
}
