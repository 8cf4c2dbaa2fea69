/** Reads a configuration file: YAML to a checked Config, or every mistake in it with its place. */
import { type Document, isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import type { z } from 'zod';
import { readAtMost } from '../base/bounded-file.ts';
import { didYouMean } from '../base/suggest.ts';
import { type Config, configSchema } from './schema.ts';

/** A configuration is a page of text; anything larger is the wrong file. */
export const CONFIG_BYTES_MAX = 2 ** 20;
/** One mistake often causes many; the first ones tell. */
const ERRORS_MAX = 20;
/** YAML aliases may multiply; this many resolved ones are enough for any honest file. */
const ALIASES_MAX = 100;

export interface ConfigError {
  readonly file: string;
  /** From 1; 0 when the whole file is meant. */
  readonly line: number;
  readonly column: number;
  /** "capture.window", "services[0].match.port"; "" at the top. */
  readonly path: string;
  readonly message: string;
}

export type ConfigResult =
  | {
      readonly ok: true;
      readonly config: Config;
      /** Place of a key's value, for whoever finds a mistake that only he can see (a filter that does not compile). */
      readonly locate: (path: readonly PropertyKey[]) => Pick<ConfigError, 'file' | 'line' | 'column'>;
    }
  | { readonly ok: false; readonly errors: readonly ConfigError[] };

/** `FILE:LINE:COLUMN: PATH: MESSAGE`, the form that editors jump to. */
export function formatConfigError(error: ConfigError): string {
  const place = error.line === 0 ? error.file : `${error.file}:${error.line}:${error.column}`;
  return error.path === '' ? `${place}: ${error.message}` : `${place}: ${error.path}: ${error.message}`;
}

/** Reads and checks `file`. Never throws: an unreadable file is an error value too. */
export function loadConfig(file: string): ConfigResult {
  const whole = (message: string): ConfigResult => ({
    ok: false,
    errors: [{ file, line: 0, column: 0, path: '', message }],
  });
  let text: string;
  try {
    const bytes = readAtMost(file, CONFIG_BYTES_MAX);
    if (bytes === null) return whole(`is longer than the ${CONFIG_BYTES_MAX} bytes that are read`);
    text = bytes.toString();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT') return whole('no such file');
    if (code === 'EACCES') return whole('permission denied');
    if (code === 'EISDIR') return whole('is a directory, expected a YAML file');
    return whole(`cannot be read: ${(error as Error).message}`);
  }
  return parseConfig(text, file);
}

/** Checks the text of a configuration; `file` is only named in errors. Pure. */
export function parseConfig(text: string, file: string): ConfigResult {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, logLevel: 'error' });
  const at = (offset: number): Pick<ConfigError, 'file' | 'line' | 'column'> => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const complaints = [...document.errors, ...document.warnings];
  if (complaints.length > 0) {
    const errors = complaints.map((e) => ({ ...at(e.pos[0]), path: '', message: lowerFirst(e.message) }));
    return { ok: false, errors: errors.slice(0, ERRORS_MAX) };
  }
  let value: unknown;
  try {
    value = withoutNulls(document.toJS({ maxAliasCount: ALIASES_MAX })) ?? {};
  } catch (error) {
    return { ok: false, errors: [{ ...at(0), path: '', message: lowerFirst((error as Error).message) }] };
  }
  const checked = configSchema.safeParse(value, { reportInput: true });
  if (checked.success) {
    return { ok: true, config: checked.data, locate: (path) => at(offsetOf(document, path)) };
  }
  const errors = checked.error.issues.flatMap((issue) => describe(issue, document, at));
  errors.sort((a, b) => a.line - b.line || a.column - b.column);
  return { ok: false, errors: errors.slice(0, ERRORS_MAX) };
}

/** A key whose value is empty (all below it commented out) is as good as absent. */
function withoutNulls(value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const entries = Object.entries(value).filter(([, v]) => v !== null);
  return Object.fromEntries(entries.map(([k, v]) => [k, withoutNulls(v)]));
}

