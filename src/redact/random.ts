/**
 * Does a text look drawn at random? No entropy figure: over 20 characters the Shannon entropy of English and of base64
 * overlap (3.5 to 4.2 bits a character). What tells them apart is structure: people write words and numbers with
 * separators between them, a generator mixes digits, cases and letters within one unbroken piece.
 */

/** An unbroken mixed piece of 16 is 64 bits in hex and 95 in base64: shorter keys are not issued as bearer secrets. */
const MIXED_PIECE_MIN = 16;
/** Letters alone, or digits alone: longer than words, and than numbers (a 64-bit number has 19 digits). */
const UNIFORM_PIECE_MIN = 20;
/** Mixed pieces joined by punctuation count together (base64url breaks at - and _). */
const RUN_MIN = 20;
/** Hex up to here may be an object id in a URL (a Mongo ObjectId has 24); an MD5-sized key has 32. */
const HEX_ID_MAX = 31;

const DIGIT = 1;
const LOWER = 2;
const UPPER = 4;
const KIND = new Uint8Array(256);
for (let c = 0; c < 256; c++) {
  const ch = String.fromCharCode(c);
  if (/[0-9]/.test(ch)) KIND[c] = DIGIT;
  else if (/[a-z]/.test(ch)) KIND[c] = LOWER;
  else if (/[A-Z]/.test(ch)) KIND[c] = UPPER;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const COMPACT_TIME = /^\d{8}T\d{6,9}Z?$/;
const HEX = /^[0-9a-f]+$/i;

/**
 * `ids` accepts what identifies things in URLs: UUIDs, and hex up to 31 digits. O(length).
 */
export function looksRandom(text: string, from: number, to: number, ids: boolean): boolean {
  if (to - from < MIXED_PIECE_MIN) return false;
  let mixed = 0;
  let suspicious = false;
  let at = from;
  while (at < to) {
    let kinds = 0;
    let digits = 0;
    let trailing = 0;
    let rises = 0;
    let last = 0;
    const start = at;
    for (; at < to; at++) {
      const kind = KIND[text.charCodeAt(at) & 0xff]!;
      if (kind === 0) break;
      kinds |= kind;
      if (kind === DIGIT) {
        digits++;
        trailing++;
      } else {
        trailing = 0;
        if (kind === UPPER && last === LOWER) rises++;
      }
      last = kind;
    }
    const length = at - start;
    if (length > 0) {
      const letters = length - digits;
      // "CamelCaseWords" rise once in five letters or less often; random case rises once in four.
      const jumpy = rises * 5 > letters;
      const wordAndNumber = digits === trailing && digits <= 4 && !jumpy;
      const isMixed = letters > 0 && (digits > 0 ? !wordAndNumber || length >= 24 : jumpy);
      if (isMixed) {
        mixed += length;
        if (length >= MIXED_PIECE_MIN) suspicious = true;
      } else if (length >= UNIFORM_PIECE_MIN && !(kinds === (LOWER | UPPER) && rises > 0)) suspicious = true;
    }
    at++;
  }
  if (!suspicious && !(mixed >= MIXED_PIECE_MIN && to - from >= RUN_MIN)) return false;
  const token = text.slice(from, to);
  if (COMPACT_TIME.test(token)) return false;
  if (ids && (UUID.test(token) || (token.length <= HEX_ID_MAX && HEX.test(token)))) return false;
  return true;
}
