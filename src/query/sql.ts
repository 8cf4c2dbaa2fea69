/**
 * A filter (CEL) as a condition in SQL over the store's columns. The condition may let through more calls than the filter does,
 * never fewer: whatever has no column, or compares differently there, becomes TRUE, and the filter itself decides afterwards.
 *
 * Two translations are made of each node: what must hold where it is true, and what must hold where it is false; negation swaps
 * them. An attribute that was not seen is an error in CEL and NULL in SQL, and neither is a match.
 *
 * Each condition says as well what a segment must have for any of its calls to meet it, so that most need not be opened.
 */
import { Duration, Environment } from '@marcbachmann/cel-js/evaluator';
import { all, any, type Condition, FALSE, holds, TRUE } from './condition.ts';
import type { CelNode } from './prepare.ts';

/** What holds where a node is true, and where it is false. */
interface Pair {
  readonly t: Condition;
  readonly f: Condition;
}

const UNKNOWN: Pair = { t: TRUE, f: TRUE };
const MS_PER_S = 1_000;
const NS_PER_MS = 1_000_000n;
const INT64_MAX = 2n ** 63n - 1n;

type Kind = 'text' | 'int' | 'duration' | 'time' | 'path' | 'urlPath';

/** Column (or expression) of each attribute. Numbers are NULL where nothing was seen, and so are texts of TLS; other texts never are, except the method. */
const COLUMNS: Readonly<Record<string, readonly [sql: string, kind: Kind]>> = {
  __proto__: null as never,
  'request.method': ['method', 'text'],
  'request.path': ['target', 'path'],
  'request.url_path': ["split_part(target, '?', 1)", 'urlPath'],
  'request.host': ['authority', 'text'],
  'request.scheme': ['scheme', 'text'],
  'request.protocol': ['protocol', 'text'],
  'request.total_size': ['(request_head_bytes + request_body_bytes)', 'int'],
  'request.duration': ['last_response_ns', 'duration'],
  'request.time': ['ts', 'time'],
  'response.code': ['status', 'int'],
  'response.total_size': ['(response_head_bytes + response_body_bytes)', 'int'],
  'response.grpc_status': ["TRY_CAST(nullif(extra, '') ->> '$.grpc.status' AS BIGINT)", 'int'],
  'source.address': ['client_address', 'text'],
  'source.port': ['client_port', 'int'],
  'destination.address': ['server_address', 'text'],
  'destination.port': ['server_port', 'int'],
  'connection.tls_version': ['tls_version', 'text'],
  'connection.requested_server_name': ['tls_sni', 'text'],
  'process.pid': ['process_pid', 'int'],
  'process.name': ['process_name', 'text'],
  duration: ['last_response_ns', 'duration'],
  route: ['route', 'text'],
  side: ['side', 'text'],
  service: ['service', 'text'],
  outcome: ['outcome', 'text'],
};

const parser = new Environment({ unlistedVariablesAreDyn: true });

/** `text`: a filter that compiles (filter.ts). */
export const filterSql = (text: string): Condition => translate(parser.parse(text).ast as unknown as CelNode, text).t;

const FLIPPED: Readonly<Record<string, string>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
};

function translate(node: CelNode, text: string): Pair {
  const args = node.args as readonly unknown[];
  switch (node.op) {
    case 'value':
      return node.args === true ? { t: TRUE, f: FALSE } : node.args === false ? { t: FALSE, f: TRUE } : UNKNOWN;
    case '&&':
    case '||': {
      const [a, b] = (args as CelNode[]).map((arg) => translate(arg, text)) as [Pair, Pair];
      return node.op === '&&' ? { t: all(a.t, b.t), f: any(a.f, b.f) } : { t: any(a.t, b.t), f: all(a.f, b.f) };
    }
    case '!_': {
      const { t, f } = translate(node.args as CelNode, text);
      return { t: f, f: t };
    }
    case 'in':
      return isIn(args[0] as CelNode, args[1] as CelNode, text);
    case 'rcall':
      return textCall(String(args[0]), args[1] as CelNode, args[2] as readonly CelNode[]);
    default:
      return node.op in FLIPPED ? comparison(node.op, args[0] as CelNode, args[1] as CelNode, text) : UNKNOWN;
  }
}

