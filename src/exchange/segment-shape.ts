/**
 * Does a path segment name one of many things (an id) or a kind of thing (a part of the endpoint)? Judged by its letters
 * alone; route.ts judges by how many different ones there are.
 *
 * Ids: numbers, signed ones, lists of them, and those from five digits on in a name (INV-000123); UUIDs; hex with digits from 8
 * characters on; words that mix digits and letters, or cases, as random tokens do; addresses of mail and of hosts; times of a day; what
 * holds an encoded "/" (a path used as a key); everything longer than 64 characters; what looks like a credential, because a template is a
 * label that people publish.
 * Not ids: version prefixes (v1, 1.0), dates, words in any case, model names (gpt-4o-mini-2024-07-18,
 * gemini-1.5-pro:generateContent).
 * What is done to an id stays (42:cancel is {id}:cancel), and so does whose key it is (Orders(10248) is Orders({id})).
 * A file name keeps what is not random about it, so that a deployment does not make new endpoints: app.3f9ac81b.js is
 * app.{id}.js, and 550e8400-e29b-41d4-a716-446655440000.pdf is {id}.pdf.
 */

/** What stands for an id in a template. */
export const ID = '{id}';

const SEGMENT_LENGTH_MAX = 64;
const HEX_LENGTH_MIN = 8;
/** Hex words without any digit exist in English up to this length. */
const HEX_LETTERS_LENGTH_MIN = 16;
/** Fewer digits in a name may be a year, a version or a size; eight may be a date. */
const DIGITS_IN_NAME_MIN = 5;
const DATE = /^(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])$/;
const RANDOM_LENGTH_MIN = 8;
/** Changes between digits and letters, or from lower to upper case, that a random word has at least ... */
const CHANGES_MIN = 4;
/** ... and for each character: base 62 has 0.45, camel case below 0.2. */
const CHANGES_SHARE_MIN = 0.3;
/** In long words less will do, with two digits or more. */
const LONG_LENGTH_MIN = 20;
const LONG_CHANGES_SHARE_MIN = 0.2;
const CONSONANTS_LENGTH_MIN = 12;
/** Longer than in words ("postgresql" has 4). */
const CONSONANTS_MIN = 5;

/** Upper case and digits alone (base 32, access key ids). */
const UPPER_LENGTH_MIN = 16;
const CREDENTIAL_LENGTH_MIN = 16;

