/** Histograms read as one against the same histograms merged. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bucketsOf } from '../../../test/fixtures/buckets.ts';
import { ExponentialHistogram, SCALE_START } from './histogram.ts';
import { countBelow, countOf, limitsOf, type SummedBuckets, sumBuckets, sumOf } from './histogram-sum.ts';

const NS = 1e9;
const values = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.double({ min: 0, max: 50, noNaN: true }).map((power) => Math.round(2 ** power)),
  ),
  { maxLength: 60 },
);
const someParts = fc.array(fc.record({ values, scale: fc.integer({ min: -2, max: 8 }) }), { maxLength: 4 });

function histogramOf(numbers: readonly number[], scale = SCALE_START): ExponentialHistogram {
  const histogram = new ExponentialHistogram(NS, null, scale);
  for (const value of numbers) histogram.record(value);
  return histogram;
}
function merged(parts: readonly ExponentialHistogram[]): ExponentialHistogram {
  const all = new ExponentialHistogram(NS, null, 8);
  for (const part of parts) if (part.count > 0) all.merge(part);
  return all;
}

test('count, sum and buckets are those of the merged histogram, at the finest scale with so many', () => {
  fc.assert(
    fc.property(someParts, fc.integer({ min: 4, max: 200 }), (specs, most) => {
      const parts = specs.map(({ values: numbers, scale }) => histogramOf(numbers, scale));
      const all = merged(parts.filter((part) => part.count > part.zeroCount));
      const into: SummedBuckets = { scale: 0, offset: 0, length: 0, counts: new Float64Array(most).fill(99) };
      sumBuckets(parts, into);
      while (bucketsOf(all).counts.length > most) all.downscale(all.scale - 1);
      const expected = bucketsOf(all);
      if (expected.counts.length > 0) expect(into.scale).toBe(expected.scale);
      expect([into.offset, [...into.counts.subarray(0, into.length)]]).toEqual([expected.offset, expected.counts]);
      const numbers = specs.flatMap((spec) => spec.values);
      expect(countOf(parts)).toBe(numbers.length);
      expect(sumOf(parts)).toBe(numbers.reduce((a, b) => a + b, 0) / NS);
    }),
  );
});

test('values at most a bound: exact at powers of two, else within a bucket, and never falling from bound to bound', () => {
  const bounds = [2 ** -20, 0.001, 0.005, 0.5, 1, 2.5, 1024, 1e6];
  fc.assert(
    fc.property(someParts, (specs) => {
      const below = new Float64Array(bounds.length).fill(7);
      const parts = specs.map(({ values: numbers, scale }) => histogramOf(numbers, scale));
      countBelow(parts, limitsOf(bounds), below);
      for (const [b, bound] of bounds.entries()) {
        const exact = specs.reduce((sum, spec) => sum + spec.values.filter((ns) => ns / NS <= bound).length, 0);
        const least = specs.reduce(
          (sum, spec, i) => sum + spec.values.filter((ns) => ns / NS <= bound / 2 ** (2 ** -parts[i]!.scale)).length,
          0,
        );
        const isPower = Number.isInteger(Math.log2(bound)) && parts.every(({ scale }) => scale >= 0);
        expect(below[b]).toBeLessThanOrEqual(exact);
        expect(below[b]).toBeGreaterThanOrEqual(isPower ? exact : least);
        if (b > 0) expect(below[b]).toBeGreaterThanOrEqual(below[b - 1]!);
      }
    }),
  );
});

test('nothing at all', () => {
  const into: SummedBuckets = { scale: 0, offset: 5, length: 5, counts: new Float64Array(8) };
  sumBuckets([], into);
  expect(into).toMatchObject({ scale: SCALE_START, offset: 0, length: 0 });
  expect([countOf([]), sumOf([])]).toEqual([0, 0]);
});