function comparison(op: string, a: CelNode, b: CelNode, text: string): Pair {
  const [subject, other, sign] = isConstant(a) ? [b, a, FLIPPED[op]!] : [a, b, op];
  const header = headerOf(subject);
  if (header !== null) return headerComparison(header, sign, textOf(other));
  const column = COLUMNS[attributeOf(subject) ?? ''];
  if (column === undefined) return UNKNOWN;
  const [sql, kind] = column;
  if (kind === 'text' || kind === 'path' || kind === 'urlPath') {
    const value = textOf(other);
    if (value === null || (sign !== '==' && sign !== '!=')) return UNKNOWN;
    const there = `${sql} = ${literal(value)}`;
    const equal = {
      t: whole(kind, kind === 'path' ? { sql: there, need: { type: 'text', text: value } } : holds(there)),
      f: whole(kind, holds(`${sql} IS DISTINCT FROM ${literal(value)}`)),
    };
    // A method that is the empty text is NULL.
    if (sql === 'method' && value === '') return UNKNOWN;
    return sign === '==' ? equal : { t: equal.f, f: equal.t };
  }
  const value = kind === 'int' ? intOf(other) : nanosecondsOf(other, kind, text);
  if (value === null) return UNKNOWN;
  if (kind === 'time') return timeComparison(sign, value);
  const { t, f } = numbers(sql, sign, value);
  // Times count from the request's first byte: files whose bounds exclude the value are not read.
  return kind === 'duration' ? { t: all(t, REQUEST_SEEN), f: all(f, REQUEST_SEEN) } : { t, f };
}

const REQUEST_SEEN = holds('first_request_ns IS NOT NULL');

const OPPOSITE: Readonly<Record<string, string>> = {
  '<': '>=',
  '<=': '>',
  '>': '<=',
  '>=': '<',
  '==': '<>',
  '!=': '=',
};

function numbers(sql: string, sign: string, value: bigint): Pair {
  const shown = sign === '==' ? '=' : sign === '!=' ? '<>' : sign;
  return { t: holds(`${sql} ${shown} ${value}`), f: holds(`${sql} ${OPPOSITE[sign]!} ${value}`) };
}

/** The attribute is in milliseconds, rounded down; the column in nanoseconds. `ns` is a whole millisecond. */
function timeComparison(sign: string, ns: bigint): Pair {
  const from = holds(`ts >= make_timestamp_ns(${ns})`);
  const before = holds(`ts < make_timestamp_ns(${ns})`);
  const after = holds(`ts >= make_timestamp_ns(${ns + NS_PER_MS})`);
  const upTo = holds(`ts < make_timestamp_ns(${ns + NS_PER_MS})`);
  switch (sign) {
    case '<':
      return { t: before, f: from };
    case '<=':
      return { t: upTo, f: after };
    case '>':
      return { t: after, f: upTo };
    case '>=':
      return { t: from, f: before };
    case '==':
      return { t: all(from, upTo), f: any(before, after) };
    default:
      return { t: any(before, after), f: all(from, upTo) };
  }
}

/** The path of a target in absolute form, or of CONNECT, is not the target: such calls are let through. */
const whole = (kind: Kind, condition: Condition): Condition =>
  kind === 'text' ? condition : any({ sql: `NOT starts_with(target, '/')`, need: { type: 'other_form' } }, condition);

const TEXT_CALLS: Readonly<Record<string, string>> = {
  __proto__: null as never,
  startsWith: 'starts_with',
  endsWith: 'ends_with',
  contains: 'contains',
};

function textCall(name: string, subject: CelNode, args: readonly CelNode[]): Pair {
  const call = TEXT_CALLS[name];
  const header = headerOf(subject);
  const value = args.length === 1 ? textOf(args[0]!) : null;
  const first = name === 'startsWith';
  if (header !== null) return call === undefined ? UNKNOWN : headerPart(header, value, first);
  const column = COLUMNS[attributeOf(subject) ?? ''];
  if (call === undefined || column === undefined || value === null || value === '') return UNKNOWN;
  const [sql, kind] = column;
  if (kind !== 'text' && kind !== 'path' && kind !== 'urlPath') return UNKNOWN;
  const held = `${call}(${sql}, ${literal(value)})`;
  // NULL stands for the empty method, which neither begins nor ends with, nor contains anything.
  const not = sql === 'method' ? `coalesce(NOT ${held}, TRUE)` : `NOT ${held}`;
  const there: Condition = kind === 'text' ? holds(held) : { sql: held, need: { type: 'piece', text: value, first } };
  return { t: whole(kind, there), f: whole(kind, holds(not)) };
}

function isIn(item: CelNode, where: CelNode, text: string): Pair {
  const part = headersOf(where);
  const name = textOf(item);
  if (part !== null) {
    const header = name === null ? null : headerNamed(part, name);
    if (header === null) return UNKNOWN;
    return { t: present(header), f: absent(header) };
  }
  if (where.op !== 'list') return UNKNOWN;
  const pairs = (where.args as readonly CelNode[]).map((value) => comparison('==', item, value, text));
  return { t: any(...pairs.map(({ t }) => t)), f: all(...pairs.map(({ f }) => f)) };
}

/** A field of a message: which message, and its name in lower case as it stands in a shape. */
interface Header {
  readonly part: 'request' | 'response';
  readonly name: string;
}

