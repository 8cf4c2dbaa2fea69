import { closeSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openDataFolder } from '../../src/attacher/data-folder.ts';
import { Refusal } from '../../src/attacher/refusal.ts';
import { ASIDE, LIVE, LOCK_FILE, ROLLUP, SEALED, VERSION_FILE } from '../../src/store/layout.ts';

const own = process.getuid!();
/** Whom files would be given to. */
const pipeline = { uid: own === 0 ? 65_534 : own + 1, gid: process.getgid!() };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-data-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("somebody's files are left alone: named, and still theirs", () => {
  for (const name of ['a.txt', 'b.txt', 'c.txt', 'd.txt']) writeFileSync(join(folder, name), '');
  mkdirSync(join(folder, LIVE));
  const refused = openDataFolder(folder, pipeline);
  expect(String(refused)).toBe(
    `Cannot keep the store in ${folder}: other files are in it (a.txt, b.txt, c.txt, ...).\n  Name a folder that is empty or not there yet: --data DIR.`,
  );
  for (const name of readdirSync(folder)) expect(statSync(join(folder, name)).uid).toBe(own);
  expect(statSync(folder).uid).toBe(own);
});

const given = (): number => {
  const fd = openDataFolder(folder, pipeline);
  if (fd instanceof Refusal) throw new Error(String(fd));
  closeSync(fd);
  return statSync(folder).uid;
};

test.runIf(own === 0).each([
  ['an empty one', []],
  ['a file system of its own', ['lost+found']],
  ['a store', [VERSION_FILE, LOCK_FILE, LIVE, SEALED, ROLLUP, ASIDE]],
  ['a store in the making', [LOCK_FILE, `${VERSION_FILE}.tmp`]],
  ['a store with a note beside it', [VERSION_FILE, 'README']],
] as const)('%s becomes that of the pipeline', (_what, names) => {
  for (const name of names) writeFileSync(join(folder, name), '');
  expect(given()).toBe(pipeline.uid);
  for (const name of names) expect(statSync(join(folder, name)).uid).toBe(pipeline.uid);
});

test('a place where no folder can be made', () => {
  expect(String(openDataFolder('/proc/headwater', null))).toContain('--data DIR');
});
