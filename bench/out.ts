import { join } from 'node:path';

/** Captures and results; not in the repository. */
export const OUT = join(import.meta.dirname, 'out');