/** A shape is JSON text: `["name"` can stand there only where a line begins. */
const present = ({ part, name }: Header): Condition => ({
  sql: `contains(lower(${part}_headers), ${literal(`[${JSON.stringify(name)}`)})`,
  need: { type: 'name', part, name },
});
const absent = (header: Header): Condition => holds(`NOT ${present(header).sql}`);

function headerComparison(header: Header, sign: string, value: string | null): Pair {
  const there = present(header);
  if (value === null || (sign !== '==' && sign !== '!=')) return { t: there, f: there };
  // A field that is repeated is joined by ", ": such a value need not stand anywhere as it is.
  const { part } = header;
  const somewhere: Condition = value.includes(', ')
    ? TRUE
    : {
        sql: `(list_contains(${part}_values, ${literal(value)}) OR contains(${part}_headers, ${literal(JSON.stringify(value))}))`,
        need: { type: 'text', text: value },
      };
  const equal = { t: all(there, somewhere), f: there };
  return sign === '==' ? equal : { t: equal.f, f: equal.t };
}

/** A header's value that begins (`first`), ends with or contains `part`; what is not known of it here is null. */
function headerPart(header: Header, part: string | null, first: boolean): Pair {
  // Whatever is asked of a header's value, it is an error where there is none.
  const there = present(header);
  // What may begin in one and end in another of the values that are joined need not stand in any of them.
  if (part === null || part === '' || /,|^ /.test(part)) return { t: there, f: there };
  const own = `contains(array_to_string(${header.part}_values, chr(10)), ${literal(part)})`;
  const shared = `contains(${header.part}_headers, ${literal(JSON.stringify(part).slice(1, -1))})`;
  const somewhere: Condition = { sql: `(${own} OR ${shared})`, need: { type: 'piece', text: part, first } };
  return { t: all(there, somewhere), f: there };
}

function headersOf(node: CelNode): Header['part'] | null {
  const attribute = attributeOf(node);
  return attribute === 'request.headers' ? 'request' : attribute === 'response.headers' ? 'response' : null;
}

function headerNamed(part: Header['part'], name: string): Header | null {
  // Beyond ASCII the two sides may disagree on what lower case is.
  return /^[\x20-\x7e]+$/.test(name) ? { part, name: name.toLowerCase() } : null;
}

function headerOf(node: CelNode): Header | null {
  if (node.op !== '[]' && node.op !== '.') return null;
  const [of, key] = node.args as readonly [CelNode, unknown];
  const part = headersOf(of);
  if (part === null) return null;
  const name = typeof key === 'string' ? key : textOf(key as CelNode);
  return name === null ? null : headerNamed(part, name);
}

/** "request.method" of a node that names an attribute; null: it is something else. */
function attributeOf(node: CelNode): string | null {
  if (node.op === 'id') return String(node.args);
  if (node.op !== '.') return null;
  const [of, name] = node.args as readonly [CelNode, unknown];
  return of.op === 'id' ? `${String(of.args)}.${String(name)}` : null;
}

const isConstant = (node: CelNode): boolean => node.op === 'value' || node.op === '-_' || node.op === 'call';

/** A text that both sides read alike; null: none. */
function textOf(node: CelNode): string | null {
  if (node.op !== 'value' || typeof node.args !== 'string') return null;
  return node.args.isWellFormed() && !node.args.includes('\0') ? node.args : null;
}

function intOf(node: CelNode): bigint | null {
  const value = node.op === '-_' ? intOf(node.args as CelNode) : node.op === 'value' ? node.args : null;
  if (typeof value !== 'bigint') return null;
  const signed = node.op === '-_' ? -value : value;
  return signed > INT64_MAX || signed < -INT64_MAX ? null : signed;
}

/** `duration("...")` or `timestamp("...")` in ns; a time only when it is a whole millisecond. */
function nanosecondsOf(node: CelNode, kind: Kind, text: string): bigint | null {
  const call = node.op === 'call' ? (node.args as readonly [string, readonly CelNode[]]) : null;
  if (call === null || call[0] !== (kind === 'time' ? 'timestamp' : 'duration') || textOf(call[1][0]!) === null)
    return null;
  try {
    const value: unknown = parser.evaluate(text.slice(node.start, node.end));
    if (value instanceof Date && kind === 'time') {
      const ms = value.getTime();
      return Number.isSafeInteger(ms) && Math.abs(ms) < 9e15 / MS_PER_S ? BigInt(ms) * NS_PER_MS : null;
    }
    if (value instanceof Duration && kind === 'duration') {
      const ns = value.seconds * 1_000_000_000n + BigInt(value.nanos);
      return ns > INT64_MAX || ns < -INT64_MAX ? null : ns;
    }
  } catch {
    // Not a constant of this kind: the filter will say so for each call.
  }
  return null;
}

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
