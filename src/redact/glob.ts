/**
 * Matches names against a list of names and globs (`*` any run of characters, nothing else is special), all compared in
 * lower case. O(name) for names, O(name x pattern) at worst for each glob.
 */
export function globMatcher(patterns: readonly string[]): (lower: string) => boolean {
  const exact = new Set<string>();
  const globs: string[][] = [];
  for (const pattern of patterns) {
    const lower = pattern.toLowerCase();
    if (lower.includes('*')) globs.push(lower.split('*'));
    else if (lower !== '') exact.add(lower);
  }
  if (globs.length === 0) return (lower) => exact.has(lower);
  return (lower) => exact.has(lower) || globs.some((parts) => matches(parts, lower));
}

/** Greedy from the left is exact for `*` alone: the earliest place of each part leaves the most room for the rest. */
function matches(parts: readonly string[], text: string): boolean {
  const first = parts[0]!;
  const last = parts[parts.length - 1]!;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
  let at = first.length;
  for (let i = 1; i < parts.length - 1; i++) {
    const found = text.indexOf(parts[i]!, at);
    if (found < 0) return false;
    at = found + parts[i]!.length;
  }
  return at <= text.length - last.length;
}
