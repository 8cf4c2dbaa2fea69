/** What goes, and when: sealed segments by age and size, oldest first. Live ones never. */
import { renameSync, rmdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { hourStart, LIVE, ROLLUP } from './layout.ts';
import type { RetentionOptions } from './protocol.ts';
import { list, sealedSegments } from './seal.ts';

const HOUR_MS = 3_600_000;

const sizeOf = (folder: string): number =>
  list(folder).reduce((sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0), 0);

/** Makes a folder vanish for readers at once, then removes it. */
function drop(folder: string): void {
  const gone = `${folder}.tmp`;
  renameSync(folder, gone);
  rmSync(gone, { recursive: true, force: true });
  try {
    // Only when it is empty.
    rmdirSync(dirname(folder));
  } catch {}
}

/** Applies the rules at `nowMs`; returns how many segments went. Fails as `node:fs` does. */
export function retain(data: string, { ageMs, bytes }: RetentionOptions, nowMs: number): number {
  const segments = [...sealedSegments(data)]
    .sort(([a], [b]) => a - b)
    .map(([, path]) => ({ path: join(data, path), hourMs: hourStart(basename(dirname(path))) }));
  let gone = 0;
  const kept = segments.filter(({ path, hourMs }) => {
    // A segment holds an hour at most; a call in it may have begun before.
    if (ageMs === null || !(hourMs + HOUR_MS + ageMs < nowMs)) return true;
    drop(path);
    gone++;
    return false;
  });
  if (bytes !== null) {
    const sizes = kept.map(({ path }) => sizeOf(path));
    let total = sizes.reduce((sum, size) => sum + size, sizeOf(join(data, LIVE)));
    for (let i = 0; i < kept.length && total > bytes; i++) {
      drop(kept[i]!.path);
      total -= sizes[i]!;
      gone++;
    }
  }
  if (ageMs !== null) {
    for (const level of ['hour', 'day']) {
      for (const name of list(join(data, ROLLUP, level))) {
        const start = hourStart(level === 'hour' ? name : `${name}T00`);
        if (start + (level === 'hour' ? 1 : 24) * HOUR_MS + ageMs < nowMs) drop(join(data, ROLLUP, level, name));
      }
    }
  }
  return gone;
}
