/** What goes, and when: sealed segments and merged states by age and size, oldest first. Live ones never. */
import { rmdirSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { ASIDE, hourStart, LIVE, ROLLUP, ROLLUP_LEVELS, rollupOf } from './layout.ts';
import type { RetentionOptions } from './protocol.ts';
import { drop, list, sealedSegments } from './seal.ts';

const HOUR_MS = 3_600_000;
/** Between what the folder has and what comes next, as far as nobody doubts the clock. */
const LEAP_MS = 3 * HOUR_MS;
/** A leap of the clock is believed after so long; a segment's hour, which is all that is known of it, begins up to an hour before it. */
const SETTLED_MS = 2 * HOUR_MS;

const sizeOf = (folder: string): number =>
  list(folder).reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);

interface Kept {
  readonly path: string;
  /** Unix ms: nothing in it is later. */
  readonly endMs: number;
  readonly segment: boolean;
  /** The last to go when room is short: a day of statistics is as small as a second of calls. */
  readonly day: boolean;
}

function kept(data: string): Kept[] {
  const found: Kept[] = [...sealedSegments(data).values()].map((folder) => {
    const path = join(data, folder);
    // A segment holds an hour at most; a call in it may have begun before.
    return { path, endMs: hourStart(basename(dirname(path))) + HOUR_MS, segment: true, day: false };
  });
  for (const { name: level, ms } of ROLLUP_LEVELS) {
    for (const name of list(join(data, ROLLUP, level))) {
      const rolled = rollupOf(name);
      if (rolled === null) continue;
      const path = join(data, ROLLUP, level, name);
      found.push({ path, endMs: rolled.startMs + ms, segment: false, day: level === 'day' });
    }
  }
  return found.sort((a, b) => Number(a.day) - Number(b.day) || a.endMs - b.endMs || (a.path < b.path ? -1 : 1));
}

/** When there was something to store: merged states that outlived their segments, then segments in the order in which they were begun. Unix ms. */
function seen(data: string): number[] {
  const merged = ROLLUP_LEVELS.flatMap(({ name }) =>
    list(join(data, ROLLUP, name)).flatMap((folder) => rollupOf(folder)?.startMs ?? []),
  );
  const segments = [...sealedSegments(data)].sort(([a], [b]) => a - b);
  return [...merged.sort((a, b) => a - b), ...segments.map(([, folder]) => hourStart(basename(dirname(folder))))];
}

/**
 * The time that ages are measured to: `nowMs` without a leap that nothing has confirmed yet. A machine that starts with a clock years ahead must not
 * take all that it has for old: a leap counts only after the clock went on from there for an hour or two, and not at all when it was set back.
 * `startedMs`: when this run began, by the same clock; `times`: what came before, in order.
 */
export function believedMs(times: readonly number[], startedMs: number, nowMs: number): number {
  // What was written by a clock that was ahead of a later one says nothing.
  let after = Math.min(startedMs, nowMs);
  for (const time of times.toReversed()) {
    if (nowMs - after >= SETTLED_MS) break;
    const before = Math.min(time, after);
    if (after - before > LEAP_MS) return nowMs - (after - before);
    after = before;
  }
  return nowMs;
}

/**
 * Applies the rules at `nowMs` in a run that began at `startedMs`; returns how many segments went. Fails as `node:fs` does.
 */
export function retain(data: string, { ageMs, bytes }: RetentionOptions, startedMs: number, nowMs: number): number {
  const all = kept(data);
  const believed = believedMs(seen(data), startedMs, nowMs);
  const gone = new Set(all.filter(({ endMs }) => ageMs !== null && endMs + ageMs < believed));
  if (bytes !== null) {
    const rest = all.filter((one) => !gone.has(one)).map((one) => ({ one, size: sizeOf(one.path) }));
    let total = rest.reduce((sum, { size }) => sum + size, sizeOf(join(data, LIVE)) + sizeOf(join(data, ASIDE)));
    for (const { one, size } of rest) {
      if (total <= bytes) break;
      gone.add(one);
      total -= size;
    }
  }
  for (const { path } of gone) {
    drop(path);
    try {
      // The hour's folder, only when it is empty.
      rmdirSync(dirname(path));
    } catch {}
  }
  return [...gone].filter(({ segment }) => segment).length;
}
