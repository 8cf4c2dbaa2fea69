/**
 * Writes a line of a key log (draft-ietf-tls-keylogfile) as bytes: no secret becomes a string. Only for whoever asked for the secrets in
 * so many words (`export --pcapng --with-secrets`).
 */
import { SECRET_BYTES_MAX, type SecretMemory, SLOT_BYTES } from './secret-memory.ts';
import { type FoundSecret, RANDOM_BYTES, type SecretLabel } from './secrets.ts';

const LABEL_BYTES_MAX = 31;
export const LINE_BYTES_MAX = LABEL_BYTES_MAX + 1 + 2 * RANDOM_BYTES + 1 + 2 * SECRET_BYTES_MAX + 1;
const DIGITS = Buffer.from('0123456789abcdef', 'latin1');
const SPACE = 0x20;
const NEWLINE = 0x0a;

/** Writes the line with its newline to `out`, which has LINE_BYTES_MAX; returns its length. `random`: the client's, as latin1. */
export function keyLogLine(
  out: Buffer,
  label: SecretLabel,
  random: string,
  { memory }: SecretMemory,
  { slot, bytes }: FoundSecret,
): number {
  let at = out.latin1Write(label, 0);
  out[at++] = SPACE;
  for (let i = 0; i < random.length; i++) at = hex(out, at, random.charCodeAt(i));
  out[at++] = SPACE;
  for (let i = 0; i < bytes; i++) at = hex(out, at, memory.buf[slot * SLOT_BYTES + i]!);
  out[at++] = NEWLINE;
  return at;
}

function hex(out: Buffer, at: number, byte: number): number {
  out[at] = DIGITS[byte >> 4]!;
  out[at + 1] = DIGITS[byte & 15]!;
  return at + 2;
}
