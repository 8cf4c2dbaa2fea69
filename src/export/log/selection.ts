/** Which header fields the log shows. */
import { globMatcher } from '../../redact/glob.ts';

/** Verdicts remembered by name. */
const NAMES_MAX = 4_096;

export class HeaderSelection {
  readonly #include: ((lower: string) => boolean) | null;
  readonly #exclude: (lower: string) => boolean;
  readonly #verdicts = new Map<string, boolean>();

  /** Names or globs. An empty `include` takes all; `exclude` wins over `include`. */
  constructor(include: readonly string[], exclude: readonly string[]) {
    this.#include = include.length === 0 ? null : globMatcher(include);
    this.#exclude = globMatcher(exclude);
  }

  includes(lower: string): boolean {
    let verdict = this.#verdicts.get(lower);
    if (verdict === undefined) {
      verdict = (this.#include === null || this.#include(lower)) && !this.#exclude(lower);
      if (this.#verdicts.size >= NAMES_MAX) this.#verdicts.clear();
      this.#verdicts.set(lower, verdict);
    }
    return verdict;
  }
}
