/** Makes folders inside the data folder. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

const MODE = 0o750;

/**
 * Makes `path`, and the folder above it when that is missing too; both may be there already. Throws what the system says: ENOENT when
 * the data folder has been removed. (`recursive` of mkdirSync never returns then: the data folder is named by its descriptor, where
 * nothing can be made, and which is there all the same.)
 */
export function makeFolder(path: string): void {
  try {
    make(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    make(dirname(path));
    make(path);
  }
}

function make(path: string): void {
  try {
    mkdirSync(path, { mode: MODE });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
