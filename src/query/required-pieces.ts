/**
 * What a text must have in it where a regular expression matches: its literal pieces. It may say less than the pattern does, never more; of what
 * it does not know it says nothing. (Cox, "Regular Expression Matching with a Trigram Index", 2012, asks an index in the same way.)
 */
import { all, any, type Condition, TRUE } from './condition.ts';

/** Shorter pieces are nearly everywhere. */
const PIECE_MIN = 2;
/** Of a sequence the longest are asked for: these rule out what can be ruled out. */
const PIECES_OF_A_SEQUENCE = 3;
const PIECES_MAX = 32;
const DEPTH_MAX = 20;

/** `piece` makes the condition that a text contains one, or begins with it (`first`). `pattern`: one that compiles (linear-regexp.ts). */
export function requiredBy(pattern: string, piece: (text: string, first: boolean) => Condition): Condition {
  const reader = new PatternReader(pattern, piece);
  const condition = reader.alternatives(0);
  return reader.ended ? condition : TRUE;
}

/** min 0: what was read need not be there. */
interface Count {
  readonly min: number;
  readonly counted: boolean;
}

class PatternReader {
  readonly #pattern: string;
  readonly #piece: (text: string, first: boolean) => Condition;
  #at = 0;
  #pieces = 0;
  /** Something that is not known here: then nothing is known of the whole. */
  #strange = false;

  constructor(pattern: string, piece: (text: string, first: boolean) => Condition) {
    this.#pattern = pattern;
    this.#piece = piece;
  }

  /** Everything was read and understood. */
  get ended(): boolean {
    return !this.#strange && this.#at === this.#pattern.length && this.#pieces <= PIECES_MAX;
  }

  alternatives(depth: number): Condition {
    const found = [this.#sequence(depth)];
    while (this.#take('|')) found.push(this.#sequence(depth));
    return any(...found);
  }

  #sequence(depth: number): Condition {
    const runs: { text: string; first: boolean }[] = [];
    const groups: Condition[] = [];
    // Where a group may be empty or come again, "^" within it is not the text's beginning.
    let first = depth === 0 && this.#take('^');
    let run = '';
    const cut = (): void => {
      if (run.length >= PIECE_MIN) runs.push({ text: run, first });
      run = '';
      first = false;
    };
    while (!this.#strange) {
      const char = this.#pattern[this.#at];
      if (char === undefined || char === '|' || char === ')') break;
      const text = this.#character();
      if (text === null) {
        cut();
        const group = this.#group(depth);
        if (this.#count().min > 0) groups.push(group);
        continue;
      }
      const { min, counted } = this.#count();
      if (min > 0) run += text;
      if (counted) cut();
      if (text === '') cut();
    }
    cut();
    runs.sort((a, b) => b.text.length - a.text.length);
    const asked = runs.slice(0, PIECES_OF_A_SEQUENCE);
    this.#pieces += asked.length;
    return all(...asked.map((one) => this.#piece(one.text, one.first)), ...groups);
  }

  /** The next character if there is only one that fits, "" for any other thing that is one character or none; null: a group begins. */
  #character(): string | null {
    const char = this.#pattern[this.#at]!;
    if (char === '(') return null;
    this.#at++;
    switch (char) {
      case '\\': {
        const escaped = this.#pattern[this.#at++] ?? '';
        if (/[dDwWsSbB]/.test(escaped)) return '';
        if (!/[!-/:-@[-`{-~]/.test(escaped)) this.#strange = true;
        return escaped;
      }
      case '[':
        this.#class();
        return '';
      case '.':
      case '^':
      case '$':
        return '';
      default:
        if (/[*+?{}\]]/.test(char)) this.#strange = true;
        // Beyond ASCII a character may be two for one of the sides.
        return /[\x20-\x7e]/.test(char) ? char : '';
    }
  }

  #class(): void {
    this.#take('^');
    for (;;) {
      const char = this.#pattern[this.#at++];
      if (char === ']') return;
      if (char === '\\') this.#at++;
      if (char === undefined) {
        this.#strange = true;
        return;
      }
    }
  }

  #group(depth: number): Condition {
    this.#at++;
    if (this.#take('?') && !this.#take(':') && !this.#name()) this.#strange = true;
    if (depth === DEPTH_MAX) this.#strange = true;
    if (this.#strange) return TRUE;
    const inner = this.alternatives(depth + 1);
    if (!this.#take(')')) this.#strange = true;
    return inner;
  }

  /** `<name>`, but not a look-behind. */
  #name(): boolean {
    const name = /^<[A-Za-z_]\w*>/.exec(this.#pattern.slice(this.#at));
    this.#at += name?.[0].length ?? 0;
    return name !== null;
  }

  #count(): Count {
    const count = /^(?:[*+?]|\{(\d+)(?:,\d*)?\})\??/.exec(this.#pattern.slice(this.#at));
    if (count === null) return { min: 1, counted: false };
    this.#at += count[0].length;
    return { min: count[0].startsWith('+') ? 1 : Number(count[1] ?? 0), counted: true };
  }

  #take(char: string): boolean {
    if (this.#pattern[this.#at] !== char) return false;
    this.#at++;
    return true;
  }
}
