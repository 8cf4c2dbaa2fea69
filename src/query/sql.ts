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
import { all, any, type Condition, FALSE, holds, type Pair, TRUE } from './condition.ts';
import type { CelNode } from './prepare.ts';
import {
  absent,
  anyName,
  anyValue,
  column,
  type Header,
  headerValue,
  isAscii,
  isTextCall,
  matchesPattern,
  path,
  present,
  query,
  type Text,
  urlPath,
} from './text-sql.ts';

const UNKNOWN: Pair = { t: TRUE, f: TRUE };
const MS_PER_S = 1_000;
const NS_PER_MS = 1_000_000n;
const INT64_MAX = 2n ** 63n - 1n;
/** A loop over a longer list is not written out. */
const LOOP_MAX = 64;

/** Texts are NULL where nothing was seen of TLS, or the method; others never are. */
const TEXTS: Readonly<Record<string, Text>> = {
  __proto__: null as never,
  'request.method': column('method'),
  'request.path': path,
  'request.url_path': urlPath,
  'request.query': query,
  'request.host': column('authority'),
  'request.scheme': column('scheme'),
  'request.protocol': column('protocol'),
  'source.address': column('client_address'),
  'destination.address': column('server_address'),
  'connection.tls_version': column('tls_version'),
  'connection.requested_server_name': column('tls_sni'),
  'process.name': column('process_name'),
  route: column('route'),
  side: column('side'),
  service: column('service'),
  outcome: column('outcome'),
};

type Kind = 'int' | 'duration' | 'time';

/** NULL where nothing was seen. */
const NUMBERS: Readonly<Record<string, readonly [sql: string, kind: Kind]>> = {
  __proto__: null as never,
  'request.total_size': ['(request_head_bytes + request_body_bytes)', 'int'],
  'request.duration': ['last_response_ns', 'duration'],
  'request.time': ['ts', 'time'],
  'response.code': ['status', 'int'],
  'response.total_size': ['(response_head_bytes + response_body_bytes)', 'int'],
  'response.grpc_status': ["TRY_CAST(nullif(extra, '') ->> '$.grpc.status' AS BIGINT)", 'int'],
  'source.port': ['client_port', 'int'],
  'destination.port': ['server_port', 'int'],
  'process.pid': ['process_pid', 'int'],
  duration: ['last_response_ns', 'duration'],
};

/** What the names that a loop binds stand for. */
type Bound = CelNode | Header['part'];

const parser = new Environment({ unlistedVariablesAreDyn: true });

/** `text`: a filter that compiles (filter.ts). */
export const filterSql = (text: string): Condition =>
  new Translation(text).pair(parser.parse(text).ast as unknown as CelNode).t;

const FLIPPED: Readonly<Record<string, string>> = {
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
  '==': '==',
  '!=': '!=',
};
const ARITHMETIC = new Set(['+', '-', '*', '/', '%', '-_']);
/** Of these every argument is evaluated, and one that fails is their failure. */
const STRICT_CALLS = new Set(
  'size int uint double string contains startsWith endsWith matches lowerAscii upperAscii trim split indexOf substring replace'.split(
    ' ',
  ),
);

class Translation {
  readonly #text: string;
  readonly #bound = new Map<string, Bound>();

  constructor(text: string) {
    this.#text = text;
  }

  pair(node: CelNode): Pair {
    const args = node.args as readonly unknown[];
    switch (node.op) {
      case 'value':
        return node.args === true ? { t: TRUE, f: FALSE } : node.args === false ? { t: FALSE, f: TRUE } : UNKNOWN;
      case '&&':
      case '||': {
        const [a, b] = (args as CelNode[]).map((arg) => this.pair(arg)) as [Pair, Pair];
        return node.op === '&&' ? { t: all(a.t, b.t), f: any(a.f, b.f) } : { t: any(a.t, b.t), f: all(a.f, b.f) };
      }
      case '!_': {
        const { t, f } = this.pair(node.args as CelNode);
        return { t: f, f: t };
      }
      case '?:': {
        const [asked, yes, no] = (args as CelNode[]).map((arg) => this.pair(arg)) as [Pair, Pair, Pair];
        return { t: any(all(asked.t, yes.t), all(asked.f, no.t)), f: any(all(asked.t, yes.f), all(asked.f, no.f)) };
      }
      case 'in':
        return this.#isIn(args[0] as CelNode, args[1] as CelNode) ?? this.#evaluated(node);
      case 'call':
        return this.#has(node) ?? this.#evaluated(node);
      case 'rcall':
        return (
          this.#method(String(args[0]), args[1] as CelNode, args[2] as readonly CelNode[]) ?? this.#evaluated(node)
        );
      default:
        if (node.op in FLIPPED)
          return this.#comparison(node.op, args[0] as CelNode, args[1] as CelNode) ?? this.#evaluated(node);
        return UNKNOWN;
    }
  }

