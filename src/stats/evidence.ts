/**
 * Whether chance explains a difference less than once in a thousand, two-sided, by exact tests: what is compared may be one call
 * against a million, or a minute against a day, where the usual approximations call any difference significant.
 */
import { logGamma } from './headers/significance.ts';

/** Of each side. */
const TAIL = 0.000_5;
/** Terms this much smaller than their sum change nothing. */
const NEGLIGIBLE = 1e-9;

const logFactorial = (n: number): number => logGamma(n + 1);
const logChoose = (n: number, k: number): number => logFactorial(n) - logFactorial(k) - logFactorial(n - k);

/** Whether `first` and the terms beyond it, each `ratio(i)` times the one before, add up to less than the tail. */
function isRare(first: number, terms: number, ratio: (i: number) => number): boolean {
  let term = first;
  let sum = first;
  for (let i = 0; i < terms && sum <= TAIL && term > sum * NEGLIGIBLE; i++) {
    term *= ratio(i);
    sum += term;
  }
  return sum <= TAIL;
}

/**
 * Counts `n` and `m` of what happens at random, over spans of these lengths (s): given their sum, one of them is binomial
 * (Przyborowski and Wilenski, Biometrika 31, 1940). False when a span has no length.
 */
export function countsDiffer(n: number, secondsA: number, m: number, secondsB: number): boolean {
  if (secondsA <= 0 || secondsB <= 0) return false;
  const side = n / secondsA - m / secondsB;
  if (side === 0) return false;
  // The larger rate's count, and those that are larger still.
  const [most, rest, own, other] = side > 0 ? [n, m, secondsA, secondsB] : [m, n, secondsB, secondsA];
  const [p, q] = [own / (own + other), other / (own + other)];
  const first = Math.exp(logChoose(most + rest, most) + most * Math.log(p) + rest * Math.log(q));
  return isRare(first, rest, (i) => ((rest - i) / (most + i + 1)) * (p / q));
}

/** `x` of `n` and `y` of `m`: Fisher's exact test. False when one of them has no trials. */
export function sharesDiffer(x: number, n: number, y: number, m: number): boolean {
  if (n === 0 || m === 0) return false;
  const side = x * m - y * n;
  if (side === 0) return false;
  // Hypergeometric: hits of the side with the larger share, given all hits.
  const [hits, trials, fewer, others] = side > 0 ? [x, n, y, m] : [y, m, x, n];
  const first = Math.exp(logChoose(trials, hits) + logChoose(others, fewer) - logChoose(trials + others, hits + fewer));
  const terms = Math.min(fewer, trials - hits);
  return isRare(first, terms, (i) => ((trials - hits - i) / (hits + i + 1)) * ((fewer - i) / (others - fewer + i + 1)));
}
