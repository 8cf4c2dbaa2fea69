import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UNSEEN } from '../base/clock.ts';
import { LOAD_BUCKETS, LoadCounter, loadBucket, loadBucketFloor } from './load.ts';

describe('buckets of concurrency', () => {
  test('are named by their lower bounds 1, 2, 3, 4, 6, 8, 12, ...', () => {
    expect(Array.from({ length: 12 }, (_, b) => loadBucketFloor(b))).toEqual([0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48]);
  });

  test('every number lies in the bucket whose bounds hold it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 20 }), (n) => {
        const bucket = loadBucket(n);
        expect(loadBucketFloor(bucket)).toBeLessThanOrEqual(n);
        if (bucket < LOAD_BUCKETS - 1) expect(loadBucketFloor(bucket + 1)).toBeGreaterThan(n);
      }),
    );
    expect(loadBucket(2 ** 30)).toBe(LOAD_BUCKETS - 1);
  });
});

describe('time at each concurrency', () => {
  const drained = (load: LoadCounter): { residence: Float64Array; area: Float64Array } => {
    const [residence, area] = [new Float64Array(LOAD_BUCKETS), new Float64Array(LOAD_BUCKETS)];
    load.drain(residence, area);
    return { residence, area };
  };

  test('is what a sweep over the intervals gives', () => {
    const call = fc.tuple(fc.nat(1_000), fc.integer({ min: 1, max: 500 }));
    fc.assert(
      fc.property(fc.array(call, { minLength: 1, maxLength: 60 }), (calls) => {
        const events = calls
          .flatMap(([from, length]): [number, number][] => [
            [from, 1],
            [from + length, -1],
          ])
          .sort((a, b) => a[0] - b[0] || b[1] - a[1]);
        const load = new LoadCounter();
        const expected = new Float64Array(LOAD_BUCKETS);
        let level = 0;
        let last = events[0]![0];
        let area = 0;
        for (const [at, change] of events) {
          expected[loadBucket(level)]! += at - last;
          area += level * (at - last);
          last = at;
          level += change;
          if (change > 0) load.enter(at);
          else load.leave(at);
        }
        const got = drained(load);
        expect([...got.residence]).toEqual([...expected]);
        expect(got.area.reduce((a, b) => a + b)).toBe(area);
        expect(load.inFlight).toBe(0);
        expect(drained(load).residence.every((ns) => ns === 0)).toBe(true);
      }),
    );
  });

  test('does not pass at events without a time, nor backwards', () => {
    const load = new LoadCounter();
    load.enter(UNSEEN);
    load.enter(100);
    load.leave(UNSEEN);
    load.enter(90);
    load.leave(150);
    const { residence } = drained(load);
    expect(residence[2]).toBe(50);
    expect(residence.reduce((a, b) => a + b)).toBe(50);
  });
});
