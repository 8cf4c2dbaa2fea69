/** What the counts of a name's values say: entropy, and how far two distributions are apart. */
import type { NameState } from './state.ts';

/** Fewer lines than this on either side say nothing about a drift. */
export const DRIFT_LINES_MIN = 20;
/** Added to every count, so that a value that is missing on one side by chance is not infinitely surprising (Krichevsky, Trofimov, 1981). */
const SMOOTHING = 0.5;

/**
 * Bits of information in a value. Values with a count of their own count as they are; the lines of the others are spread evenly over the
 * remaining different values.
 */
export function entropyBits(name: NameState, distinct: number): number {
  const { lines } = name;
  if (lines === 0) return 0;
  let bits = 0;
  for (const { count } of name.values.values()) bits -= (count / lines) * Math.log2(count / lines);
  const { rest } = name;
  if (rest > 0) {
    const others = Math.max(1, Math.min(rest, distinct - name.values.size));
    bits -= (rest / lines) * Math.log2(rest / lines / others);
  }
  return Math.max(0, bits);
}

/**
 * Jensen-Shannon divergence (Lin, 1991) in bits, 0 to 1, of the values in two stretches of time, with smoothed counts; null when either has
 * fewer than DRIFT_LINES_MIN lines. Lines without a count of their own are one more value; where values never come back (`churning`: ids,
 * times), so are all values that only one side has, because their exchange is what such a header does.
 */
export function jensenShannon(now: NameState, before: NameState, churning: boolean): number | null {
  if (now.lines < DRIFT_LINES_MIN || before.lines < DRIFT_LINES_MIN) return null;
  const pairs: [number, number][] = [];
  let mineOnly = now.rest;
  let theirsOnly = before.rest;
  for (const [value, { count }] of now.values) {
    const other = before.values.get(value)?.count ?? 0;
    if (other === 0 && churning) mineOnly += count;
    else pairs.push([count, other]);
  }
  for (const [value, { count }] of before.values) {
    if (now.values.has(value)) continue;
    if (churning) theirsOnly += count;
    else pairs.push([0, count]);
  }
  if (mineOnly + theirsOnly > 0) pairs.push([mineOnly, theirsOnly]);
  const n1 = now.lines + SMOOTHING * pairs.length;
  const n2 = before.lines + SMOOTHING * pairs.length;
  let bits = 0;
  for (const [x1, x2] of pairs) {
    const p = (x1 + SMOOTHING) / n1;
    const q = (x2 + SMOOTHING) / n2;
    const m = (p + q) / 2;
    bits += (p * Math.log2(p / m) + q * Math.log2(q / m)) / 2;
  }
  return Math.max(0, Math.min(1, bits));
}
