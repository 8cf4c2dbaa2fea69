/**
 * The filter language: CEL with Envoy's attribute names, one implementation for the agent (`run --filter`, `tail`), for
 * capture files and for lines of the header log. docs/cli.md has the reader's description.
 */
import { Environment } from '@marcbachmann/cel-js/evaluator';
import { ATTRIBUTES, AttributeContext, declareAttributes } from './attributes.ts';
import { LinearMatcher } from './linear-regexp.ts';
import { type CelNode, prepare } from './prepare.ts';
import type { FilterSubject } from './subject.ts';
import { suggestAttribute } from './suggest.ts';

export const FILTER_LENGTH_MAX = 4_096;
const AST_NODES_MAX = 2_000;
const DEPTH_MAX = 100;
const LIST_MAX = 1_000;

/** A filter that does not compile: where and why. */
export interface FilterError {
  readonly message: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** The line of the filter, and below it a caret at the column. */
  readonly excerpt: string;
}

export type FilterResult =
  | { readonly ok: true; readonly filter: Filter }
  | { readonly ok: false; readonly error: FilterError };

/** A compiled filter. Not for concurrent use inside one evaluation (nothing here is asynchronous). */
export class Filter {
  readonly text: string;
  /** Evaluations that could not be answered (an attribute that was not seen, a division by zero): no match. */
  errors = 0;
  readonly #evaluate: (context: object) => unknown;
  readonly #context = new AttributeContext();

  constructor(text: string, evaluate: (context: object) => unknown) {
    this.text = text;
    this.#evaluate = evaluate;
  }

  /**
   * Never throws. Time is bounded by the filter's cost bound and the size of the call's header blocks; a pattern that
   * would take too long on a huge value is an error, so no match.
   */
  matches(subject: FilterSubject): boolean {
    this.#context.look(subject);
    matcher.begin();
    try {
      return this.#evaluate(this.#context) === true;
    } catch {
      this.errors++;
      return false;
    } finally {
      this.#context.look(null);
    }
  }
}

/** Evaluation is synchronous: one matcher, and one bound, at a time. */
const matcher = new LinearMatcher();
let shared: Environment | null = null;

function environment(): Environment {
  if (shared !== null) return shared;
  const env = new Environment({
    limits: { maxAstNodes: AST_NODES_MAX, maxDepth: DEPTH_MAX, maxListElements: LIST_MAX, maxMapEntries: LIST_MAX },
  });
  declareAttributes(env);
  env.registerFunction('string.matchesLinear(string): bool', {
    async: false,
    handler: (text: string, pattern: string) => matcher.test(text, pattern),
  });
  shared = env;
  return env;
}

interface CelError extends Error {
  readonly code?: string;
  readonly summary?: string;
  readonly range?: { readonly start: number; readonly end: number };
}

/** Compiles `text`. Never throws: every mistake, also a wrong type or an unknown attribute, is an error with its place. */
export function compileFilter(text: string): FilterResult {
  const fail = (message: string, start: number, end: number): FilterResult => ({
    ok: false,
    error: locate(text, message, start, end),
  });
  if (text.length > FILTER_LENGTH_MAX) {
    return fail(
      `the filter has ${text.length} characters, at most ${FILTER_LENGTH_MAX} are allowed`,
      FILTER_LENGTH_MAX,
      FILTER_LENGTH_MAX,
    );
  }
  if (text.trim() === '') return fail('the filter is empty', 0, 0);
  try {
    const parsed = environment().parse(text);
    const refusal = prepare(parsed.ast as unknown as CelNode);
    if (refusal !== null) return fail(refusal.message, refusal.start, refusal.end);
    const checked = parsed.check();
    if (!checked.valid) return fromCel(text, checked.error as CelError, fail);
    if (checked.type !== 'bool' && checked.type !== 'dyn') {
      return fail(
        `the filter gives ${plainTypes(checked.type ?? 'nothing')}, expected bool (true or false)`,
        0,
        text.length,
      );
    }
    return { ok: true, filter: new Filter(text, parsed) };
  } catch (error) {
    return fromCel(text, error as CelError, fail);
  }
}

/** CEL's type names, as a filter writes them. */
const plainTypes = (message: string): string =>
  message
    .replaceAll('google.protobuf.Duration', 'duration')
    .replaceAll('google.protobuf.Timestamp', 'timestamp')
    .replaceAll('headwater.', '')
    .replaceAll('matchesLinear', 'matches');

/** What people write who come from SQL or a shell. */
const HINTS: readonly (readonly [of: RegExp, hint: string])[] = [
  [
    /duration (?:[<>=!]+|[-+]) (?:int|double)|(?:int|double) (?:[<>=!]+|[-+]) duration/,
    '; write a duration as duration("200ms")',
  ],
  [/^Unexpected character/, '; there are == != < <= > >= in && || ! and calls such as matches("...")'],
];

function fromCel(
  text: string,
  error: CelError,
  fail: (message: string, start: number, end: number) => FilterResult,
): FilterResult {
  const start = error.range?.start ?? 0;
  const end = error.range?.end ?? start;
  if (error instanceof RangeError) return fail('the filter is nested too deeply', 0, 0);
  if (error.code === 'unknown_variable' || error.code === 'no_such_key') {
    const name = attributeAt(text, start, end);
    const meant = suggestAttribute(
      name,
      ATTRIBUTES.map(([attribute]) => attribute),
    );
    return fail(`unknown attribute "${name}"${meant === null ? '' : `; did you mean "${meant}"?`}`, start, end);
  }
  const summary = plainTypes(error.summary ?? error.message);
  const hint = HINTS.find(([pattern]) => pattern.test(summary))?.[1] ?? '';
  return fail(`${summary.charAt(0).toLowerCase()}${summary.slice(1)}${hint}`, start, end);
}

/** The dotted name that ends in [start, end). */
function attributeAt(text: string, start: number, end: number): string {
  const before = /[\w.]*$/.exec(text.slice(0, start))?.[0] ?? '';
  return printable(`${before}${text.slice(start, end)}`);
}

/** A filter may come from another process: nothing of it may steer a terminal. */
const printable = (text: string): string => text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, ' ');

function locate(text: string, message: string, start: number, end: number): FilterError {
  const from = Math.min(start, text.length);
  const lineStart = text.lastIndexOf('\n', from - 1) + 1;
  const lineEnd = text.indexOf('\n', from) < 0 ? text.length : text.indexOf('\n', from);
  const line = text.slice(0, lineStart).split('\n').length;
  const column = [...text.slice(lineStart, from)].length + 1;
  // A long line is shown around the place.
  const shownFrom = Math.max(lineStart, from - 100);
  const shown = printable(text.slice(shownFrom, Math.min(lineEnd, from + 100)));
  const marks = Math.max(1, [...text.slice(from, Math.min(end, lineEnd, from + 100))].length);
  const caret = `${' '.repeat([...text.slice(shownFrom, from)].length)}${'^'.repeat(marks)}`;
  return { message: printable(message), line, column, excerpt: `${shown}\n${caret}` };
}
