/**
 * Finds credentials in free text: targets, URLs, forms, JSON, header values of any name. A quick scan over the text says
 * which detectors could find anything; most values end there. Detectors only mark spans of the original text; spans are
 * joined where they overlap and replaced once, so that no detector sees another's output.
 *
 * When it is not clear where a secret ends, it ends later: an eaten neighbour is a lost detail, a leaked tail is a leak.
 */
import type { Fingerprinter } from './fingerprint.ts';
import { DECODE_DEPTH_MAX, KEY_LENGTH_MAX, type KeyJudge, percentDecode, percentDecodeAll } from './keys.ts';
import { looksRandom } from './random.ts';
import {
  AT,
  BREAK,
  CLASS,
  isAlnum,
  LONG_RUN,
  PAIR,
  PERCENT,
  PREFIX,
  plainBytes,
  quickScan,
  RUN_LENGTH,
  SCHEME,
} from './scan.ts';
import { knownShapeEnd, PREFIX_PAIRS, prefixAt, publicClass } from './shapes.ts';

/** How random looks are treated. */
export type RandomRule = 'ignore' | 'allow_ids' | 'redact';

/** Replacements in one text; a text with more is a flood, and everything from there on becomes one fingerprint. */
const SPANS_MAX = 64;
/** User information that is longer is no user information. */
const USERINFO_MAX = 512;

interface Span {
  from: number;
  to: number;
  /** Finished text to put there; null: the fingerprint of what stands there. */
  text: string | null;
}

const isBreak = (text: string, at: number): boolean => (CLASS[text.charCodeAt(at) & 0xff]! & BREAK) !== 0;
const isSpace = (text: string, at: number): boolean => text.charCodeAt(at) <= 0x20;

function runEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && !isBreak(text, end)) end++;
  return end;
}

/** Where a parameter's value that begins at `at` ends. */
function valueEnd(text: string, at: number): number {
  for (let i = at; i < text.length; i++) {
    const ch = text[i]!;
    if (ch === '&' || ch === '"' || ch === '<' || ch === '>') return i;
    if ((ch === ';' || ch === ',') && (i + 1 === text.length || isSpace(text, i + 1))) return i;
  }
  return text.length;
}

/** End of a quoted value whose first character stands at `at`; the end of the text when nothing closes it. */
function quotedEnd(text: string, at: number, quote: string): number {
  for (let i = at; i < text.length; i++) {
    if (text[i] === quote) return i > at && text[i - 1] === '\\' && text[at - 2] === '\\' ? i - 1 : i;
    // An escaped character belongs to the value, unless the opening quote was escaped itself (JSON within JSON).
    if (text[i] === '\\' && text[at - 2] !== '\\') i++;
  }
  return text.length;
}

/** Marks the value behind a sensitive key; `at` is just behind the = or : sign. Returns where to go on. */
function markValue(text: string, at: number, spans: Span[]): number {
  let from = at;
  while (from < text.length && isSpace(text, from)) from++;
  if (text[from] === '\\') from++;
  const quote = text[from];
  let to: number;
  if (quote === '"' || quote === "'") {
    from++;
    to = quotedEnd(text, from, quote);
  } else to = quote === '{' || quote === '[' ? text.length : valueEnd(text, from);
  if (to > from) spans.push({ from, to, text: null });
  return Math.max(to, at);
}

/** Where the key of the sign at `sign` ends: white space, quotes and backslashes between them do not count. */
function keyEnd(text: string, sign: number): number {
  let to = sign;
  while (to > 0 && (isSpace(text, to - 1) || text[to - 1] === '"' || text[to - 1] === "'" || text[to - 1] === '\\'))
    to--;
  return to;
}

/** Where the key that ends at `to` begins. */
function keyStart(text: string, to: number): number {
  const least = Math.max(0, to - KEY_LENGTH_MAX);
  let from = to;
  for (; from > least; from--) {
    const ch = text[from - 1]!;
    if (ch === '[' || ch === ']' || ch === '\\') continue;
    if (ch === '&' || ch === '?' || ch === '#' || ch === '/' || ch === '=' || ch === ':' || isBreak(text, from - 1))
      break;
  }
  return from;
}

