import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { StoreClock } from './store-clock.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Runs a clock for `seconds`, looking at the ring whenever `looks` says so; returns the store's turns. */
function turns(seconds: number, looks: (ms: number) => boolean): number[] {
  const at: number[] = [];
  const start = Date.now();
  const clock = new StoreClock(() => void at.push(Date.now() - start));
  for (let ms = 10; ms <= seconds * 1_000; ms += 10) {
    vi.advanceTimersByTime(10);
    if (looks(ms)) clock.looked();
    if (ms % 1_000 === 0) clock.second();
  }
  clock.stop();
  vi.advanceTimersByTime(10_000);
  return at;
}

test('nothing comes: once a second', () => {
  expect(turns(5, () => false)).toEqual([1_000, 2_000, 3_000, 4_000, 5_000]);
});

test('while something comes: four times a second', () => {
  expect(turns(3, () => true)).toHaveLength(11);
});

test('what came last is heard of soon, and once more', () => {
  // Two looks: the second one after the first one's turn was arranged.
  const at = turns(2, (ms) => ms === 1_100 || ms === 1_200);
  expect(at).toEqual([1_000, 1_350, 1_600, 2_000]);
});

test('one look alone is heard of soon', () => {
  expect(turns(2, (ms) => ms === 1_500)).toEqual([1_000, 1_750, 2_000]);
});
