import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { makeScratch } from './scratch.ts';

let folder: Folder;
beforeEach(() => {
  folder = new Folder();
  vi.stubEnv('TMPDIR', folder.path);
});
afterEach(() => {
  vi.unstubAllEnvs();
  folder[Symbol.dispose]();
});

/** Another process that makes one, with a file in it, and is ended by SIGKILL or goes on. */
async function another(): Promise<{ readonly path: string; kill(): Promise<void> }> {
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `const { makeScratch } = await import(${JSON.stringify(join(import.meta.dirname, 'scratch.ts'))});
       console.log(makeScratch());
       setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const path = said.toString().trim();
  writeFileSync(join(path, 'calls.parquet'), 'x');
  return {
    path,
    kill: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

test('what a reader left that was killed is removed by the next one; what is in use stays', async () => {
  const killed = await another();
  const other = await another();
  await killed.kill();
  try {
    const mine = makeScratch();
    expect(dirname(mine)).toBe(tmpdir());
    expect(readdirSync(folder.path).sort()).toEqual([mine, other.path].map((path) => basename(path)).sort());
    expect(existsSync(join(other.path, 'calls.parquet'))).toBe(true);
  } finally {
    await other.kill();
  }
});

test('a folder of another PID namespace, or whose name has no process, stays', async () => {
  const names = [`headwater-read-1-${2 ** 22 + 1}-abcdef`, 'headwater-read-abcdef'];
  for (const name of names) mkdirSync(join(folder.path, name));
  makeScratch();
  for (const name of names) expect(existsSync(join(folder.path, name))).toBe(true);
});
