/**
 * JSON text of captured text. All output is ASCII, so that a line's length is its size in bytes and Buffer.latin1Write
 * copies it without looking.
 */
import { isUtf8 } from 'node:buffer';

/** 1: may stand in a JSON string as it is; 0: is escaped, or, above ASCII, depends on its neighbours. */
export const PLAIN = new Uint8Array(256);
for (let c = 0x20; c < 0x7f; c++) PLAIN[c] = c === 0x22 || c === 0x5c ? 0 : 1;

const escapeUnit = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** `text` (any text) as the inside of a JSON string, pure ASCII. */
export const asciiJson = (text: string): string =>
  JSON.stringify(text)
    .slice(1, -1)
    .replace(/[\x7f-\uffff]/g, escapeUnit);

/** Whether latin1 code points stand for bytes that are not UTF-8. */
export function isOpaque(latin1: string): boolean {
  for (let i = 0; i < latin1.length; i++)
    if (latin1.charCodeAt(i) >= 0x80) return !isUtf8(Buffer.from(latin1, 'latin1'));
  return false;
}

/** Bytes given as latin1 code points, as the text they are: UTF-8 where they are UTF-8, else the code points themselves. */
export function wireText(latin1: string): string {
  const bytes = Buffer.from(latin1, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : latin1;
}

function escapeSlowly(latin1: string): string {
  return asciiJson(wireText(latin1));
}

/** Bytes given as latin1 code points, as the inside of a JSON string. O(length); returns its argument when nothing needs escaping. */
export function wireJson(latin1: string): string {
  for (let i = 0; i < latin1.length; i++) if (PLAIN[latin1.charCodeAt(i)] !== 1) return escapeSlowly(latin1);
  return latin1;
}
