/** Reads a whole file whose size nobody can vouch for: devices and pipes say 0, and other files grow meanwhile. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const FIRST_BYTES = 64 << 10;

/** The file's bytes; null when there are more than `bytesMax`. What held them on the way is zeroed. Throws what open(2) and read(2) say. */
export function readAtMost(path: string, bytesMax: number): Buffer | null {
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    if (size > bytesMax) return null;
    let bytes = Buffer.alloc(Math.min(bytesMax, Math.max(size, FIRST_BYTES)) + 1);
    let length = 0;
    for (;;) {
      const read = readSync(fd, bytes, length, bytes.length - length, null);
      if (read === 0) return bytes.subarray(0, length);
      length += read;
      if (length < bytes.length) continue;
      if (length > bytesMax) {
        bytes.fill(0);
        return null;
      }
      const more = Buffer.alloc(Math.min(bytesMax, 2 * length) + 1);
      bytes.copy(more);
      bytes.fill(0);
      bytes = more;
    }
  } finally {
    closeSync(fd);
  }
}