function findPairs(text: string, sensitive: KeyJudge, spans: Span[]): void {
  for (let at = 0; at < text.length && spans.length <= SPANS_MAX; at++) {
    const c = text.charCodeAt(at);
    if (c !== 0x3d && c !== 0x3a) continue;
    if (c === 0x3a && text.charCodeAt(at + 1) === 0x2f && text.charCodeAt(at + 2) === 0x2f) continue;
    const to = keyEnd(text, at);
    if (to === 0 || (sensitive.ends[text.charCodeAt(to - 1) & 0xff] !== 1 && !(to > 2 && text[to - 3] === '%')))
      continue;
    const from = keyStart(text, to);
    if (to - from < 2) continue;
    const quoted = to < at && (text[to] === '"' || text[to] === "'" || text[to] === '\\');
    if (sensitive.test(text.slice(from, to), c === 0x3d || quoted)) at = markValue(text, at + 1, spans) - 1;
  }
}

/** What stands before ":x@y" without being a user: URIs that are addresses by themselves. */
const NOT_A_USER = /^(?:mailto|sips?|acct|xmpp|npm|urn)$/i;

/** `scheme://user:password@host`, `//user@host`, and `user:password@host` without a scheme. */
function findUserInfo(text: string, spans: Span[]): void {
  for (let at = text.indexOf('//'); at >= 0 && spans.length <= SPANS_MAX; at = text.indexOf('//', at + 2)) {
    const from = at + 2;
    const limit = Math.min(text.length, from + USERINFO_MAX);
    let slash = -1;
    let last = -1;
    for (let i = from; i < limit; i++) {
      const ch = text[i]!;
      if (ch === '@') {
        last = i;
      } else if (slash < 0 && (ch === '/' || ch === '?' || ch === '#')) {
        // "//user:pa/ss@host": a password with an unescaped slash, told from a path with @ by what should be a port.
        if (last >= 0 || !/:(?!\d{0,5}$)/.test(text.slice(from, i))) break;
        slash = i;
      } else if (ch === '<' || ch === '>' || ch === '"' || ch <= ' ') break;
    }
    if (last <= from) continue;
    spans.push({ from, to: last, text: null });
  }
  for (let at = text.indexOf('@'); at >= 0 && spans.length <= SPANS_MAX; at = text.indexOf('@', at + 1)) {
    const least = Math.max(0, at - USERINFO_MAX);
    let from = at;
    let colon = -1;
    for (; from > least; from--) {
      const ch = text[from - 1]!;
      if (ch <= ' ' || '/@"<>,;(){}'.includes(ch)) break;
      if (ch === ':') colon = from - 1;
      else if ((ch === '=' || ch === '&' || ch === '?' || ch === '#') && colon >= 0) break;
    }
    if (colon <= from || colon + 1 >= at) continue;
    if (!NOT_A_USER.test(text.slice(from, colon))) spans.push({ from, to: at, text: null });
  }
}

