import type { Memory } from '../../base/memory.ts';
import { ANOMALY_BIT, type MessageKind } from '../../model/message.ts';
import type { StartLine } from '../lines.ts';
import { SAW_BARE_CR, SAW_BARE_LF, SAW_CONTROL, SAW_NUL, SAW_TAB, TOKEN } from './scan.ts';

const SP = 32;
const HTAB = 9;
const CR = 13;
const WORD_HTTP = 0x50545448; // "HTTP", little endian
const COMMON_METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS', 'CONNECT', 'TRACE'];

/** Methods that say nothing of how the answer is framed, and as much of a broken line as is looked at. */
const PLAIN_METHODS = new Set(COMMON_METHODS.filter((method) => method !== 'HEAD' && method !== 'CONNECT'));
const BROKEN_LINE_BYTES_MAX = 8_192;

export const emptyStartLine = (): StartLine => ({
  version: 11,
  method: '',
  target: '',
  status: 0,
  reason: '',
  anomalies: 0,
});

/**
 * Reads the start line [at, contentEnd) (RFC 9112 3 and 4) into `into`; `flags` are the scan's. False: it is none, and
 * `into.anomalies` says what was seen.
 *
 * Strict where parsers differ (one SP between the parts, "HTTP/1." in upper case, no control byte). Lenient where they
 * do not: a bare LF, a target in a form that its method does not have, a status line without the SP after its code
 * are marked and read.
 */
export function readStartLine(
  kind: MessageKind,
  memory: Memory,
  at: number,
  contentEnd: number,
  flags: number,
  into: StartLine,
): boolean {
  into.anomalies = (flags & SAW_BARE_LF) !== 0 ? ANOMALY_BIT.bare_lf : 0;
  if ((flags & SAW_NUL) !== 0) into.anomalies |= ANOMALY_BIT.nul_byte;
  if ((flags & SAW_BARE_CR) !== 0) into.anomalies |= ANOMALY_BIT.bare_cr;
  if ((flags & (SAW_NUL | SAW_BARE_CR)) === 0) {
    if (kind === 'request') {
      if ((flags & (SAW_CONTROL | SAW_TAB)) === 0 && readRequestLine(memory, at, contentEnd, into)) return true;
    } else if (readStatusLine(memory, at, contentEnd, into)) return true;
  }
  into.anomalies |= ANOMALY_BIT.bad_start_line;
  return false;
}

/** 10 or 11 for "HTTP/1.0" and "HTTP/1.x" at `at` (8 bytes, which must be there), else 0. */
function version(view: DataView, at: number): number {
  if (view.getInt32(at, true) !== WORD_HTTP || view.getUint8(at + 4) !== 47) return 0;
  if (view.getUint8(at + 5) !== 49 || view.getUint8(at + 6) !== 46) return 0;
  const minor = view.getUint8(at + 7) - 48;
  // A higher minor version is read as the highest that is known (RFC 9110 2.5).
  return minor < 0 || minor > 9 ? 0 : minor === 0 ? 10 : 11;
}

function readRequestLine(memory: Memory, at: number, end: number, into: StartLine): boolean {
  const view = memory.view;
  // "M t HTTP/1.1" is the shortest.
  if (end - at < 12) return false;
  const targetEnd = end - 9;
  const v = version(view, end - 8);
  if (v === 0 || view.getUint8(targetEnd) !== SP) return false;
  let o = at;
  while (TOKEN[view.getUint8(o)] === 1) o++;
  if (o === at || o >= targetEnd || view.getUint8(o) !== SP) return false;
  const target = o + 1;
  if (target >= targetEnd) return false;
  for (let i = target; i < targetEnd; i++) {
    const c = view.getUint8(i);
    if (c === SP || c === 0x7f) return false;
  }
  into.version = v;
  into.method = methodName(memory, at, o);
  into.target = memory.buf.latin1Slice(target, targetEnd);
  into.status = 0;
  into.reason = '';
  if (view.getUint8(target) !== 47 && !isOtherForm(into.method, into.target)) {
    into.anomalies |= ANOMALY_BIT.bad_start_line;
  }
  return true;
}

function readStatusLine(memory: Memory, at: number, end: number, into: StartLine): boolean {
  const view = memory.view;
  // "HTTP/1.1 200" is the shortest.
  if (end - at < 12 || view.getUint8(at + 8) !== SP) return false;
  const v = version(view, at);
  const status = statusCode(view, at + 9);
  if (v === 0 || status < 100) return false;
  if (end - at === 12) into.anomalies |= ANOMALY_BIT.bad_start_line;
  else if (view.getUint8(at + 12) !== SP) return false;
  into.version = v;
  into.method = '';
  into.target = '';
  into.status = status;
  into.reason = end - at > 13 ? memory.buf.latin1Slice(at + 13, end) : '';
  return true;
}

/**
 * Reads what is there of a start line whose end is not, [at, end), into `into`: a method that everybody uses and what is whole
 * of the target; of a status line, the status. False: it is too little to be one for certain.
 */
