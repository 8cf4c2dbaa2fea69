import { DDSketch } from '@datadog/sketches-js';
import fc from 'fast-check';
import * as hdr from 'hdr-histogram-js';
import { describe, expect, test } from 'vitest';
import { bucketsOf } from '../../../test/fixtures/buckets.ts';
import { ByteReader, ByteWriter } from '../bytes.ts';
import { SCALE_MAX, SCALE_MIN, upperBound } from './bucket.ts';
import { BUCKETS_TIGHT, ExponentialHistogram, SCALE_START } from './histogram.ts';

const QUANTILES = [0, 0.01, 0.1, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1];
/** Nanoseconds from 1 to 17 minutes, evenly over the magnitudes. */
const duration = fc.double({ min: 0, max: 40, noNaN: true }).map((log) => Math.round(2 ** log));
const durations = fc.array(duration, { minLength: 1, maxLength: 300 });

const of = (values: readonly number[], unit = 1e9, scale = SCALE_START): ExponentialHistogram => {
  const histogram = new ExponentialHistogram(unit, null, scale);
  for (const value of values) histogram.record(value);
  return histogram;
};
const exact = (values: readonly number[], q: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]!;
};
const shown = (h: ExponentialHistogram): unknown => ({
  ...bucketsOf(h),
  count: h.count,
  zero: h.zeroCount,
  sum: h.sum,
  min: h.min,
  max: h.max,
});
const bytesOf = (h: ExponentialHistogram): Uint8Array => {
  const out = new ByteWriter();
  h.encode(out);
  return out.take();
};

/** The reference: bounds compared one by one, no logarithm and no table. */
const plainIndex = (value: number, scale: number): number => {
  let index = Math.floor(Math.log2(value) * 2 ** scale);
  while (upperBound(index, scale) < value) index++;
  while (upperBound(index - 1, scale) >= value) index--;
  return index;
};

describe('buckets', () => {
  test('are those of the definition at every scale', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1e-12, max: 1e15, noNaN: true }),
        fc.integer({ min: SCALE_MIN, max: SCALE_MAX }),
        (value, scale) => {
          expect(bucketsOf(of([value], 1, scale))).toEqual({ scale, offset: plainIndex(value, scale), counts: [1] });
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('a power of two is the upper bound of its bucket, in seconds for nanoseconds', () => {
    for (let power = -9; power <= 9; power++) {
      expect(bucketsOf(of([2 ** power * 1e9])).offset).toBe(power * 64 - 1);
      expect(bucketsOf(of([2 ** power * 1e9 + 1])).offset).toBe(power * 64);
    }
  });

  test('every bound of every scale lies in its own bucket, and just above it in the next', () => {
    for (let scale = SCALE_MIN; scale <= SCALE_MAX; scale++) {
      for (let index = -40; index <= Math.min(600, 1_000 * 2 ** scale); index++) {
        const bound = upperBound(index, scale);
        expect(bucketsOf(of([bound], 1, scale)).offset).toBe(index);
        expect(bucketsOf(of([bound * (1 + 2 ** -52)], 1, scale)).offset).toBe(index + 1);
      }
    }
  });
});

describe('quantiles', () => {
  test('are within 1 % of the exact ones', () => {
    fc.assert(
      fc.property(durations, (values) => {
        const histogram = of(values);
        expect(histogram.scale).toBe(SCALE_START);
        for (const q of QUANTILES) {
          const truth = exact(values, q);
          const got = histogram.quantile(q);
          expect(Math.abs(got - truth)).toBeLessThanOrEqual(0.01 * truth);
        }
        expect(histogram.quantile(1)).toBe(Math.max(...values));
        expect(histogram.mean).toBeCloseTo(values.reduce((a, b) => a + b) / values.length, 3);
      }),
    );
  });

  test('agree with HdrHistogram and DDSketch', () => {
    const values = Array.from({ length: 20_000 }, (_, i) =>
      Math.round(1e5 * Math.exp(4 * ((i * 0.618_033_988_75) % 1)) + (i % 97)),
    );
    const ours = of(values);
    const theirs = hdr.build({
      lowestDiscernibleValue: 1,
      highestTrackableValue: 1e12,
      numberOfSignificantValueDigits: 3,
      bitBucketSize: 64,
    });
    const sketch = new DDSketch({ relativeAccuracy: 0.005 });
    for (const value of values) {
      theirs.recordValue(value);
      sketch.accept(value);
    }
    for (const q of [0.5, 0.9, 0.95, 0.99, 0.999]) {
      expect(Math.abs(ours.quantile(q) / theirs.getValueAtPercentile(q * 100) - 1)).toBeLessThan(0.01);
      expect(Math.abs(ours.quantile(q) / sketch.getValueAtQuantile(q) - 1)).toBeLessThan(0.012);
    }
  });

  test('of nothing are NaN, of zeros 0', () => {
    expect(new ExponentialHistogram().quantile(0.5)).toBeNaN();
    expect(of([0, 0, 0, 8]).quantile(0.5)).toBe(0);
  });
});