function findSchemes(text: string, spans: Span[]): void {
  const words = /(?<![0-9a-z])(?:(bearer|negotiate|ntlm|apikey|token)|(basic|digest))\s+([^\s"<>]+)/gi;
  for (let m = words.exec(text); m !== null && spans.length <= SPANS_MAX; m = words.exec(text)) {
    const token = m[3]!;
    // "token expired", "basic plan", `Bearer realm=...` are prose and challenges.
    const enough =
      m[1] === undefined
        ? /^[0-9A-Za-z+/_-]{6,}=*[,;]?$/.test(token) && Buffer.from(token, 'base64').includes(0x3a)
        : /^bearer$/i.test(m[1])
          ? token.length >= 3
          : /\d/.test(token) && token.length >= 8;
    if (!enough || /^(?:realm|error|charset|scope)=/i.test(token)) continue;
    const to = m.index + m[0].length;
    spans.push({ from: to - token.length, to, text: null });
  }
}

function findShapes(text: string, ids: boolean, spans: Span[]): void {
  for (let at = 0; at < text.length && spans.length <= SPANS_MAX; at++) {
    if (PREFIX_PAIRS[(text.charCodeAt(at) & 0xff) * 256 + (text.charCodeAt(at + 1) & 0xff)] !== 1) continue;
    if (at > 0 && isAlnum(text.charCodeAt(at - 1))) continue;
    if (prefixAt(text, at) === '') continue;
    const to = knownShapeEnd(text, at, ids ? segmentEnd(text, at) : runEnd(text, at));
    if (to < 0) continue;
    spans.push({ from: at, to, text: null });
    at = to - 1;
  }
}

/** In a URL a credential with a known shape is one segment or one value. */
function segmentEnd(text: string, at: number): number {
  let end = at;
  while (end < text.length && !isBreak(text, end) && !'/?&#'.includes(text[end]!)) end++;
  return end;
}

const ESCAPE = /%[0-9a-fA-F]{2}/;

/** A URL of short segments, as most are, has no part that is long enough. */
function mayHoldRandom(text: string, from: number, to: number): boolean {
  let start = from;
  for (let i = from; i < to; i++) {
    const c = text.charCodeAt(i);
    if (c !== 0x2f && c !== 0x3f && c !== 0x26 && c !== 0x3d) continue;
    if (i - start >= RUN_LENGTH) return true;
    // Behind the ? slashes may belong to a value.
    if (c === 0x3f && to - i > RUN_LENGTH) return true;
    start = i + 1;
  }
  return to - start >= RUN_LENGTH;
}

const BASE64_MIN = 24;
const BASE64 = /^[0-9A-Za-z+/]{24,}={0,2}$/;

/** base64 text may hold slashes. What begins with one is a path, unless it was encoded or holds the other signs of base64. */
const looksBase64 = (run: string, depth: number): boolean =>
  BASE64.test(run) && (depth > 0 || !run.startsWith('/') || run.includes('+') || run.endsWith('='));

/**
 * Cuts each run between key and value, and in URLs between segments and parameters, and judges the parts. `depth`: how
 * often the text was decoded; at 0 segments with percent escapes are left to what they decode to (findEncoded).
 */
function findRandom(text: string, rule: RandomRule, depth: number, spans: Span[]): void {
  const ids = rule === 'allow_ids';
  for (let at = 0; at < text.length && spans.length <= SPANS_MAX; ) {
    if (isBreak(text, at)) {
      at++;
      continue;
    }
    const end = runEnd(text, at);
    const whole = ids && end - at >= BASE64_MIN && looksBase64(text.slice(at, end), depth);
    if (end - at >= RUN_LENGTH && (!ids || whole || mayHoldRandom(text, at, end))) {
      const run = text.slice(at, end);
      const url = ids ? !whole : run.includes('://');
      const nested = run.includes('://');
      let path = url;
      let from = at;
      for (let i = at; i <= end; i++) {
        const ch = i < end ? text[i]! : '';
        // Behind the ? a slash belongs to the value, unless that is a URL itself.
        if (ch === '?') path = nested;
        if (i < end && ch !== '=' && !(path && ch === '/') && !(url && (ch === '?' || ch === '&' || ch === '#')))
          continue;
        if (looksRandom(text, from, i, ids) && !(depth < DECODE_DEPTH_MAX && ESCAPE.test(text.slice(from, i)))) {
          let to = i;
          while (to < end && text[to] === '=') to++;
          spans.push({ from, to, text: null });
        }
        from = i + 1;
      }
    }
    at = end;
  }
}

/** An access key id with the scope of its signature (AWS Signature Version 4): the scope is public. */
const AWS_SCOPE = /^((?:AKIA|ASIA)[A-Z0-9]{12,28})(\/\d{8}\/[a-z0-9-]{1,32}\/[a-z0-9-]{1,32}\/aws4_request)$/;

/** Encoded text is decoded piece by piece, so that the signs that structure it stay as they are. */
const endsPiece = (text: string, at: number): boolean => isBreak(text, at) || '/?&=#'.includes(text[at]!);

/** Percent-encodes what would change the structure around it; fingerprints stay readable. */
const encodeAgain = (text: string): string =>
  text
    .split(/(\[fp:[0-9a-f]{16}\])/)
    .map((part, i) =>
      i % 2 === 1
        ? part
        : part.replace(
            /[^!-~]|[&=?#+/%"<>\\[\]]/g,
            (ch) => `%${ch.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
          ),
    )
    .join('');

export class TextRedactor {
  readonly #prints: Fingerprinter;
  readonly #sensitiveKey: KeyJudge;
  readonly #ends: Uint8Array;

  constructor(prints: Fingerprinter, sensitiveKey: KeyJudge) {
    this.#prints = prints;
    this.#sensitiveKey = sensitiveKey;
    // Between a key and its sign there may be quotes and spaces.
    this.#ends = sensitiveKey.ends.map((may, c) => may | (CLASS[c] === BREAK ? 1 : 0));
  }

  /** `[fp:16 hex]`, behind the public class of a credential with a known shape; "" stays "". */
  mark(credential: string): string {
    if (credential === '') return '';
    const scoped = AWS_SCOPE.exec(credential);
    if (scoped !== null) return this.mark(scoped[1]!) + scoped[2]!;
    return `${publicClass(credential)}[fp:${this.#prints.fingerprint(credential)}]`;
  }

  /** `text` without its credentials; the same string when there are none. O(length). Latin1 in, latin1 out. */
  redact(text: string, random: RandomRule): string {
    const mask = quickScan(text, this.#ends);
    const wanted = PAIR | AT | PERCENT | PREFIX | SCHEME | (random === 'ignore' ? 0 : LONG_RUN);
    return (mask & wanted) === 0 ? text : this.#redact(text, mask, random, 0);
  }

  /** As redact() for bytes that need neither redaction nor escaping in JSON; see plainBytes. */
  plain(bytes: Uint8Array, from: number, length: number, random: RandomRule, out: Uint8Array, at: number): number {
    return plainBytes(bytes, from, length, random, this.#ends, out, at);
  }

  #redact(text: string, mask: number, random: RandomRule, depth: number): string {
    const spans: Span[] = [];
    if ((mask & AT) !== 0) findUserInfo(text, spans);
    // A key that ends in a percent escape ends in any character.
    if ((mask & (PAIR | PERCENT)) !== 0) findPairs(text, this.#sensitiveKey, spans);
    if ((mask & SCHEME) !== 0) findSchemes(text, spans);
    if ((mask & PREFIX) !== 0) findShapes(text, random === 'allow_ids', spans);
    if (random !== 'ignore' && (mask & LONG_RUN) !== 0) findRandom(text, random, depth, spans);
    if ((mask & PERCENT) !== 0 && depth < DECODE_DEPTH_MAX) this.#findEncoded(text, random, depth, spans);
    return spans.length === 0 ? text : this.#render(text, spans);
  }

  /** Looks through percent encoding: a run that hides something is written decoded where that matters. */
  #findEncoded(text: string, random: RandomRule, depth: number, spans: Span[]): void {
    for (let percent = text.indexOf('%'); percent >= 0 && spans.length <= SPANS_MAX; ) {
      let from = percent;
      while (from > 0 && !endsPiece(text, from - 1)) from--;
      let to = percent;
      while (to < text.length && !endsPiece(text, to)) to++;
      const encoded = text.slice(from, to);
      const plain = percentDecode(encoded);
      if (plain !== encoded) {
        const shown = this.#redact(plain, quickScan(plain, this.#ends), random, depth + 1);
        if (shown !== plain) spans.push({ from, to, text: encodeAgain(shown) });
      }
      percent = text.indexOf('%', to);
    }
  }

  #render(text: string, spans: Span[]): string {
    spans.sort((a, b) => a.from - b.from || b.to - a.to);
    let out = '';
    let done = 0;
    for (let i = 0; i < spans.length; ) {
      const span = spans[i]!;
      let to = span.to;
      let replacement = span.text;
      let j = i + 1;
      for (; j < spans.length && spans[j]!.from < to; j++) {
        // Two finds that overlap become one fingerprint, also when one of them was found behind percent encoding.
        const other = spans[j]!;
        if (other.to > to) to = other.to;
        replacement = null;
      }
      if (j >= SPANS_MAX) {
        to = text.length;
        replacement = null;
        j = spans.length;
      }
      out += text.slice(done, span.from) + (replacement ?? this.mark(percentDecodeAll(text.slice(span.from, to))));
      done = to;
      i = j;
    }
    return out + text.slice(done);
  }
}
