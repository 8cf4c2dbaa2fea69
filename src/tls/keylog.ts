/**
 * Key logs as NSS began them (draft-ietf-tls-keylogfile): `LABEL SP hex(client random) SP hex(secret)`, one a line, with
 * comments and empty lines. Read from bytes into bytes: no secret becomes a string.
 */
import { Memory } from '../base/memory.ts';
import { RANDOM_BYTES, SECRET_LABELS, type SecretLabel, type SecretStore } from './secrets.ts';

/**
 * Labels that are right and say nothing that is needed. RSA names a pre-master secret, and OpenSSL writes the master
 * secret beside it.
 */
const KNOWN_UNUSED = new Set(['RSA', 'EXPORTER_SECRET', 'EARLY_EXPORTER_SECRET', 'ECH_SECRET', 'ECH_CONFIG']);
/** Secrets after key updates are derived here; OpenSSL writes them with the letter N. */
const TRAFFIC_SECRET_N = /^(CLIENT|SERVER)_TRAFFIC_SECRET_(N|\d+)$/;
/** Longer lines are malformed: the longest right one has 31 + 2 * 32 + 2 * 48 + 2 bytes. */
const LINE_BYTES_MAX = 1_024;
const LABEL_BYTES_MAX = 64;

export interface KeyLogResult {
  /** Secrets taken in. */
  secrets: number;
  /** Lines that are no key log line, and the number of the first, from 1 (0: none). */
  malformed: number;
  firstMalformed: number;
}

const hexDigit = (byte: number): number => {
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 0x20;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
};

/** Decodes the hex digits in [from, to) of `text` to `out[at]`; -1 when they are none, else the count of bytes. */
function decodeHex(text: Uint8Array, from: number, to: number, out: Uint8Array, at: number): number {
  if ((to - from) % 2 !== 0 || (to - from) / 2 > out.length - at) return -1;
  let o = at;
  for (let i = from; i < to; i += 2) {
    const high = hexDigit(text[i]!);
    const low = hexDigit(text[i + 1]!);
    if (high < 0 || low < 0) return -1;
    out[o++] = (high << 4) | low;
  }
  return o - at;
}

const isLabel = (label: string): label is SecretLabel => (SECRET_LABELS as readonly string[]).includes(label);

/** Reads a whole key log. `text` is the caller's, who zeroes it. Takes a time linear in its length; never throws. */
export function readKeyLog(text: Uint8Array, store: SecretStore, now: number): KeyLogResult {
  const result: KeyLogResult = { secrets: 0, malformed: 0, firstMalformed: 0 };
  const line = Memory.alloc(256);
  let number = 0;
  for (let at = 0; at < text.length; ) {
    let end = text.indexOf(10, at);
    if (end < 0) end = text.length;
    number++;
    const verdict = readLine(text, at, end, line, store, now);
    if (verdict === 'secret') result.secrets++;
    else if (verdict === 'malformed') {
      result.malformed++;
      if (result.firstMalformed === 0) result.firstMalformed = number;
    }
    at = end + 1;
  }
  line.buf.fill(0);
  return result;
}

function readLine(
  text: Uint8Array,
  from: number,
  to: number,
  line: Memory,
  store: SecretStore,
  now: number,
): 'secret' | 'ignored' | 'malformed' {
  let end = to;
  while (end > from && (text[end - 1] === 13 || text[end - 1] === 32 || text[end - 1] === 9)) end--;
  if (end === from || text[from] === 35) return 'ignored';
  if (end - from > LINE_BYTES_MAX) return 'malformed';
  const first = text.indexOf(32, from);
  const second = first < 0 ? -1 : text.indexOf(32, first + 1);
  if (first < 0 || second < 0 || second >= end || first - from > LABEL_BYTES_MAX) return 'malformed';
  const label = Buffer.from(text.buffer, text.byteOffset + from, first - from).latin1Slice();
  const wanted = isLabel(label);
  if (!wanted && !KNOWN_UNUSED.has(label) && !TRAFFIC_SECRET_N.test(label)) return 'malformed';
  if (!wanted) return 'ignored';
  const randomBytes = decodeHex(text, first + 1, second, line.buf, 0);
  const bytes = decodeHex(text, second + 1, end, line.buf, RANDOM_BYTES);
  if (randomBytes !== RANDOM_BYTES || bytes <= 0) return 'malformed';
  return store.add(label, line, 0, RANDOM_BYTES, RANDOM_BYTES, bytes, now) ? 'secret' : 'malformed';
}
