import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readableByAll } from './readable.ts';

const folder = mkdtempSync(join(tmpdir(), 'headwater-readable-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('a file is readable by all when it is, and every folder above it lets them in', () => {
  const inner = join(folder, 'inner');
  const file = join(inner, 'file');
  mkdirSync(inner);
  writeFileSync(file, '');
  chmodSync(folder, 0o711);
  chmodSync(inner, 0o755);
  chmodSync(file, 0o644);
  expect(readableByAll(file)).toBe(true);
  chmodSync(file, 0o640);
  expect(readableByAll(file)).toBe(false);
  chmodSync(file, 0o644);
  chmodSync(inner, 0o750);
  expect(readableByAll(file)).toBe(false);
  chmodSync(inner, 0o755);
  chmodSync(folder, 0o700);
  expect(readableByAll(file)).toBe(false);
  expect(readableByAll(join(inner, 'absent'))).toBe(false);
});
