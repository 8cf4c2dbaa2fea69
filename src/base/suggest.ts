/** Edit distance (insertions, deletions, replacements, swaps of neighbours) between two short words. O(a * b). */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      current[j] = Math.min(replace, previous[j]! + 1, current[j - 1]! + 1);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        current[j] = Math.min(current[j]!, beforePrevious[j - 2]! + 1);
      }
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/** Longer words are no slips of the finger, and cost time. */
const WORD_MAX = 64;

/** How many slips a word of this length may have. */
export const slipsIn = (word: string): number => Math.max(1, Math.floor(word.length / 3));

/** The candidate that `word` was probably meant to be, at most `slips` edits away, or null. */
export function didYouMean(word: string, candidates: Iterable<string>, slips: number = slipsIn(word)): string | null {
  if (word.length > WORD_MAX) return null;
  let best: string | null = null;
  let bestDistance = slips + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
