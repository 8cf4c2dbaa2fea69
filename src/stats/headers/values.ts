/** Values of one name with their counts, and how the most frequent of two lists are kept. */

/** Values of one name with a count of their own. */
export const VALUES_KEPT = 64;

export interface ValueCount {
  /** Lower bound; the true count is at most `error` of its name more. */
  count: number;
  /** Those of `count` that belong to values which first came in the second half of their window. */
  late: number;
  /** Id of a call with this value; "" when it was not kept. */
  example: string;
}

/** Values side by side, without an object for each: most are ids that come once and are gone after the next merge. */
export class ValueList {
  size = 0;
  readonly texts: string[] = [];
  readonly counts: number[] = [];
  readonly lates: number[] = [];
  readonly examples: string[] = [];

  clear(): void {
    this.size = 0;
  }

  put(text: string, count: number, late: number, example: string): void {
    this.#at(this.size++, text, count, late, example);
  }

  take(values: ReadonlyMap<string, ValueCount>): void {
    this.size = 0;
    for (const [text, { count, late, example }] of values) this.put(text, count, late, example);
  }

  /** Keeps the value at `from` as the one at `to`. */
  keep(from: number, to: number): void {
    if (from !== to) this.#at(to, this.texts[from]!, this.counts[from]!, this.lates[from]!, this.examples[from]!);
  }

  #at(i: number, text: string, count: number, late: number, example: string): void {
    this.texts[i] = text;
    this.counts[i] = count;
    this.lates[i] = late;
    this.examples[i] = example;
  }
}

/**
 * Keeps the VALUES_KEPT most frequent values of both in `mine`, and returns what any of them may now miss: the count of the most frequent one
 * that found no place, which all the others lose (Agarwal et al.: Mergeable Summaries, 2013, 3.1). `theirs` is of no use afterwards.
 */
export function mergeValues(mine: Map<string, ValueCount>, theirs: ValueList): number {
  let added = 0;
  for (let i = 0; i < theirs.size; i++) {
    const known = mine.size === 0 ? undefined : mine.get(theirs.texts[i]!);
    if (known === undefined) theirs.keep(i, added++);
    else {
      known.count += theirs.counts[i]!;
      known.late += theirs.lates[i]!;
      known.example = theirs.examples[i]! || known.example;
    }
  }
  const cut = cutOf(mine, theirs, added);
  if (cut > 0) lose(mine, cut);
  for (let i = 0; i < added; i++) {
    const count = theirs.counts[i]!;
    if (count <= cut) continue;
    const entry = { count, late: theirs.lates[i]!, example: theirs.examples[i]! };
    if (cut > 0) reduced(entry, cut);
    mine.set(theirs.texts[i]!, entry);
  }
  return cut;
}

/** Takes `cut` off all, and those away that have no more. */
function lose(mine: Map<string, ValueCount>, cut: number): void {
  let left = 0;
  for (const entry of mine.values()) if (entry.count > cut) left++;
  if (left === 0) mine.clear();
  else for (const [value, entry] of mine) if (!reduced(entry, cut)) mine.delete(value);
}

let counts = new Float64Array(2 * VALUES_KEPT);

/** Count of the most frequent value that finds no place; 0: there is room for all. */
function cutOf(mine: ReadonlyMap<string, ValueCount>, theirs: ValueList, added: number): number {
  const size = mine.size + added;
  if (size <= VALUES_KEPT) return 0;
  let least = Number.POSITIVE_INFINITY;
  let leastOf = 0;
  const look = (count: number): void => {
    if (count < least) {
      least = count;
      leastOf = 0;
    }
    if (count === least) leastOf++;
  };
  for (const { count } of mine.values()) look(count);
  for (let i = 0; i < added; i++) look(theirs.counts[i]!);
  // Ids: as good as all have come once.
  if (size - leastOf <= VALUES_KEPT) return least;
  if (size > counts.length) counts = new Float64Array(2 * size);
  let n = 0;
  for (const { count } of mine.values()) counts[n++] = count;
  for (let i = 0; i < added; i++) counts[n++] = theirs.counts[i]!;
  return counts.subarray(0, size).sort()[size - 1 - VALUES_KEPT]!;
}

/** Takes `cut` off a count; false: nothing is left. */
function reduced(entry: ValueCount, cut: number): boolean {
  if (entry.count <= cut) return false;
  entry.late *= 1 - cut / entry.count;
  entry.count -= cut;
  return true;
}
