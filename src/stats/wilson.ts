/** Two-sided 95 %. */
const Z = 1.959963984540054;

/**
 * Wilson's score interval of a proportion: `hits` of `n` (Wilson, JASA 22, 1927). Right where the usual interval is not: few
 * trials, and proportions near 0 or 1. [0, 1] without trials.
 */
export function wilson(hits: number, n: number, z: number = Z): readonly [low: number, high: number] {
  if (n <= 0) return [0, 1];
  const p = hits / n;
  const z2 = z * z;
  const scale = 1 / (1 + z2 / n);
  const middle = (p + z2 / (2 * n)) * scale;
  const half = z * scale * Math.sqrt((p * (1 - p)) / n + z2 / (4 * n * n));
  return [hits === 0 ? 0 : Math.max(0, middle - half), hits === n ? 1 : Math.min(1, middle + half)];
}
