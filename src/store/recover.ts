/**
 * What an interrupted run left behind. Every log is read up to its first damage; what follows is set aside and named. It never
 * stops the start: a file that cannot be read is moved away.
 */
import { existsSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { readAtMost } from '../base/bounded-file.ts';
import { Memory } from '../base/memory.ts';
import { makeFolder } from './folder.ts';
import { frames } from './frames.ts';
import { ASIDE, HANDED_FILE, LIVE, ROLLUP, ROLLUP_LEVELS, SEALED, segmentOf } from './layout.ts';
import { ParquetFile } from './parquet/read.ts';
import { SLABS } from './protocol.ts';
import { CALLS_FILE, LEDGER_FILE, list, removeUnfinished, SESSIONS_FILE, STATES_FILE, sealedSegments } from './seal.ts';
import { Segment } from './segment.ts';

/** What was found wrong; for the user. */
export type StoreDamage =
  /** A write that was cut short, or damage, at the end of a log or within it: `calls` is what the heads still tell. `file` has it, or is the log where the disk was full. */
  | { readonly type: 'torn'; readonly file: string; readonly bytes: number; readonly calls: number }
  /** A file that says nothing: no log at all, no Parquet, or not how far the last run came. */
  | { readonly type: 'unreadable'; readonly file: string }
  /** The last run was killed: `calls` had been taken by its last tick, a few ms before, and never reached a file. */
  | { readonly type: 'uncommitted'; readonly calls: number; readonly atMs: number };

export interface Recovery {
  /** Number for the next segment. */
  readonly nextSegment: number;
  /** Logs that are whole and wait to be sealed, oldest first. */
  readonly logs: readonly number[];
  readonly damage: readonly StoreDamage[];
}

/** How far the last run had come: what a kill must not take away unnoticed. */
export interface Handed {
  readonly atMs: number;
  /** It ended in order, with everything on the disk. */
  readonly clean: boolean;
  /** First segment of the run, and calls that runs before it had lost: the ledger has them once this segment has a batch. */
  readonly first: number;
  readonly owed: number;
  /** The last segments and the calls of each so far. Batches of earlier ones have left the queue. */
  readonly segments: readonly (readonly [segment: number, calls: number])[];
}
/** As many as there are batches that may be on their way, and the one that is being filled. */
export const HANDED_SEGMENTS = SLABS + 1;
const HANDED_FIELDS = 5;
const HANDED_BYTES = (HANDED_FIELDS + 2 * HANDED_SEGMENTS) * 8;

/** What a run left of how far it came: null when it left nothing, or nothing yet. */
function readHanded(data: string): Handed | 'unreadable' | null {
  let bytes: Buffer | null;
  try {
    bytes = readAtMost(join(data, HANDED_FILE), HANDED_BYTES);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : 'unreadable';
  }
  if (bytes?.length === 0) return null;
  if (bytes?.length !== HANDED_BYTES) return 'unreadable';
  const numbers = Array.from({ length: HANDED_BYTES / 8 }, (_, i) => bytes.readDoubleLE(i * 8));
  const [atMs, clean, first, owed, count] = numbers as [number, number, number, number, number];
  const segments = Array.from({ length: HANDED_SEGMENTS }, (_, i): [number, number] => [
    numbers[HANDED_FIELDS + 2 * i]!,
    numbers[HANDED_FIELDS + 2 * i + 1]!,
  ]).slice(0, count);
  if (![first, owed, ...segments.flat()].every((n) => Number.isSafeInteger(n) && n >= 0)) return 'unreadable';
  return { atMs, clean: clean === 1, first, owed, segments };
}

/** Of HANDED_SEGMENTS segments at most. */
export function handedBytes({ atMs, clean, first, owed, segments }: Handed): Buffer {
  const bytes = Buffer.alloc(HANDED_BYTES);
  [atMs, clean ? 1 : 0, first, owed, segments.length, ...segments.flat()].forEach((n, i) => {
    bytes.writeDoubleLE(n, i * 8);
  });
  return bytes;
}

/** Moves a file or folder away, under its own name (and its folder's) with a time so that nothing there is overwritten. On a full disk it may stay where it is. */
export function setAside(data: string, path: string): string {
  try {
    makeFolder(join(data, ASIDE));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    return path;
  }
  const of = basename(path).endsWith('.parquet') ? `${basename(dirname(path))}-` : '';
  const to = join(data, ASIDE, `${of}${basename(path)}.${Date.now()}`);
  renameSync(path, to);
  return to;
}

/** Looks at the live folder; `found`: damage that a migration met. Fails as `node:fs` does when the folder itself cannot be used. */
export function recover(data: string, found: readonly StoreDamage[] = []): Recovery {
  removeUnfinished(data, SEALED);
  removeUnfinished(data, ROLLUP);
  const sealed = sealedSegments(data);
  const damage = [...found, ...damagedParquet(data, [...sealed.values()])];
  const logs: number[] = [];
  const committed = new Map<number, number>();
  let last = Math.max(0, ...sealed.keys());
  for (const name of list(join(data, LIVE))) {
    const number = name.endsWith('.log') ? segmentOf(name) : -1;
    if (number < 0) continue;
    last = Math.max(last, number);
    const path = join(data, LIVE, name);
    if (sealed.has(number)) {
      rmSync(path, { recursive: true, force: true });
      continue;
    }
    const log = checkLog(data, path);
    damage.push(...log.damage);
    if (!log.kept) continue;
    logs.push(number);
    committed.set(number, log.calls);
  }
  const handed = readHanded(data);
  if (handed === 'unreadable') damage.push({ type: 'unreadable', file: setAside(data, join(data, HANDED_FILE)) });
  else if (handed !== null) {
    last = Math.max(last, ...handed.segments.map(([segment]) => segment));
    if (!handed.clean) damage.push(uncommitted(data, handed, sealed, committed, damage));
  }
  return { nextSegment: last + 1, logs, damage };
}

/** What the last run had taken and no file has. */
function uncommitted(
  data: string,
  { atMs, first, owed, segments }: Handed,
  sealed: ReadonlyMap<number, string>,
  committed: ReadonlyMap<number, number>,
  damage: readonly StoreDamage[],
): StoreDamage {
  const oldest = Math.min(...sealed.keys());
  /** Older than what is left: retention took it. */
  const expired = (segment: number): boolean => oldest !== Number.POSITIVE_INFINITY && segment < oldest;
  // The first batch of a run has what it owes; a log that is kept has it.
  let calls = sealed.has(first) || committed.has(first) || expired(first) ? 0 : owed;
  for (const [segment, taken] of segments) {
    const folder = sealed.get(segment);
    if (folder === undefined && !committed.has(segment) && expired(segment)) continue;
    const file = folder === undefined ? null : ParquetFile.open(join(data, folder, CALLS_FILE));
    // A sealed file that cannot be read is named as such.
    const written = folder === undefined ? (committed.get(segment) ?? 0) : (file?.rows ?? taken);
    calls += Math.max(0, taken - written);
  }
  const named = damage.reduce((sum, one) => sum + (one.type === 'torn' ? one.calls : 0), 0);
  return { type: 'uncommitted', calls: Math.max(0, calls - named), atMs };
}

/** Sets aside sealed and merged files whose footer cannot be read. What is damaged within shows when it is read. */
function damagedParquet(data: string, segments: readonly string[]): StoreDamage[] {
  const damage: StoreDamage[] = [];
  const check = (path: string): void => {
    if (existsSync(path) && ParquetFile.open(path) === null)
      damage.push({ type: 'unreadable', file: setAside(data, path) });
  };
  for (const folder of segments) {
    for (const name of [CALLS_FILE, STATES_FILE, LEDGER_FILE, SESSIONS_FILE]) check(join(data, folder, name));
  }
  for (const { name: level } of ROLLUP_LEVELS) {
    for (const name of list(join(data, ROLLUP, level))) check(join(data, ROLLUP, level, name, STATES_FILE));
  }
  return damage;
}

/** Cuts a log behind its last whole frame. */
export function checkLog(data: string, path: string): { kept: boolean; calls: number; damage: StoreDamage[] } {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return { kept: false, calls: 0, damage: [{ type: 'unreadable', file: setAside(data, path) }] };
  }
  let calls = 0;
  let lost = 0;
  let good = -1;
  let end = 0;
  for (const frame of frames(bytes)) {
    if (good < 0 && frame.type === 'batch') {
      calls += frame.calls;
      end = frame.end;
      continue;
    }
    // What later batches say refers to words that the damaged one may have defined.
    if (good < 0) good = end;
    if (frame.type !== 'torn') lost += frame.calls;
  }
  if (good < 0) return { kept: calls > 0 || bytes.length > 0, calls, damage: [] };
  let file = path;
  try {
    makeFolder(join(data, ASIDE));
    const aside = join(data, ASIDE, `${basename(path)}.${Date.now()}`);
    writeFileSync(aside, bytes.subarray(good), { mode: 0o640 });
    file = aside;
  } catch {
    // A full disk must not stop the start; the bytes are of no use to this program.
  }
  const damage: StoreDamage[] = [{ type: 'torn', file, bytes: bytes.length - good, calls: lost }];
  if (good === 0) rmSync(path);
  else truncateSync(path, good);
  return { kept: good > 0, calls, damage };
}

/** Reads a log into columns, up to its first damage. Null: it is gone (sealed meanwhile). */
export function readLog(path: string, segment: Segment = new Segment()): Segment | null {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  segment.clear();
  const memory = new Memory(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const frame of frames(bytes)) {
    if (frame.type !== 'batch' || !segment.consume(memory, frame.at, frame.end)) break;
  }
  return segment;
}
