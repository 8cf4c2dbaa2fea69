/** A clock of the test's own for the programs that run `under` it: they see CLOCK_REALTIME moved, the rest of the machine does not. */
import { closeSync, cpSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Folder } from './folder.ts';
import { must } from './program.ts';

export class MovedClock {
  /** A command line that runs another one with this clock, whatever environment that gives to what it starts. */
  readonly under: readonly string[];
  readonly #file: string;

  private constructor(under: readonly string[], file: string) {
    this.under = under;
    this.#file = file;
  }

  /** Needs root and clang. `folder` is made readable by everybody. */
  static async make(folder: Folder): Promise<MovedClock> {
    await must(['chmod', '755', folder.path]);
    const file = folder.write('ahead', Buffer.alloc(8).toString('latin1'));
    const library = folder.file('clock.so');
    const define = `-DHEADWATER_CLOCK_FILE="${file}"`;
    await must(['clang', '-O2', '-Wall', '-Werror', '-shared', '-fPIC', define, '-o', library, CLOCK_C]);
    // Preloaded by a file, since no environment reaches the agent's own processes; in a mount namespace, where nobody else sees it.
    const etc = folder.file('etc');
    cpSync('/etc', etc, { recursive: true, verbatimSymlinks: true });
    writeFileSync(join(etc, 'ld.so.preload'), `${library}\n`);
    return new MovedClock(['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /etc && exec "$@"', etc], file);
  }

  /** Sets the clock back to where a minute is over in `leftMs`, at most a second more. What it shows from then on, Unix ms. */
  nearMinute(leftMs: number): () => number {
    const behindS = Math.floor(((Date.now() + leftMs) % MINUTE_MS) / 1_000);
    this.set(-behindS);
    return () => Date.now() - behindS * 1_000;
  }

  /** Sets the clock to so many seconds ahead of the machine's. */
  set(aheadS: number): void {
    const ns = Buffer.alloc(8);
    ns.writeBigInt64LE(BigInt(aheadS) * 1_000_000_000n);
    const fd = openSync(this.#file, 'r+');
    writeSync(fd, ns, 0, 8, 0);
    closeSync(fd);
  }
}

const MINUTE_MS = 60_000;
const CLOCK_C = join(import.meta.dirname, 'clock.c');
