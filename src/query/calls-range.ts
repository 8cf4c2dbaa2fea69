/** Times that a user gives: `--since`, `--until`, and the same of the HTTP API. */
import type { Answer } from '../store/database.ts';

const UNITS_MS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
const NS_PER_MS = 1_000_000n;
/** What a TIMESTAMP_NS of the store can hold. */
const NS_MAX = 2n ** 63n - 1n;

export interface TimeRange {
  /** Unix time in ns: calls from here on. Null: from the first. */
  readonly since: bigint | null;
  /** Calls before. Null: to the last. */
  readonly until: bigint | null;
}

const wrong = (message: string): Answer<never> => ({ ok: false, error: { type: 'invalid', message } });

/**
 * A time in ns: RFC 3339 with a zone (to nanoseconds; seconds may be left out), a date (midnight UTC), or how long ago ("15m", "2h", "7d"). Times without
 * a zone are refused: in the hour that a clock is put back they name two.
 */
export function parseTime(text: string, nowMs: number): Answer<bigint> {
  const ago = /^(\d{1,9})(s|m|h|d|w)$/.exec(text);
  if (ago !== null)
    return { ok: true, value: BigInt(Math.round(nowMs - Number(ago[1]) * UNITS_MS[ago[2]!]!)) * NS_PER_MS };
  if (/^\d{4}-\d{2}-\d{2}$/.test(text) && isDate(text))
    return { ok: true, value: BigInt(Date.parse(text)) * NS_PER_MS };
  const time = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,9}))?)?([Zz]|[+-]\d{2}:\d{2})?$/.exec(text);
  if (time === null) return wrong(`"${text}" is no time: write 2026-11-22T16:04:05Z, 2026-11-22, or 15m, 2h, 7d ago`);
  const [, date, minute, second = '00', fraction = '', zone] = time;
  const clock = `${minute}:${second}`;
  if (zone === undefined)
    return wrong(`"${text}" has no zone: write ${date}T${clock}Z for UTC, or ${date}T${clock}+02:00`);
  const ms = Date.parse(`${date}T${clock}${zone.toUpperCase()}`);
  if (Number.isNaN(ms) || !isDate(date!)) return wrong(`"${text}" is no time: there is no such day or hour`);
  return { ok: true, value: BigInt(ms) * NS_PER_MS + BigInt(fraction.padEnd(9, '0')) };
}

/** Date.parse takes 30 February for 2 March. */
function isDate(date: string): boolean {
  const ms = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date);
}

/** Both ends; either may be left out. */
export function parseRange(since: string | undefined, until: string | undefined, nowMs: number): Answer<TimeRange> {
  const from = since === undefined ? null : parseTime(since, nowMs);
  if (from !== null && !from.ok) return from;
  const to = until === undefined ? null : parseTime(until, nowMs);
  if (to !== null && !to.ok) return to;
  const range = { since: from?.value ?? null, until: to?.value ?? null };
  const problem = rangeProblem(range);
  return problem === null ? { ok: true, value: range } : wrong(problem);
}

/** What is wrong with a range, or null. */
export function rangeProblem({ since, until }: TimeRange): string | null {
  for (const end of [since, until]) {
    if (end !== null && (end < -NS_MAX || end > NS_MAX)) return 'times reach from 1677 to 2262';
  }
  if (since !== null && until !== null && since >= until) {
    return `the range is empty: it begins at ${iso(since)} and ends at ${iso(until)}`;
  }
  return null;
}

/** Unix time in ns as RFC 3339, to the nanosecond. */
export function isoTime(ns: bigint): string {
  const below = ((ns % NS_PER_MS) + NS_PER_MS) % NS_PER_MS;
  return `${iso(ns - below).slice(0, -1)}${below.toString().padStart(6, '0')}Z`;
}

const iso = (ns: bigint): string => new Date(Number(ns / NS_PER_MS)).toISOString();
