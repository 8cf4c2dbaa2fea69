/**
 * A folder for files that are only wanted while somebody reads: the live log as Parquet. Who is ended by SIGKILL leaves it; the next reader removes it.
 * A process is known by its number only within its PID namespace, and containers may share /tmp, so the namespace is a part of the name.
 */
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'headwater-read';

/** A new folder below TMPDIR, mode 0700. Errors: those of mkdtemp(3). */
export function makeScratch(): string {
  const namespace = pidNamespace();
  const mine = `${PREFIX}-${namespace ?? 'unknown'}-`;
  if (namespace !== null) removeLeft(mine);
  return mkdtempSync(join(tmpdir(), `${mine}${process.pid}-`));
}

/** "4026531836"; null where /proc does not tell. */
function pidNamespace(): string | null {
  try {
    return /\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? null;
  } catch {
    return null;
  }
}

function removeLeft(mine: string): void {
  for (const name of names()) {
    if (!name.startsWith(mine)) continue;
    const pid = Number.parseInt(name.slice(mine.length), 10);
    if (!(pid > 0) || runs(pid)) continue;
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true });
    } catch {
      // Another user's.
    }
  }
}

function names(): string[] {
  try {
    return readdirSync(tmpdir());
  } catch {
    // What may not be listed may still have room for a folder.
    return [];
  }
}

function runs(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
