import { join } from 'node:path';

/** Captures and results; not in the repository. A test has its own, so that it replaces no measurement. */
export const OUT = process.env['HEADWATER_BENCH_OUT'] ?? join(import.meta.dirname, 'out');