  /** Whatever the answer is: there is one only where every header that is read is there. */
  #evaluated(node: CelNode): Pair {
    const there = all(...this.#strict(node));
    return { t: there, f: there };
  }

  #strict(node: CelNode): Condition[] {
    const header = this.#header(node);
    if (header !== null) return [present(header)];
    const args = node.args as readonly unknown[];
    if (node.op === '-_') return this.#strict(node.args as CelNode);
    if (node.op in FLIPPED || ARITHMETIC.has(node.op)) return (args as CelNode[]).flatMap((arg) => this.#strict(arg));
    if (node.op === '?:') return this.#strict(args[0] as CelNode);
    if ((node.op !== 'call' && node.op !== 'rcall') || !STRICT_CALLS.has(String(args[0]))) return [];
    return (args.slice(1).flat() as CelNode[]).flatMap((arg) => this.#strict(arg));
  }

  #comparison(op: string, left: CelNode, right: CelNode): Pair | null {
    const [a, b] = [this.#resolved(left), this.#resolved(right)];
    const [subject, other, sign] = isConstant(a) ? [b, a, FLIPPED[op]!] : [a, b, op];
    const text = this.#textOf(subject);
    if (text !== null) {
      const value = constantText(other);
      if (value === null || (sign !== '==' && sign !== '!=')) return null;
      const { t, f } = text.equal(value);
      return sign === '==' ? { t, f } : { t: f, f: t };
    }
    const column = NUMBERS[attributeOf(subject) ?? ''];
    if (column === undefined) return null;
    const [sql, kind] = column;
    const value = kind === 'int' ? intOf(other) : nanosecondsOf(other, kind, this.#text);
    if (value === null) return null;
    if (kind === 'time') return timeComparison(sign, value);
    const { t, f } = numbers(sql, sign, value);
    // Times count from the request's first byte: files whose bounds exclude the value are not read.
    return kind === 'duration' ? { t: all(t, REQUEST_SEEN), f: all(f, REQUEST_SEEN) } : { t, f };
  }

  #isIn(item: CelNode, where: CelNode): Pair | null {
    const part = headersOf(where);
    if (part !== null) {
      const header = this.#headerNamed(part, item);
      return header && { t: present(header), f: absent(header) };
    }
    if (where.op !== 'list') return null;
    const pairs = (where.args as readonly CelNode[]).map((value) => this.#comparison('==', item, value) ?? UNKNOWN);
    return { t: any(...pairs.map(({ t }) => t)), f: all(...pairs.map(({ f }) => f)) };
  }

  #has(node: CelNode): Pair | null {
    const [name, args] = node.args as readonly [string, readonly CelNode[]];
    if (name !== 'has') return null;
    const header = this.#header(args[0]!);
    if (header !== null) return { t: present(header), f: absent(header) };
    return attributeOf(args[0]!) === 'response.code'
      ? { t: holds('status IS NOT NULL'), f: holds('status IS NULL') }
      : UNKNOWN;
  }

  #method(name: string, of: CelNode, args: readonly CelNode[]): Pair | null {
    if (name === 'exists' || name === 'all') return this.#loop(name, of, args);
    const value = args.length === 1 ? constantText(this.#resolved(args[0]!)) : null;
    const text = this.#textOf(this.#resolved(of));
    if (text === null || value === null) return null;
    if (name === 'matches') return matchesPattern(text, value);
    return isTextCall(name) && value !== '' ? text.part(name, value) : null;
  }

  #loop(name: 'exists' | 'all', over: CelNode, args: readonly CelNode[]): Pair | null {
    const [variable, asked] = args;
    if (args.length !== 2 || variable!.op !== 'id') return null;
    const bound = String(variable!.args);
    // The name hides what it named outside.
    if (this.#bound.has(bound) || HIDDEN.has(bound)) return UNKNOWN;
    const of = (value: Bound): Pair => {
      this.#bound.set(bound, value);
      const pair = this.pair(asked!);
      this.#bound.delete(bound);
      return pair;
    };
    const part = headersOf(over);
    // A message without fields has none for which it holds, and none for which it does not.
    if (part !== null) return name === 'exists' ? { t: of(part).t, f: TRUE } : { t: TRUE, f: of(part).f };
    if (over.op !== 'list' || (over.args as readonly CelNode[]).length > LOOP_MAX) return null;
    const pairs = (over.args as readonly CelNode[]).map((value) => of(this.#resolved(value)));
    const [ts, fs] = [pairs.map(({ t }) => t), pairs.map(({ f }) => f)];
    return name === 'exists' ? { t: any(...ts), f: all(...fs) } : { t: all(...ts), f: any(...fs) };
  }

  /** What a loop's name stands for; else the node itself. */
  #resolved(node: CelNode): CelNode {
    const bound = node.op === 'id' ? this.#bound.get(String(node.args)) : undefined;
    return bound === undefined || typeof bound === 'string' ? node : bound;
  }

  /** The message whose field names a loop goes over under this name. */
  #loopOver(node: unknown): Header['part'] | null {
    const bound = isId(node) ? this.#bound.get(String(node.args)) : undefined;
    return typeof bound === 'string' ? bound : null;
  }

  #textOf(node: CelNode): Text | null {
    const side = this.#loopOver(node);
    if (side !== null) return anyName(side);
    const header = this.#header(node);
    if (header !== null) return headerValue(header);
    if (node.op === '[]') {
      const [of, key] = node.args as readonly [CelNode, CelNode];
      const part = headersOf(of);
      return part !== null && this.#loopOver(key) === part ? anyValue(part) : null;
    }
    return TEXTS[attributeOf(node) ?? ''] ?? null;
  }

