/** `node migrate-until.ts FOLDER STEPS`: migrates a data folder and kills itself before step STEPS, a step being a call that changes the disk. */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';

const [data, steps] = [process.argv[2]!, Number(process.argv[3])];
let taken = 0;
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
    if (!reads && taken++ === steps) process.kill(process.pid, 'SIGKILL');
    return real(...args);
  };
}
syncBuiltinESMExports();
const { prepareFolder } = await import('../../src/store/migrate.ts');
prepareFolder(data);
process.stdout.write('done');
