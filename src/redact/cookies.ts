/** Cookies: RFC 6265. Names and attributes stay, every value becomes a fingerprint. */
import type { TextRedactor } from './text.ts';

/** More cookies in one field are a flood: the rest becomes one fingerprint. */
const COOKIES_MAX = 128;

function redactPair(pair: string, text: TextRedactor): string {
  const sign = pair.indexOf('=');
  // A cookie without a name is all value (RFC 6265bis 5.6).
  if (sign < 0) return text.mark(pair.trim());
  const name = pair.slice(0, sign).trim();
  let value = pair.slice(sign + 1).trim();
  const quoted = value.length > 1 && value.startsWith('"') && value.endsWith('"');
  if (quoted) value = value.slice(1, -1);
  const shown = text.mark(value);
  return `${text.redact(name, 'redact')}=${quoted ? `"${shown}"` : shown}`;
}

/** Cookie: `sid=[fp:...]; theme=[fp:...]`. O(length). */
export function redactCookies(value: string, text: TextRedactor): string {
  const pairs = value.split(';', COOKIES_MAX + 1);
  if (pairs.length > COOKIES_MAX) {
    const kept = pairs.slice(0, COOKIES_MAX);
    const rest = value.slice(kept.join(';').length + 1);
    return `${kept.map((pair) => redactPair(pair, text)).join('; ')}; ${text.mark(rest)}`;
  }
  return pairs.map((pair) => redactPair(pair, text)).join('; ');
}

/**
 * What each attribute's value may look like. Anything else does not stay: several cookies joined by a comma
 * ("a=1; Path=/, sid=...") would hide the second one's value in the first one's attribute.
 */
const ATTRIBUTES: Readonly<Record<string, RegExp>> = {
  expires: /^[0-9A-Za-z :,+-]{1,40}$/,
  'max-age': /^-?\d{1,15}$/,
  domain: /^[0-9A-Za-z.:_-]{1,253}$/,
  path: /^\/[0-9A-Za-z._~!$*+/:-]{0,255}$/,
  samesite: /^(?:lax|strict|none)$/i,
  priority: /^(?:low|medium|high)$/i,
  version: /^\d{1,3}$/,
};
const FLAGS = new Set(['secure', 'httponly', 'partitioned', '']);

function redactAttribute(attribute: string, text: TextRedactor): string {
  const sign = attribute.indexOf('=');
  const name = (sign < 0 ? attribute : attribute.slice(0, sign)).trim();
  if (sign < 0) return FLAGS.has(name.toLowerCase()) ? name : text.mark(name);
  const value = attribute.slice(sign + 1).trim();
  const grammar = Object.hasOwn(ATTRIBUTES, name.toLowerCase()) ? ATTRIBUTES[name.toLowerCase()] : undefined;
  const shown = grammar?.test(value) ? text.redact(value, 'redact') : text.mark(value);
  return `${text.redact(name, 'redact')}=${shown}`;
}

/** Set-Cookie: `sid=[fp:...]; Path=/; HttpOnly`. O(length). */
export function redactSetCookie(value: string, text: TextRedactor): string {
  const [pair = '', ...attributes] = value.split(';', COOKIES_MAX + 1);
  const shown = [redactPair(pair, text), ...attributes.slice(0, COOKIES_MAX - 1).map((a) => redactAttribute(a, text))];
  if (attributes.length >= COOKIES_MAX)
    shown.push(text.mark(value.slice([pair, ...attributes.slice(0, COOKIES_MAX - 1)].join(';').length + 1)));
  return shown.join('; ');
}
