import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { LARGE_BYTES, LargeHeap, USUAL_BYTES } from './large-heap.ts';

test('large from one bound on, usual again below another', () => {
  const heap = new LargeHeap();
  expect([USUAL_BYTES, LARGE_BYTES, LARGE_BYTES + 1, LARGE_BYTES, USUAL_BYTES + 1].map((n) => heap.look(n))).toEqual([
    false,
    false,
    true,
    true,
    true,
  ]);
  expect([USUAL_BYTES, LARGE_BYTES].map((n) => heap.look(n))).toEqual([false, false]);
});

/**
 * A process that keeps one object in eight of many, in old pages: holes everywhere. Prints the size of these pages after a collection; how
 * large the young generation has become is chance (64 or 128 MB).
 */
const HOLES = (told: boolean): string => `
  const { LargeHeap } = await import(${JSON.stringify(import.meta.resolve('./large-heap.ts'))});
  let kept = Array.from({ length: 1_200_000 }, (_, i) => ({ i, a: i, b: i, c: i, d: i, e: i }));
  gc();
  kept = kept.filter((_, i) => i % 8 === 0);
  if (${told}) new LargeHeap().look();
  for (let i = 0; i < 3; i++) gc();
  const old = (await import('node:v8')).getHeapSpaceStatistics().find(({ space_name }) => space_name === 'old_space');
  process.stdout.write(JSON.stringify([kept.length, old.space_size]));`;

test('V8 of this version does as it is told while it runs', async () => {
  const of = async (told: boolean): Promise<number[]> => {
    const args = ['--expose-gc', '--input-type=module', '-e', HOLES(told)];
    return JSON.parse((await promisify(execFile)(process.execPath, args)).stdout) as number[];
  };
  const [kept, free] = await of(false);
  const [keptToo, told] = await of(true);
  expect(keptToo).toBe(kept);
  expect(told).toBeLessThan(free!);
});
