import type { Memory } from '../base/memory.ts';
import { TOKEN } from './h1/scan.ts';
import { emptyStartLine, readCutStartLine } from './h1/start.ts';

/** What a stream's first bytes are the beginning of. */
export type StartKind = 'need_more' | 'h1_request' | 'h1_response' | 'h2_preface' | 'tls' | 'other';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
/** A request line that has shown a method and the start of a target, and no end for so long, is one. */
const LINE_BYTES_ENOUGH = 2_048;
/** Longer method tokens than any registered one (RFC 9110 16.1.1: UPDATEREDIRECTREF, 17). */
const METHOD_BYTES_MAX = 32;

/**
 * Classifies `length` bytes at `memory[offset]`, the first of a stream or of a segment. `need_more`: they are a prefix of
 * more than one answer. A request needs its whole request line with "HTTP/1.x" (or 2 KiB of a long one), because many
 * protocols begin with a word; a response "HTTP/1.x NNN". Empty lines before a request are passed over (RFC 9112 2.2).
 * Takes a time linear in the first line's length.
 */
export function classifyStart(memory: Memory, offset: number, length: number): StartKind {
  const { view } = memory;
  const end = offset + length;
  let at = offset;
  while (at < end && (view.getUint8(at) === 13 || view.getUint8(at) === 10)) at++;
  if (at >= end) return 'need_more';
  if (at === offset && view.getUint8(at) === 0x16) return classifyTls(view, at, end);

  const preface = prefix(view, at, end, PREFACE);
  if (preface === PREFACE.length) return 'h2_preface';
  if (at + preface === end) return 'need_more';
  // A request line cannot begin so: "/" is no token byte.
  if (prefix(view, at, end, 'HTTP/') === Math.min(5, end - at)) return classifyResponse(view, at, end);
  return classifyRequest(view, at, end);
}

/** Whether [at, end) begins with a client's connection preface (RFC 9113 3.4), whole. */
export const isPreface = (view: DataView, at: number, end: number): boolean =>
  prefix(view, at, end, PREFACE) === PREFACE.length;

/** Length of the common prefix of [at, end) and `text`. */
function prefix(view: DataView, at: number, end: number, text: string): number {
  const most = Math.min(text.length, end - at);
  let i = 0;
  while (i < most && view.getUint8(at + i) === text.charCodeAt(i)) i++;
  return i;
}

/** A handshake record that starts with ClientHello or ServerHello (RFC 8446 5.1, B.3). */
function classifyTls(view: DataView, at: number, end: number): StartKind {
  if (end - at > 1 && view.getUint8(at + 1) !== 3) return 'other';
  if (end - at > 2 && view.getUint8(at + 2) > 4) return 'other';
  if (end - at < 6) return 'need_more';
  const type = view.getUint8(at + 5);
  return type === 1 || type === 2 ? 'tls' : 'other';
}

const TLS_HEADER_BYTES = 5;
/** RFC 5246 6.2.3; TLS 1.3 allows less. */
const TLS_RECORD_BYTES_MAX = 16_384 + 2_048;

/**
 * Whether the segment [at, end) of a connection that was joined in the middle is TLS records: a header at its first byte, and
 * at each place that the ones before it point to. Random bytes begin so once in some millions.
 */
export function continuesTls(view: DataView, at: number, end: number): boolean {
  if (end - at < TLS_HEADER_BYTES) return false;
  for (let o = at; o + TLS_HEADER_BYTES <= end; ) {
    const type = view.getUint8(o);
    const length = view.getUint16(o + 3);
    if (type < 0x14 || type > 0x17 || view.getUint8(o + 1) !== 3 || view.getUint8(o + 2) > 4) return false;
    if (length === 0 || length > TLS_RECORD_BYTES_MAX) return false;
    o += TLS_HEADER_BYTES + length;
  }
  return true;
}

function classifyResponse(view: DataView, at: number, end: number): StartKind {
  const form = 'HTTP/1.d ddd';
  for (let i = 0; i < form.length; i++) {
    // "HTTP" alone may still be a method of somebody's own; with the slash it is not.
    if (at + i >= end) return 'need_more';
    const c = view.getUint8(at + i);
    if (form[i] === 'd' ? c < 48 || c > 57 : c !== form.charCodeAt(i)) return 'other';
  }
  if (at + form.length >= end) return 'need_more';
  const c = view.getUint8(at + form.length);
  return c === 32 || c === 13 || c === 10 ? 'h1_response' : 'other';
}

function classifyRequest(view: DataView, at: number, end: number): StartKind {
  let o = at;
  while (o < end && TOKEN[view.getUint8(o)] === 1) o++;
  if (o === at || o - at > METHOD_BYTES_MAX) return 'other';
  if (o >= end) return 'need_more';
  if (view.getUint8(o) !== 32) return 'other';
  const target = ++o;
  while (o < end && view.getUint8(o) > 32 && view.getUint8(o) !== 0x7f) o++;
  if (o >= end) return o - at >= LINE_BYTES_ENOUGH ? 'h1_request' : 'need_more';
  if (o === target || view.getUint8(o) !== 32) return 'other';
  o++;
  const form = 'HTTP/1.d';
  for (let i = 0; i < form.length; i++, o++) {
    if (o >= end) return 'need_more';
    const c = view.getUint8(o);
    if (form[i] === 'd' ? c < 48 || c > 57 : c !== form.charCodeAt(i)) return 'other';
  }
  if (o >= end) return 'need_more';
  if (view.getUint8(o) === 10) return 'h1_request';
  if (view.getUint8(o) !== 13) return 'other';
  if (o + 1 >= end) return 'need_more';
  return view.getUint8(o + 1) === 10 ? 'h1_request' : 'other';
}

const cut = emptyStartLine();

/** For first bytes behind which nothing comes: whether they are the beginning of a request line, without doubt. */
export const isCutRequest = (memory: Memory, offset: number, length: number): boolean =>
  readCutStartLine('request', memory, offset, offset + length, cut);

/** A first line that ends in a version is meant as a request line, whatever is wrong with the rest of it. */
const MEANT = /HTTP\/\d+(\.\d+)?[ \t]*\r?$/i;
const PRINTABLE = /^[\t\r\x20-\x7e\x80-\xff]*$/;
/** A method that everybody uses, and the beginning of a target: whatever bytes follow (scanners send NUL and control bytes). */
const AIMED = /^(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE)[ \t]+(?:[/*]|https?:\/\/)/i;

/**
 * For a client's first bytes that classifyStart calls `other`: `h1_request` when they are a request line that no server
 * should take (spaces or control bytes in the target, another version), `need_more` when that line has not ended yet, or has no
 * version: the server's answer tells then.
 */
export function classifyBroken(memory: Memory, offset: number, length: number): StartKind {
  const text = memory.buf.latin1Slice(offset, offset + Math.min(length, LINE_BYTES_ENOUGH)).replace(/^[\r\n]+/, '');
  const end = text.indexOf('\n');
  const line = end < 0 ? text : text.slice(0, end);
  const aimed = AIMED.test(line);
  if (!aimed && !PRINTABLE.test(line)) return 'other';
  if (end >= 0 && MEANT.test(line)) return 'h1_request';
  return (aimed || end < 0) && length < LINE_BYTES_ENOUGH ? 'need_more' : 'other';
}
