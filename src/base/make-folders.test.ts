import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeFolders } from './make-folders.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-folders-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('every folder that is missing, with the mode; what is there stays', () => {
  makeFolders(join(folder, 'a/b/c'), 0o700);
  makeFolders(join(folder, 'a/b/c'), 0o755);
  for (const path of ['a', 'a/b', 'a/b/c']) expect(statSync(join(folder, path)).mode & 0o777).toBe(0o700);
});

test('a file in the way', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => makeFolders(join(folder, 'file/below'), 0o700)).toThrow('ENOTDIR');
});

test('a folder in which nothing can be made: the answer of the system, not an endless search', () => {
  expect(() => makeFolders('/proc/headwater/below', 0o700)).toThrow(/ENOENT|EACCES|EPERM/);
});
