import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { Folder } from '../rig/folder.ts';

const CHILD = fileURLToPath(import.meta.resolve('../rig/hostile-memory.ts'));
/** As attacher/start.ts starts the pipeline. */
const FLAGS = ['--max-semi-space-size=2', '--heap-growing-percent=40', '--no-parallel-scavenge'];
const CALLS = 50_000;
/** The pipeline's part of 300 MB; 100,000 calls with two million names take as much (docs/performance.md). */
const RSS_MAX = 260e6;

test('a million names that never come back, random paths and large values: within the memory, every call accounted for', () => {
  using folder = new Folder();
  const out = execFileSync(process.execPath, [...FLAGS, CHILD, String(CALLS), folder.file('data')], {
    encoding: 'utf8',
    timeout: 230_000,
  });
  const { exchanges, accepted, lost, names, rss, series, header_overflow } = JSON.parse(out);
  expect(exchanges).toBe(CALLS);
  expect(accepted + lost).toBe(CALLS);
  expect(names).toBe(CALLS * 20);
  expect(series).toBeLessThan(4_096);
  expect(header_overflow.lines).toBeGreaterThan(names / 2);
  expect(rss).toBeLessThan(RSS_MAX);
});