  #header(node: CelNode): Header | null {
    if (node.op !== '[]' && node.op !== '.') return null;
    const [of, key] = node.args as readonly [CelNode, unknown];
    const part = headersOf(of);
    if (part === null) return null;
    if (typeof key !== 'string') return this.#headerNamed(part, key as CelNode);
    return isAscii(key) ? { part, name: key.toLowerCase() } : null;
  }

  /** A name that is written where it is used may have any case (prepare.ts), one of a list is as it is. */
  #headerNamed(part: Header['part'], node: CelNode): Header | null {
    const name = constantText(this.#resolved(node));
    if (name === null || !isAscii(name) || (node.op === 'id' && name !== name.toLowerCase())) return null;
    return { part, name: name.toLowerCase() };
  }
}

const REQUEST_SEEN = holds('first_request_ns IS NOT NULL');
const HIDDEN = new Set([...Object.keys(TEXTS), ...Object.keys(NUMBERS)].map((name) => name.split('.')[0]!));

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

function headersOf(node: CelNode): Header['part'] | null {
  const attribute = attributeOf(node);
  return attribute === 'request.headers' ? 'request' : attribute === 'response.headers' ? 'response' : null;
}

const isId = (node: unknown): node is CelNode =>
  node !== null && typeof node === 'object' && 'op' in node && node.op === 'id';

/** "request.method" of a node that names an attribute; null: it is something else. */
function attributeOf(node: CelNode): string | null {
  if (node.op === 'id') return String(node.args);
  if (node.op !== '.') return null;
  const [of, name] = node.args as readonly [CelNode, unknown];
  return of.op === 'id' ? `${String(of.args)}.${String(name)}` : null;
}

const isConstant = (node: CelNode): boolean => node.op === 'value' || node.op === '-_' || node.op === 'call';

/** A text that both sides read alike; null: none. */
function constantText(node: CelNode): string | null {
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
  if (call === null || call[0] !== (kind === 'time' ? 'timestamp' : 'duration') || constantText(call[1][0]!) === null)
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