export function readCutStartLine(kind: MessageKind, memory: Memory, at: number, end: number, into: StartLine): boolean {
  into.anomalies = 0;
  return kind === 'request' ? readCutRequestLine(memory, at, end, into) : readCutStatusLine(memory, at, end, into);
}

/** What a target may begin with where only its beginning tells that it is one. */
const TARGET_START = /^(?:\/|https?:\/\/|\*)/i;
const VERSION_LONGEST = ' HTTP/1.1\r';

function readCutRequestLine(memory: Memory, at: number, end: number, into: StartLine): boolean {
  const view = memory.view;
  let o = at;
  while (o < end && TOKEN[view.getUint8(o)] === 1) o++;
  if (o >= end || view.getUint8(o) !== SP) return false;
  const method = methodName(memory, at, o);
  const target = ++o;
  while (o < end && view.getUint8(o) > SP && view.getUint8(o) !== 0x7f) o++;
  const text = memory.buf.latin1Slice(target, o);
  if (text === '' || !COMMON_METHODS.includes(method)) return false;
  if (method !== 'CONNECT' && !TARGET_START.test(text)) return false;
  const rest = memory.buf.latin1Slice(o, Math.min(end, o + VERSION_LONGEST.length + 1));
  if (!/^ HTTP\/1\.[01]\r?$/.test(rest) && !VERSION_LONGEST.startsWith(rest)) return false;
  into.version = rest.startsWith(' HTTP/1.0') ? 10 : 11;
  into.method = method;
  into.target = rest === '' ? wholeParts(text) : text;
  into.status = 0;
  into.reason = '';
  return true;
}

/**
 * What nobody reads differently of a request line [at, end) that breaks the rules: its method, if everybody uses it and the
 * answer's framing does not depend on it, and its target where it stands alone, before a version or the end.
 */
export function readBrokenRequestLine(
  memory: Memory,
  at: number,
  end: number,
  into: { method: string; target: string },
): void {
  const line = memory.buf.latin1Slice(at, Math.min(end, at + BROKEN_LINE_BYTES_MAX));
  const [, method, rest] = /^([A-Z]+)[ \t]+(.*)$/s.exec(line) ?? [];
  if (method === undefined || !PLAIN_METHODS.has(method)) return;
  into.method = method;
  const whole = end - at <= BROKEN_LINE_BYTES_MAX;
  const target = whole ? /^(\/[!-~\x80-\xff]*)[ \t]*(?:[ \t]HTTP\/\d[!-~]*)?[ \t]*$/i.exec(rest!)?.[1] : undefined;
  if (target !== undefined) into.target = target;
}

/**
 * A target without the part that it was cut in: half a name shows another resource, and half a credential is not known for one
 * (of `http://user:pass`, which an @ may follow, and of CONNECT nothing is left but the scheme).
 */
function wholeParts(target: string): string {
  const scheme = /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.exec(target)?.[0] ?? '';
  if (scheme === '' && !target.startsWith('/')) return '';
  const last = Math.max(...['/', '?', '&', '='].map((sign) => target.lastIndexOf(sign)));
  return target.slice(0, Math.max(scheme.length, last + 1));
}

function readCutStatusLine(memory: Memory, at: number, last: number, into: StartLine): boolean {
  const view = memory.view;
  // "HTTP/1.1 200 " is the shortest.
  if (last - at < 13 || view.getUint8(at + 12) !== SP) return false;
  const end = view.getUint8(last - 1) === CR ? last - 1 : last;
  for (let i = at + 13; i < end; i++) if (view.getUint8(i) < SP && view.getUint8(i) !== HTAB) return false;
  return readStatusLine(memory, at, end, into);
}

/** Three digits at `at`, or -1. */
export function statusCode(view: DataView, at: number): number {
  const a = view.getUint8(at) - 48;
  const b = view.getUint8(at + 1) - 48;
  const c = view.getUint8(at + 2) - 48;
  return a < 0 || a > 9 || b < 0 || b > 9 || c < 0 || c > 9 ? -1 : a * 100 + b * 10 + c;
}

/** An interned string for the methods that everybody uses. */
function methodName(memory: Memory, at: number, end: number): string {
  const view = memory.view;
  for (const method of COMMON_METHODS) {
    if (method.length !== end - at) continue;
    let i = 0;
    while (i < method.length && view.getUint8(at + i) === method.charCodeAt(i)) i++;
    if (i === method.length) return method;
  }
  return memory.buf.latin1Slice(at, end);
}

/** Absolute, authority and asterisk form (RFC 9112 3.2.2 to 3.2.4). */
function isOtherForm(method: string, target: string): boolean {
  if (method === 'CONNECT') return !target.includes('/');
  if (target === '*') return method === 'OPTIONS';
  return /^[A-Za-z][A-Za-z0-9+.-]*:\/\//.test(target);
}
