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
