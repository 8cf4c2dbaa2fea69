import { closeSync, openSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import * as abi from './abi.ts';
import { Counters } from './counters.ts';
import { PAGE } from './libbpf.ts';

/** What the kernel side counted as lost requests on each CPU and in each direction. */
function lostRequests(parts: readonly bigint[]): number {
  using folder = new Folder();
  const bytes = Buffer.alloc(Math.ceil((parts.length * abi.COUNTERS_SIZE) / PAGE) * PAGE);
  for (const [i, part] of parts.entries())
    bytes.writeBigUInt64LE(BigInt.asUintN(64, part), i * abi.COUNTERS_SIZE + abi.COUNTERS_REQUESTS_LOST);
  const path = folder.file('counters');
  writeFileSync(path, bytes);
  const fd = openSync(path, 'r');
  const opened = Counters.open(
    { ring: -1, counters: fd, control: -1, unheard: -1 },
    { ringBytes: PAGE, cpus: parts.length / 2 },
  );
  closeSync(fd);
  if (!opened.ok) throw new Error(opened.error.message);
  const { requests } = opened.value.read();
  opened.value.close();
  return requests.lost;
}

test('sums what the CPUs counted', () => {
  expect(lostRequests([1n, 2n, 3n, 4n])).toBe(10);
  expect(lostRequests([0n, 2n ** 40n])).toBe(2 ** 40);
});

test('what one CPU counted and another took back is none', () => {
  expect(lostRequests([3n, 0n, -2n, 0n])).toBe(1);
  expect(lostRequests([1n, 0n, -1n, 0n])).toBe(0);
});

test('a look between the two finds none rather than less', () => {
  expect(lostRequests([0n, -1n])).toBe(0);
});