type Locate = (offset: number) => Pick<ConfigError, 'file' | 'line' | 'column'>;

function describe(issue: z.core.$ZodIssue, document: Document, at: Locate): ConfigError[] {
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(issue.path);
    return issue.keys.map((key) => {
      const meant = didYouMean(key, known);
      const hint = meant === null ? `known here: ${known.join(', ')}` : `did you mean "${meant}"?`;
      return {
        ...at(keyOffset(document, issue.path, key)),
        path: pathText([...issue.path, key]),
        message: `unknown key; ${hint}`,
      };
    });
  }
  return [{ ...at(offsetOf(document, issue.path)), path: pathText(issue.path), message: expectation(issue) }];
}

/** What was expected, in a user's words, and what is there. */
function expectation(issue: z.core.$ZodIssue): string {
  const got = issue.input === undefined ? '' : `, got ${preview(issue.input)}`;
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined
        ? `missing; expected ${typeName(issue.expected)}`
        : `expected ${typeName(issue.expected)}${got}`;
    case 'invalid_union':
      return `expected text or a number${got}`;
    case 'invalid_value': {
      const values = issue.values.map(String);
      const meant = typeof issue.input === 'string' ? didYouMean(issue.input, values) : null;
      return `expected one of ${values.join(', ')}${got}${meant === null ? '' : `; did you mean "${meant}"?`}`;
    }
    case 'too_small':
      return `expected ${bound('at least', issue.minimum, issue.origin)}${got}`;
    case 'too_big':
      return `expected ${bound('at most', issue.maximum, issue.origin)}${got}`;
    default:
      return `${lowerFirst(issue.message)}${got}`;
  }
}

function bound(how: string, limit: number | bigint, origin: string): string {
  if (origin === 'string') return `${how} ${limit} character${limit === 1 ? '' : 's'}`;
  if (origin === 'array') return `${how} ${limit} entries`;
  return `a number of ${how} ${limit}`;
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping of keys to values',
};
const typeName = (type: string): string => TYPE_NAMES[type] ?? type;

function preview(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value !== null && typeof value === 'object') return 'a mapping';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1);

function pathText(path: readonly PropertyKey[]): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : `${text === '' ? '' : '.'}${String(part)}`;
  return text;
}

/** Keys that the schema knows at `path`. */
function keysAt(path: readonly PropertyKey[]): string[] {
  let schema: unknown = configSchema;
  for (const part of path) {
    schema = unwrap(schema);
    schema =
      typeof part === 'number'
        ? (schema as { element?: unknown }).element
        : (schema as { shape?: Record<string, unknown> }).shape?.[String(part)];
  }
  return Object.keys((unwrap(schema) as { shape?: object } | undefined)?.shape ?? {});
}

/** The schema below defaults, optionals and pipes. */
function unwrap(schema: unknown): unknown {
  let inner = schema as { def?: { innerType?: unknown; in?: unknown } } | undefined;
  while (inner?.def !== undefined && (inner.def.innerType !== undefined || inner.def.in !== undefined)) {
    inner = (inner.def.innerType ?? inner.def.in) as typeof inner;
  }
  return inner;
}

/** Offset of the value at `path`, or of the nearest thing around it that is in the file. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length >= 0; length--) {
    const node = length === 0 ? document.contents : document.getIn(path.slice(0, length), true);
    const offset = (node as Node | null | undefined)?.range?.[0];
    if (offset !== undefined) return offset;
  }
  return 0;
}

function keyOffset(document: Document, path: readonly PropertyKey[], key: string): number {
  const map = path.length === 0 ? document.contents : document.getIn(path, true);
  if (!isMap(map)) return offsetOf(document, path);
  const pair = map.items.find((item) => isScalar(item.key) && String(item.key.value) === key);
  return (pair?.key as Node | undefined)?.range?.[0] ?? offsetOf(document, path);
}
