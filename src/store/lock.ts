/**
 * One writer for a data folder: a symbolic link whose text names the process, checked against /proc so that a dead one's is no hindrance. Making it is one
 * step, and needs no room on a full disk.
 */
import { readFileSync, readlinkSync, renameSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { LOCK_FILE } from './layout.ts';

interface Holder {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: tells a process from a later one with its number. */
  readonly started: string;
}

const startOf = (pid: number): string | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
};

/** Programs before this one wrote a file. */
function textOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    return readFileSync(path, 'utf8');
  }
}

function read(path: string): Holder | null {
  try {
    const { pid, started } = JSON.parse(textOf(path)) as Partial<Holder>;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : null;
  } catch {
    return null;
  }
}

const alive = (holder: Holder): boolean => startOf(holder.pid) === holder.started;

/**
 * Takes the lock of the data folder for this process. Returns null, or the process that has it. Fails as `node:fs` does.
 * Two that start at once over a dead one's lock: a link is made by one of them only.
 */
export function takeLock(data: string): number | null {
  const path = join(data, LOCK_FILE);
  const own: Holder = { pid: process.pid, started: startOf(process.pid) ?? '' };
  for (;;) {
    try {
      symlinkSync(JSON.stringify(own), path);
      return null;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const holder = read(path);
    if (holder !== null && alive(holder)) return holder.pid;
    // Set aside under a name of our own: whoever comes second finds it gone, and looks again.
    const stale = `${path}.stale.${process.pid}`;
    try {
      renameSync(path, stale);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      continue;
    }
    const taken = read(stale);
    if (taken !== null && alive(taken)) {
      renameSync(stale, path);
      return taken.pid;
    }
    unlinkSync(stale);
  }
}

export function releaseLock(data: string): void {
  const path = join(data, LOCK_FILE);
  if (read(path)?.pid === process.pid) rmSync(path, { force: true });
}
