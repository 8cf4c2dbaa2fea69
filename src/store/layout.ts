/**
 * The data folder. Everything in it is a plain file that is complete or recognisably not:
 *
 *     store.json                          {"version":2}: the schema
 *     lock                                who writes here
 *     live/0000000042.log                 the segment being written, and segments that wait to be sealed
 *     live/handed                         how many calls were handed over for writing (16 bytes)
 *     sealed/2026-11-22T16/0000000041/    a closed segment: calls.parquet, states.parquet, ledger.parquet,
 *                                         websockets.parquet, values.filter, pieces.filter
 *     rollup/hour/20261122T1600-0000000044/  states of an hour (ten minutes, a quarter of a day, a day) up to segment 44 merged: states.parquet
 *     aside/                              what could not be read, kept for a look
 *
 * A segment is live or sealed, never both: the folder's rename to its final name is the one step between the two. A log
 * whose segment is sealed is left over and counts for nothing.
 */
import { join } from 'node:path';

/** Version of the schema that this program writes and reads; older ones are migrated at start (migrate.ts). */
export const STORE_VERSION = 2;

export const VERSION_FILE = 'store.json';
export const LOCK_FILE = 'lock';
export const HANDED_FILE = join('live', 'handed');
export const LIVE = 'live';
export const SEALED = 'sealed';
export const ROLLUP = 'rollup';
export const ASIDE = 'aside';

const DIGITS = 10;

export const segmentName = (segment: number): string => segment.toString().padStart(DIGITS, '0');
export const logName = (segment: number): string => `${segmentName(segment)}.log`;

/** Number of a segment by the name of its log or folder; -1: it is neither. */
export function segmentOf(name: string): number {
  const match = /^(\d{10})(?:\.log)?$/.exec(name);
  return match === null ? -1 : Number(match[1]);
}

/** Folder of the hour (UTC) in which `ms` lies: "2026-11-22T16". */
export const hourName = (ms: number): string => new Date(ms).toISOString().slice(0, 13);

/** Unix time in ms at which the hour of a folder begins; NaN: it is no such folder. */
export const hourStart = (name: string): number =>
  /^\d{4}-\d{2}-\d{2}T\d{2}$/.test(name) ? Date.parse(`${name}:00:00Z`) : Number.NaN;

/** Stretches over which states are merged, shortest first; each is a whole number of those before it, from midnight UTC on. */
export interface RollupLevel {
  readonly name: 'ten' | 'hour' | 'quarter' | 'day';
  readonly ms: number;
}
export const ROLLUP_LEVELS: readonly RollupLevel[] = [
  { name: 'ten', ms: 600_000 },
  { name: 'hour', ms: 3_600_000 },
  { name: 'quarter', ms: 21_600_000 },
  { name: 'day', ms: 86_400_000 },
];

/** Folder of the states merged from `startMs` on, of segments up to `through`: "20261122T1600-0000000044". */
export const rollupName = (startMs: number, through: number): string =>
  `${new Date(startMs).toISOString().slice(0, 16).replace(/[-:]/g, '')}-${segmentName(through)}`;

/** null: it is no such folder. */
export function rollupOf(name: string): { readonly startMs: number; readonly through: number } | null {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)-(\d{10})$/.exec(name);
  if (match === null) return null;
  const [, year, month, day, hour, minute, through] = match;
  const startMs = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
  return Number.isNaN(startMs) ? null : { startMs, through: Number(through) };
}