const CREDENTIAL = /^(?:[spr]k[-_]|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|A[KS]IA|AIza|eyJ|Bearer)/;
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/i;
const UUID_LENGTH = 36;
const HEX = /^[0-9a-f]+$/i;
const WORDS = /[-_.~:,=+!$()*']/;
const EXTENSION = /^[a-z][a-z0-9]{0,4}$/;
/** What any of the next ones is made of. */
const NUMERIC = /^[-+0-9a-f:.,T]+(?:Z|%|$)/i;
/** Signed numbers and lists of numbers (coordinates too); IPv4; IPv6; a day with a time. */
const ONE_OF_MANY = [
  /^[-+]\d+(?:\.\d+)?$/,
  /^[-+]?\d+(?:\.\d+)?(?:,[-+]?\d+(?:\.\d+)?)+$/,
  /^\d{1,3}(?:\.\d{1,3}){3}$/,
  /^[0-9a-f]*:[0-9a-f]*:[0-9a-f:.]*$/i,
  /^\d{4}-\d\d-\d\dT\d\d/,
];
/** Google's custom methods, AIP-136. */
const CUSTOM_METHOD = /^(.+):([A-Za-z]{2,40})$/;
/** OData 4.01 part 2, 4.3: the key of an entity stands behind its set. */
const KEYED = /^([A-Za-z][\w.-]{0,63})\(.+\)$/;

function isNumber(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (kindOf(text.charCodeAt(i)) !== DIGIT) return false;
  return text !== '';
}

/** The segment, or with ID in place of it or of its random parts. Percent-encoding is undone where it changes nothing. */
export function segmentShape(segment: string): string {
  if (isNumber(segment)) return ID;
  const text = normalized(segment);
  if (text === '') return text;
  const set = text.endsWith(')') ? KEYED.exec(text)?.[1] : undefined;
  if (set !== undefined && !isId(set)) return `${set}(${ID})`;
  if (text.length > SEGMENT_LENGTH_MAX || text === ID || isNumber(text)) return ID;
  if (text.includes('@') || (text.includes('%') && (text.includes('%40') || text.includes('%2F')))) return ID;
  if (text.length >= CREDENTIAL_LENGTH_MIN && CREDENTIAL.test(text)) return ID;
  const [, stem, method] = text.includes(':') ? (CUSTOM_METHOD.exec(text) ?? []) : [];
  if (stem !== undefined && (isNumber(stem) || isId(stem))) return isRandomWord(method!) ? ID : `${ID}:${method}`;
  const dot = text.lastIndexOf('.');
  if (dot > 0 && EXTENSION.test(text.slice(dot + 1))) return fileShape(text.slice(0, dot), text.slice(dot + 1));
  return isId(text) ? ID : text;
}

function fileShape(stem: string, extension: string): string {
  if (isNumber(stem)) return `${ID}.${extension}`;
  if (!isId(stem)) return `${stem}.${extension}`;
  const parts = stem.split('.').map((part) => (isId(part) ? ID : part));
  return `${parts.includes(ID) ? parts.join('.') : ID}.${extension}`;
}

function isId(text: string): boolean {
  if (text.length >= UUID_LENGTH && UUID.test(text)) return true;
  if (NUMERIC.test(text) && ONE_OF_MANY.some((pattern) => pattern.test(text))) return true;
  return text.split(WORDS).some(isRandomWord);
}

function isRandomWord(word: string): boolean {
  const { length } = word;
  if (length < DIGITS_IN_NAME_MIN) return false;
  let digits = 0;
  let lowers = 0;
  let changes = 0;
  let consonants = 0;
  let run = 0;
  let before = 0;
  for (let i = 0; i < length; i++) {
    const kind = kindOf(word.charCodeAt(i));
    if (kind === DIGIT) digits++;
    else if (kind === LOWER) lowers++;
    const digitEdge = i > 0 && (kind === DIGIT) !== (before === DIGIT);
    if (digitEdge || (before === LOWER && kind === UPPER)) changes++;
    run = isConsonant(word.charCodeAt(i)) ? run + 1 : 0;
    if (run > consonants) consonants = run;
    before = kind;
  }
  if (digits === length) return !DATE.test(word);
  if (length < RANDOM_LENGTH_MIN) return false;
  if (HEX.test(word)) return digits > 0 ? length >= HEX_LENGTH_MIN : length >= HEX_LETTERS_LENGTH_MIN;
  if (lowers === 0 && digits > 0 && length >= UPPER_LENGTH_MIN) return true;
  const share = length >= LONG_LENGTH_MIN && digits >= 2 ? LONG_CHANGES_SHARE_MIN : CHANGES_SHARE_MIN;
  if (changes >= CHANGES_MIN && changes >= length * share) return true;
  return length >= CONSONANTS_LENGTH_MIN && consonants >= CONSONANTS_MIN && (digits > 0 || changes > 0);
}

const LOWER = 1;
const UPPER = 2;
const DIGIT = 3;

const kindOf = (c: number): number => {
  if (c >= 97 && c <= 122) return LOWER;
  if (c >= 65 && c <= 90) return UPPER;
  return c >= 48 && c <= 57 ? DIGIT : 0;
};

const isConsonant = (c: number): boolean => {
  const lower = c | 32;
  if (lower < 98 || lower > 122) return false;
  return lower !== 101 && lower !== 105 && lower !== 111 && lower !== 117 && lower !== 121;
};

/** Without its parameters (RFC 3986 3.3), and escapes of unreserved characters undone (6.2.2.2). */
function normalized(segment: string): string {
  const semicolon = segment.indexOf(';');
  const text = semicolon < 0 ? segment : segment.slice(0, semicolon);
  if (!text.includes('%')) return text;
  return text.replace(/%[0-9a-f]{2}/gi, (escaped) => {
    const c = String.fromCharCode(Number.parseInt(escaped.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(c) ? c : escaped.toUpperCase();
  });
}