describe('merging', () => {
  test('gives what recording everything into one gives, in any order and grouping', () => {
    fc.assert(
      fc.property(durations, durations, durations, (a, b, c) => {
        const all = shown(of([...a, ...b, ...c]));
        const left = of(a);
        left.merge(of(b));
        left.merge(of(c));
        const tail = of(c);
        tail.merge(of(b));
        const right = of(a);
        right.merge(tail);
        expect(shown(left)).toEqual(all);
        expect(shown(right)).toEqual(all);
      }),
    );
  });

  test('is exact between different scales', () => {
    const scale = fc.integer({ min: SCALE_MIN, max: SCALE_MAX });
    fc.assert(
      fc.property(durations, durations, scale, scale, (a, b, sa, sb) => {
        const coarse = Math.min(sa, sb);
        const merged = of(a, 1e9, sa);
        merged.merge(of(b, 1e9, sb));
        const reference = of([...a, ...b], 1e9, coarse);
        reference.downscale(Math.min(merged.scale, reference.scale));
        merged.downscale(reference.scale);
        expect(shown(merged)).toEqual(shown(reference));
      }),
    );
  });

  test('downscaling is exact', () => {
    fc.assert(
      fc.property(durations, fc.integer({ min: SCALE_MIN, max: SCALE_START }), (values, scale) => {
        const histogram = of(values);
        histogram.downscale(scale);
        expect(shown(histogram)).toEqual(shown(of(values, 1e9, histogram.scale)));
      }),
    );
  });

  test('counts beyond 32 bits stay exact', () => {
    const half = of([5, 7]);
    for (let i = 0; i < 33; i++) {
      const same = new ExponentialHistogram(1e9);
      same.merge(half);
      half.merge(same);
    }
    expect(half.count).toBe(2 ** 34);
    expect(bucketsOf(half).counts.filter((n) => n > 0)).toEqual([2 ** 33, 2 ** 33]);
    const copy = new ExponentialHistogram(1e9);
    expect(copy.decode(new ByteReader(bytesOf(half)))).toBe(true);
    expect(shown(copy)).toEqual(shown(half));
  });
});

describe('memory', () => {
  test('the widest values make it coarser, not larger', () => {
    const histogram = of([5e-324, 1e-300, 1, 1e300, 0, 1.7e308], 1);
    expect(histogram.scale).toBeLessThan(SCALE_START);
    expect(histogram.bytes).toBeLessThanOrEqual(2_704 * 4 + 256);
    expect(histogram.count).toBe(6);
  });

  test('is given back exactly, and short memory makes histograms coarse', () => {
    const memory = { bytes: 0, bytesMax: 1, coarsened: 0 };
    const histogram = new ExponentialHistogram(1e9, memory);
    for (let i = 0; i < 36; i++) histogram.record(2 ** i);
    expect(memory.bytes).toBe(histogram.bytes);
    expect(bucketsOf(histogram).counts.length).toBeLessThanOrEqual(BUCKETS_TIGHT);
    expect(memory.coarsened).toBeGreaterThan(0);
    expect(histogram.count).toBe(36);
    histogram.clear();
    histogram.release();
    expect(memory.bytes).toBe(0);
    expect(histogram.scale).toBe(SCALE_START);
  });
});

describe('bytes', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(duration, fc.constant(0), fc.double({ min: 0, max: 1e9, noNaN: true })), { maxLength: 200 }),
        (values) => {
          const histogram = of(values);
          const copy = of([1, 2, 3]);
          expect(copy.decode(new ByteReader(bytesOf(histogram)))).toBe(true);
          expect(shown(copy)).toEqual(shown(histogram));
        },
      ),
    );
  });

  test('that are hostile are refused, never a crash', () => {
    fc.assert(
      fc.property(durations, fc.nat(), fc.nat(255), fc.boolean(), (values, at, value, cut) => {
        const bytes = bytesOf(of(values));
        if (cut) {
          expect(new ExponentialHistogram(1e9).decode(new ByteReader(bytes.subarray(0, at % bytes.length)))).toBe(
            false,
          );
          return;
        }
        bytes[at % bytes.length] = value;
        const histogram = new ExponentialHistogram(1e9);
        const good = histogram.decode(new ByteReader(bytes));
        const total = bucketsOf(histogram).counts.reduce((a, b) => a + b, 0) + histogram.zeroCount;
        expect(histogram.count).toBe(good ? total : 0);
      }),
      { numRuns: 3_000 },
    );
  });
});

test('negative and endless values are a programming error', () => {
  for (const value of [-1, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => of([value])).toThrow('finite');
});
