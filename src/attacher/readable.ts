/** Whether anybody may read a file: an installation below /root is closed to the pipeline's user once the cage is shut. */
import { statSync } from 'node:fs';
import { dirname } from 'node:path';

const OTHERS_READ = 0o4;
const OTHERS_ENTER = 0o1;

/** By the permissions of the file and of every folder above it; false when one of them cannot be looked at. */
export function readableByAll(path: string): boolean {
  try {
    if ((statSync(path).mode & OTHERS_READ) === 0) return false;
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      if ((statSync(folder).mode & OTHERS_ENTER) === 0) return false;
      if (folder === dirname(folder)) return true;
    }
  } catch {
    return false;
  }
}
