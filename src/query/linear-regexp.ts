/**
 * Regular expressions whose time grows linearly with the text, as CEL demands (it names RE2). A filter meets header
 * values that an attacker wrote; with a backtracking engine `(a+)+$` would stop the agent. V8 carries a linear engine
 * behind a flag: a pattern that it cannot run in linear time (backreferences, look-ahead) is refused when it is compiled.
 */
import { setFlagsFromString } from 'node:v8';

setFlagsFromString('--enable-experimental-regexp-engine');

/** Patterns grow when repetitions are written out. */
const EXPANDED_MAX = 8_192;

/** One character, an escape, or a character class, then a counted repetition. */
const COUNTED =
  /(\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^xu])|\[(?:\\.|[^\]\\])*\]|[^\\[\](){}*+?|^$])\{(\d{1,4})(?:(,)(\d{0,4}))?\}(\??)/g;

/** @returns the compiled pattern, or null when it is no pattern or cannot be matched in linear time. */
export function compileLinear(pattern: string): RegExp | null {
  const expanded = expandCounts(pattern);
  if (expanded === null) return null;
  try {
    return new RegExp(expanded, 'l');
  } catch {
    return null;
  }
}

/**
 * The linear engine refuses large counts (`[0-9a-f]{32}`); written out they are plain. Null: too long. Counts after a
 * group stay as they are (the engine takes small ones).
 */
function expandCounts(pattern: string): string | null {
  let length = pattern.length;
  let tooLong = false;
  const text = pattern.replace(COUNTED, (whole, atom: string, from: string, comma?: string, to?: string, lazy = '') => {
    const min = Number(from);
    const max = comma === undefined ? min : to === '' || to === undefined ? Infinity : Number(to);
    if (max < min) return whole;
    const optional = max === Infinity ? 1 : max - min;
    length += atom.length * (min + optional) + optional * 2;
    if (length > EXPANDED_MAX) {
      tooLong = true;
      return '';
    }
    const tail = max === Infinity ? `${atom}*${lazy}` : `${atom}?${lazy}`.repeat(optional);
    return atom.repeat(min) + tail;
  });
  return tooLong ? null : text;
}

/** Compiled patterns kept; those of a filter are few, but a filter may also compute one for each call. */
const PATTERNS_MAX = 64;
/** Pattern length times text length that one evaluation may cost: some 50 ms for the worst pattern. */
const WORK_MAX = 1_000_000;
/** What a call of the engine costs at least. */
const WORK_OF_A_CALL = 64;

/** Matches within a bound: linear is still long when both the pattern and the text are. */
export class LinearMatcher {
  readonly #patterns = new Map<string, RegExp | null>();
  #work = 0;

  /** An evaluation begins. */
  begin(): void {
    this.#work = 0;
  }

  /** Throws when `pattern` is none, or when this evaluation has cost too much. */
  test(text: string, pattern: string): boolean {
    const compiled = this.#compiled(pattern);
    if (compiled === null) throw new Error('not a pattern');
    this.#work += WORK_OF_A_CALL + text.length * compiled.source.length;
    if (this.#work > WORK_MAX) throw new Error('too much text for the pattern');
    return compiled.test(text);
  }

  #compiled(pattern: string): RegExp | null {
    let compiled = this.#patterns.get(pattern);
    if (compiled === undefined) {
      compiled = compileLinear(pattern);
      if (this.#patterns.size >= PATTERNS_MAX) this.#patterns.clear();
      this.#patterns.set(pattern, compiled);
    }
    return compiled;
  }
}
