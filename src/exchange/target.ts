import type { Exchange } from '../model/exchange.ts';

/** What a request is aimed at, in the parts that people and filters ask for. Nothing is decoded or redacted. */
export interface RequestTarget {
  /** Lower case. */
  readonly scheme: string;
  /** Host and port as sent, with userinfo where somebody sent it (redact/ removes it); "" when there is none. */
  readonly authority: string;
  /** The target as sent. */
  readonly target: string;
  /** Without the query; "" for CONNECT, "*" for the asterisk form. */
  readonly path: string;
  /** After the first "?", without it; "" when there is none. */
  readonly query: string;
}

/** Letters of a scheme (RFC 3986 3.1) are few; a colon further in belongs to something else. */
const SCHEME_LENGTH_MAX = 32;

/**
 * Where the authority of an absolute-form target begins (RFC 9112 3.2.2), just after "://"; -1 for the other forms.
 * Only http-like hierarchical URIs count: the scheme must be one by RFC 3986 3.1.
 */
export function authorityStart(target: string): number {
  const first = target.charCodeAt(0);
  // Origin form, by far the most common, decides at once. Not a letter: no scheme.
  if (first === 47 || !isLetter(first)) return -1;
  for (let i = 1; i < target.length && i <= SCHEME_LENGTH_MAX; i++) {
    const c = target.charCodeAt(i);
    if (c === 58) return target.startsWith('//', i + 1) ? i + 3 : -1;
    if (!isLetter(c) && !(c >= 48 && c <= 57) && c !== 43 && c !== 45 && c !== 46) return -1;
  }
  return -1;
}

/** Where the path begins that follows an authority at `from`: at its "/", "?" or "#", or at the end. */
export function authorityEnd(target: string, from: number): number {
  for (let i = from; i < target.length; i++) {
    const c = target.charCodeAt(i);
    if (c === 47 || c === 63 || c === 35) return i;
  }
  return target.length;
}

const isLetter = (c: number): boolean => (c >= 97 && c <= 122) || (c >= 65 && c <= 90);

/**
 * The parts of a request target as contract.md wants them: an absolute-form target wins over Host, for CONNECT the
 * authority is the target. Total: any string gives some parts; null only when the request was not seen.
 */
export function requestTarget(exchange: Pick<Exchange, 'request'>): RequestTarget | null {
  const { request } = exchange;
  if (request === null) return null;
  const { target, method } = request;
  if (method === 'CONNECT') return { scheme: 'http', authority: target, target, path: '', query: '' };
  const from = authorityStart(target);
  if (from < 0) return parts('http', request.fields.get('host') ?? '', target, 0);
  const to = authorityEnd(target, from);
  return parts(target.slice(0, from - 3).toLowerCase(), target.slice(from, to), target, to);
}

function parts(scheme: string, authority: string, target: string, from: number): RequestTarget {
  const mark = target.indexOf('?', from);
  const path = target.slice(from, mark < 0 ? undefined : mark);
  return {
    scheme,
    authority,
    target,
    // "http://host" and "http://host?q" mean the root (RFC 9110 4.2.3).
    path: path === '' && from > 0 ? '/' : path,
    query: mark < 0 ? '' : target.slice(mark + 1),
  };
}
