/** Makes a folder and those above it. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * `path`, and every folder above it that is missing, with `mode`; what is there stays as it is. Throws what the system says: EEXIST where a
 * file is in the way. (`recursive` of mkdirSync never returns where a folder is there and nothing can be made in it, as below /proc.)
 */
export function makeFolders(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return;
    const above = dirname(path);
    if (code !== 'ENOENT' || above === path) throw error;
    makeFolders(above, mode);
    mkdirSync(path, { mode });
  }
}
