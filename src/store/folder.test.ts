import { closeSync, mkdirSync, openSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { makeFolder } from './folder.ts';

test('a folder, the one above it, and again', () => {
  using folder = new Folder();
  const path = folder.file('sealed/2026-11-22T16');
  for (let i = 0; i < 2; i++) makeFolder(path);
  expect(statSync(path).isDirectory()).toBe(true);
});

test('a data folder that was removed while its descriptor is held: refused, and not tried for ever', () => {
  using folder = new Folder();
  const data = folder.file('data');
  mkdirSync(data);
  const fd = openSync(data, 'r');
  try {
    rmSync(data, { recursive: true });
    expect(() => makeFolder(join(`/proc/self/fd/${fd}`, 'sealed', '2026-11-22T16'))).toThrow('ENOENT');
  } finally {
    closeSync(fd);
  }
});
