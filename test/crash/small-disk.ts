/** A disk of a few megabytes in memory, which can be filled to the last byte. Needs root. */
import { spawnSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const BYTES = 256 << 20;
const PIECE = Buffer.alloc(1 << 16);

export class SmallDisk implements Disposable {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    mkdirSync(path);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${BYTES}`, 'tmpfs', path]);
    if (mounted.status !== 0) throw new Error(`cannot mount a disk in memory: ${mounted.stderr}`);
  }

  get data(): string {
    return join(this.#path, 'data');
  }

  fill(full: boolean): void {
    const ballast = join(this.#path, 'ballast');
    if (!full) {
      rmSync(ballast, { force: true });
      return;
    }
    const fd = openSync(ballast, 'w');
    try {
      for (;;) if (writeSync(fd, PIECE) < PIECE.length) return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    spawnSync('umount', ['-l', this.#path]);
  }
}
