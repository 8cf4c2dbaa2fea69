import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { countsDiffer, sharesDiffer } from './evidence.ts';

/** n over k, exactly. */
function choose(n: number, k: number): bigint {
  let c = 1n;
  for (let i = 0; i < k; i++) c = (c * BigInt(n - i)) / BigInt(i + 1);
  return c;
}
/** Whether `part` / `whole` is at most one in two thousand. */
function isRare(part: bigint, whole: bigint): boolean {
  // Floating point need not agree on which side of the bound a number is that is the bound itself.
  fc.pre(part * 2_000n !== whole);
  return part * 2_000n < whole;
}

describe('by exact arithmetic', () => {
  test('counts of spans whose lengths are whole numbers', () => {
    const count = fc.oneof(fc.nat(3), fc.nat(60));
    fc.assert(
      fc.property(count, fc.integer({ min: 1, max: 900 }), count, fc.integer({ min: 1, max: 900 }), (n, a, m, b) => {
        const total = n + m;
        const term = (k: number): bigint => choose(total, k) * BigInt(a) ** BigInt(k) * BigInt(b) ** BigInt(total - k);
        let upper = 0n;
        for (let k = n; k <= total; k++) upper += term(k);
        const whole = BigInt(a + b) ** BigInt(total);
        const expected = n * b > m * a ? isRare(upper, whole) : n * b < m * a && isRare(whole - upper + term(n), whole);
        expect(countsDiffer(n, a, m, b)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });

  test('shares', () => {
    const trials = fc.oneof(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 80 }));
    const share = trials.chain((n) => fc.nat(n).map((x) => [x, n] as const));
    fc.assert(
      fc.property(share, share, ([x, n], [y, m]) => {
        const term = (k: number): bigint => choose(n, k) * choose(m, x + y - k);
        const sum = (from: number, to: number): bigint => {
          let s = 0n;
          for (let k = Math.max(from, x + y - m, 0); k <= Math.min(to, n, x + y); k++) s += term(k);
          return s;
        };
        const whole = choose(n + m, x + y);
        const expected = x * m > y * n ? isRare(sum(x, n), whole) : x * m < y * n && isRare(sum(0, x), whole);
        expect(sharesDiffer(x, n, y, m)).toBe(expected);
      }),
      { numRuns: 2_000 },
    );
  });
});

test('one call is no evidence, whatever it is compared with', () => {
  // A call in an hour, none in the second before; one of one that failed, none of a hundred.
  expect(countsDiffer(0, 1, 11, 3_600)).toBe(false);
  expect(countsDiffer(1, 60, 0, 86_400)).toBe(false);
  expect(sharesDiffer(0, 100, 1, 1)).toBe(false);
  expect(sharesDiffer(0, 10_000_000, 1, 1)).toBe(true);
});

test('millions of calls', () => {
  expect(countsDiffer(10_000_000, 3_600, 10_010_000, 3_600)).toBe(false);
  expect(countsDiffer(10_000_000, 3_600, 10_020_000, 3_600)).toBe(true);
  expect(sharesDiffer(100_000, 10_000_000, 101_000, 10_000_000)).toBe(false);
  expect(sharesDiffer(100_000, 10_000_000, 102_000, 10_000_000)).toBe(true);
});

test('nothing to compare', () => {
  expect(countsDiffer(5, 0, 5, 60)).toBe(false);
  expect(countsDiffer(0, 60, 0, 60)).toBe(false);
  expect(sharesDiffer(0, 0, 5, 5)).toBe(false);
});
