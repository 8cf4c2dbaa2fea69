/**
 * `node migrate-steps.ts FOLDER COPIES [STEP]`: migrates a data folder, a step being a call that changes the disk. Before each step it leaves in COPIES/n what a kill
 * would leave; before STEP it is killed.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';

const [data, copies, until] = [process.argv[2]!, process.argv[3]!, Number(process.argv[4] ?? -1)];
let taken = 0;
let copying = false;
for (const name of [
  'mkdirSync',
  'openSync',
  'fsyncSync',
  'renameSync',
  'rmSync',
  'truncateSync',
  'writeFileSync',
] as const) {
  const real = fs[name] as (...args: unknown[]) => unknown;
  (fs as unknown as Record<string, unknown>)[name] = (...args: unknown[]): unknown => {
    const reads = name === 'openSync' && args[1] === 'r';
    if (reads || copying) return real(...args);
    if (taken === until) process.kill(process.pid, 'SIGKILL');
    copying = true;
    fs.cpSync(data, join(copies, String(taken++)), { recursive: true });
    copying = false;
    return real(...args);
  };
}
syncBuiltinESMExports();
const { prepareFolder } = await import('../../src/store/migrate.ts');
prepareFolder(data);
process.stdout.write('done');
