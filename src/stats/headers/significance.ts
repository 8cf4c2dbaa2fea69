/** Is a share that much off what was expected? The tail of a predictive distribution, not of a sampling one: shares move by themselves. */

/** Trials summed at most; more are scaled down, which only makes the answer more careful. */
const TRIALS_MAX = 2_000;

/** Lanczos approximation, g = 7, 9 terms (Numerical recipes, 3rd ed., 6.1): relative error below 1e-13 for x > 0. */
const LANCZOS = [
  0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059,
  12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
] as const;

export function logGamma(x: number): number {
  if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
  let sum: number = LANCZOS[0];
  for (let i = 1; i < LANCZOS.length; i++) sum += LANCZOS[i]! / (x - 1 + i);
  const t = x + 6.5;
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
}

const logChoose = (n: number, k: number): number => logGamma(n + 1) - logGamma(k + 1) - logGamma(n - k + 1);
const logBeta = (a: number, b: number): number => logGamma(a) + logGamma(b) - logGamma(a + b);

/**
 * Probability that `n` trials have a count as far from the mean as `x`, or farther, on the same side, when the share itself is drawn from
 * Beta(mean x strength, (1 - mean) x strength): the beta-binomial tail. `strength` says how firmly the share keeps to its mean; a large one
 * gives the binomial distribution. O(min(n, 2000)).
 */
export function tail(x: number, n: number, mean: number, strength: number): number {
  const scale = n > TRIALS_MAX ? TRIALS_MAX / n : 1;
  const trials = Math.round(n * scale);
  const upper = x > mean * n;
  // Towards the mean, so that scaling never adds evidence.
  const count = upper ? Math.floor(x * scale) : Math.ceil(x * scale);
  const a = Math.max(mean * strength, 1e-6);
  const b = Math.max((1 - mean) * strength, 1e-6);
  // P(k) = C(n, k) B(k + a, n - k + b) / B(a, b), from the count outwards: the first term is the largest but where the tail is most of it.
  let k = count;
  let term = Math.exp(logChoose(trials, k) + logBeta(k + a, trials - k + b) - logBeta(a, b));
  let sum = term;
  if (upper) {
    for (; k < trials; k++) {
      term *= ((trials - k) / (k + 1)) * ((k + a) / (trials - k - 1 + b));
      sum += term;
    }
  } else {
    for (; k > 0; k--) {
      term *= (k / (trials - k + 1)) * ((trials - k + b) / (k - 1 + a));
      sum += term;
    }
  }
  return Math.min(1, sum);
}

/** z of two proportions with a common variance; 0 when both are all or nothing alike. */
export function twoProportionZ(x1: number, n1: number, x2: number, n2: number): number {
  if (n1 === 0 || n2 === 0) return 0;
  const p = (x1 + x2) / (n1 + n2);
  const variance = p * (1 - p) * (1 / n1 + 1 / n2);
  return variance === 0 ? 0 : (x1 / n1 - x2 / n2) / Math.sqrt(variance);
}

/** Lower end of Wilson's 95 % interval of x out of n. */
export function wilsonLow(x: number, n: number): number {
  if (n === 0) return 0;
  const z2 = 1.959964 ** 2;
  const p = x / n;
  return Math.max(0, (p + z2 / (2 * n) - Math.sqrt(z2 * ((p * (1 - p)) / n + z2 / (4 * n * n)))) / (1 + z2 / n));
}
