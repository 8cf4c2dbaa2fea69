/** The numbers of a report, computed a second time from the lines of a header log: plain arithmetic over all calls, nothing of src/stats. */
import type { LoggedExchange, LoggedMessage } from '../../rig/agent.ts';

const Z95 = 1.959_963_984_540_054;
const APART = [401, 403, 404, 408, 429];
/** Lower bounds of the load levels (docs/statistics.md). */
const LEVELS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];

export const total = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0);

export function counted<T>(values: readonly T[]): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** Nearest rank; null: of nothing. */
export function quantile(numbers: readonly number[], q: number): number | null {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.ceil(q * sorted.length) - 1] ?? null;
}

export function wilson(hits: number, n: number): [low: number, high: number] {
  const p = hits / n;
  const middle = (p + Z95 ** 2 / (2 * n)) / (1 + Z95 ** 2 / n);
  const half = (Z95 * Math.sqrt((p * (1 - p)) / n + Z95 ** 2 / (4 * n * n))) / (1 + Z95 ** 2 / n);
  return [middle - half, middle + half];
}

export function bits(counts: ReadonlyMap<string, number>): number {
  const n = total([...counts.values()]);
  return -total([...counts.values()].map((count) => (count / n) * Math.log2(count / n)));
}

/** The response ended by its own framing: also where the call had been given up before, or its request was the contradiction. */
const isWhole = ({ outcome, response }: LoggedExchange): boolean =>
  response !== null && ['complete', 'timeout', 'protocol_error'].includes(outcome);

/** A client that has its answer may leave the rest of its request unsent: the call is complete, and one of its bodies is short. Without an answer it is the request's. */
const hasWholeRequest = ({ outcome, anomalies, response }: LoggedExchange): boolean =>
  outcome !== 'protocol_error' && !((outcome === 'complete' || response === null) && anomalies?.includes('short_body'));

/** Times of one kind, ns: of the calls that have it. */
export function times(calls: readonly LoggedExchange[], phase: string): number[] {
  return calls.flatMap((call) => {
    const {
      first_request_byte: t0,
      last_request_byte: t1,
      first_response_byte: t2,
      last_response_byte: t3,
    } = call.timing_ns;
    const between = (from: number | null | undefined, to: number | null | undefined): number[] =>
      typeof from === 'number' && typeof to === 'number' && to >= from ? [to - from] : [];
    switch (phase) {
      case 'latency_ns':
        return isWhole(call) ? between(t0, t3) : [];
      case 'ttfb_ns':
        return call.response === null ? [] : between(t0, t2);
      case 'upload_ns':
        return hasWholeRequest(call) ? between(t0, t1) : [];
      case 'think_ns':
        return call.response === null || !hasWholeRequest(call) ? [] : between(t1, t2);
      default:
        return isWhole(call) ? between(t2, t3) : [];
    }
  });
}

/** Class of the error that a call was; null: of none. */
export function errorClass({ outcome, response }: LoggedExchange): string | null {
  const status = response?.status ?? 0;
  const byStatus = APART.includes(status) ? `${status}` : status >= 500 ? '5xx' : status >= 400 ? '4xx' : null;
  if (outcome === 'complete') return byStatus;
  return outcome === 'truncated' ? (byStatus ?? 'truncated') : outcome;
}

export function isFailure(call: LoggedExchange): boolean {
  const found = errorClass(call);
  if (found === null || found === 'client_abort') return false;
  return found !== 'truncated' || (call.response !== null && (call.anomalies ?? []).includes('short_body'));
}

/** Unix ns of a call's first request byte and of its end. */
const begin = ({ ts }: LoggedExchange): number => Number(nanoseconds(ts!));
const end = (call: LoggedExchange): number => begin(call) + call.timing_ns['last_response_byte']!;

/** Of the day: what a double holds to the nanosecond. */
function nanoseconds(ts: string): number {
  const [, h, m, s] = /T(\d+):(\d+):([\d.]+)Z/.exec(ts)!;
  return Math.round((Number(h) * 3_600 + Number(m) * 60 + Number(s)) * 1e9);
}

/** Of calls that are all whole: how many were in flight when each arrived, it included. */
export function inFlight(calls: readonly LoggedExchange[]): Map<LoggedExchange, number> {
  return new Map(
    calls.map((call) => {
      const at = begin(call);
      return [call, 1 + calls.filter((other) => other !== call && begin(other) < at && end(other) > at).length];
    }),
  );
}

export interface Level {
  /** ns that the service spent here, and the same times its calls in flight. */
  spent: number;
  area: number;
}

/** Of calls that are all whole: the time at each level of load, by walking over all arrivals and ends. */
export function levels(calls: readonly LoggedExchange[]): Map<number, Level> {
  const events = calls.flatMap((call) => [
    { at: begin(call), by: 1 },
    { at: end(call), by: -1 },
  ]);
  events.sort((a, b) => a.at - b.at || a.by - b.by);
  const found = new Map<number, Level>();
  let n = 0;
  for (const [i, { at, by }] of events.entries()) {
    n += by;
    const spent = (events[i + 1]?.at ?? at) - at;
    const level = levelOf(n);
    const known = found.get(level) ?? { spent: 0, area: 0 };
    known.spent += spent;
    known.area += spent * n;
    found.set(level, known);
  }
  return found;
}

/** Lower bound of the level of so many calls; 0 of none. */
export const levelOf = (n: number): number => LEVELS.findLast((floor) => floor <= n) ?? 0;

export interface FieldCount {
  /** Messages that have the name, and lines of it. */
  readonly messages: number;
  readonly lines: number;
  readonly repeated: number;
  readonly most: number;
  readonly values: ReadonlyMap<string, number>;
  readonly lengths: readonly number[];
}

/** Lines of one name in these messages. */
export function fieldCount(messages: readonly LoggedMessage[], name: string): FieldCount {
  const having = messages.map(({ headers }) => headers.filter(([raw]) => raw.toLowerCase() === name));
  const lines = having.flat().map(([, value]) => value);
  return {
    messages: having.filter(({ length }) => length > 0).length,
    lines: lines.length,
    repeated: having.filter(({ length }) => length > 1).length,
    most: Math.max(...having.map(({ length }) => length)),
    values: counted(lines),
    lengths: lines.map((value) => Buffer.byteLength(value)),
  };
}
