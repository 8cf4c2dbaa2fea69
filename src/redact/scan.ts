/**
 * The quick look at a text that says which detectors could find anything in it. Most values end here, so this is the
 * hot path of redaction; `plainBytes` is the same look at bytes that were not decoded yet.
 */

import { PREFIX_PAIRS } from './shapes.ts';
import type { RandomRule } from './text.ts';

/** Ends a run: white space, quotes, brackets, list separators. */
export const BREAK = 1;
/** A = or : behind a character that can end a sensitive key. */
export const PAIR = 2;
export const AT = 4;
export const PERCENT = 8;
/** Two characters that begin a known credential, with no letter or digit before them. */
export const PREFIX = 16;
/** White space behind a letter that ends a scheme word. */
export const SCHEME = 32;
/** A run long enough to be random. */
export const LONG_RUN = 64;
export const RUN_LENGTH = 16;

const ALNUM = 128;
const SIGN = 256;

export const CLASS = new Uint16Array(256);
for (let c = 0; c < 256; c++) {
  const ch = String.fromCharCode(c);
  if (c <= 0x20 || c === 0x7f || ',;"\'<>(){}[]`|\\'.includes(ch)) CLASS[c] = BREAK;
  else if (ch === '=' || ch === ':') CLASS[c] = SIGN;
  else if (ch === '@') CLASS[c] = AT;
  else if (ch === '%') CLASS[c] = PERCENT;
  else if (/[0-9A-Za-z]/.test(ch)) CLASS[c] = ALNUM;
}
export const isAlnum = (code: number): boolean => CLASS[code & 0xff] === ALNUM;

/** Last letters of the scheme words looked for in free text: bearer, basic, digest, negotiate, ntlm, token, apikey. */
const SCHEME_LAST = new Uint8Array(256);
for (const ch of 'rctemnyRCTEMNY') SCHEME_LAST[ch.charCodeAt(0)] = 1;

/** What `text` could hold: a set of the bits above. `ends[c]`: c can end a sensitive key (quotes and spaces behind it included). */
export function quickScan(text: string, ends: Uint8Array): number {
  let mask = 0;
  let run = 0;
  let before = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i) & 0xff;
    const k = CLASS[c]!;
    run++;
    if (k !== ALNUM) {
      mask |= k & (AT | PERCENT);
      if (k === SIGN) {
        if (ends[before] === 1) mask |= PAIR;
      } else if (k === BREAK) {
        if (run > RUN_LENGTH) mask |= LONG_RUN;
        run = 0;
        if (c <= 0x20 && SCHEME_LAST[before] === 1) mask |= SCHEME;
      }
    }
    if (CLASS[before] !== ALNUM && PREFIX_PAIRS[c * 256 + (text.charCodeAt(i + 1) & 0xff)] === 1) mask |= PREFIX;
    before = c;
  }
  return run >= RUN_LENGTH ? mask | LONG_RUN : mask;
}

/** What plainBytes does at a byte. Letters and digits are 0: most bytes are, and need no more than one look. */
const COPY = 0;
const PUNCTUATION = 1;
const GAP = 2;
const ASSIGN = 3;
const STOP = 4;
const STEP = new Uint8Array(256).fill(STOP);
for (let c = 0x20; c < 0x7f; c++) {
  const k = CLASS[c]!;
  if (c === 0x22 || c === 0x5c || (k & (AT | PERCENT)) !== 0) STEP[c] = STOP;
  else STEP[c] = k === ALNUM ? COPY : k === BREAK ? GAP : k === SIGN ? ASSIGN : PUNCTUATION;
}

/**
 * Copies `length` bytes at `from` to `out[at]` when they are ASCII and need neither redaction nor escaping in JSON, by the
 * rules of quickScan; returns where they end, or -1 when somebody has to look closer. `out` has room. What lies behind a
 * -1 is undefined.
 */
export function plainBytes(
  bytes: Uint8Array,
  from: number,
  length: number,
  random: RandomRule,
  ends: Uint8Array,
  out: Uint8Array,
  at: number,
): number {
  const end = from + length;
  const shift = at - from;
  const runMax = random === 'ignore' ? length : RUN_LENGTH - 1;
  let runStart = from;
  let inWord = false;
  for (let i = from; i < end; i++) {
    const c = bytes[i]!;
    out[i + shift] = c;
    const step = STEP[c]!;
    if (step === COPY) {
      if (inWord) continue;
      inWord = true;
      if (i + 1 < end && PREFIX_PAIRS[c * 256 + bytes[i + 1]!] === 1) return -1;
      continue;
    }
    inWord = false;
    if (step === STOP || (step === ASSIGN && ends[i === from ? 0 : bytes[i - 1]!] === 1)) return -1;
    if (step === GAP) {
      if (i - runStart > runMax || (c === 0x20 && i > from && SCHEME_LAST[bytes[i - 1]!] === 1)) return -1;
      runStart = i + 1;
    } else if (i + 1 < end && PREFIX_PAIRS[c * 256 + bytes[i + 1]!] === 1) return -1;
  }
  return end - runStart > runMax ? -1 : end + shift;
}
