/** Files that say what a segment has not: they only spare work, so one that cannot be read excludes nothing. */
import { closeSync, openSync, readSync } from 'node:fs';

/** What `look` says of the open file; true where it cannot be opened or read. */
export function mayUnless(path: string, look: (fd: number) => boolean): boolean {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return true;
  }
  try {
    return look(fd);
  } catch {
    return true;
  } finally {
    closeSync(fd);
  }
}

/** `length` bytes from `from` on; null when there are fewer. */
export function readAt(fd: number, from: number, length: number): Buffer | null {
  const bytes = Buffer.allocUnsafe(length);
  return readSync(fd, bytes, 0, length, from) === length ? bytes : null;
}
