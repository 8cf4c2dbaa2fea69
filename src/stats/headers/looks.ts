/** What texts look like: stamps of time and ids, and orders of names. */

const HTTP_DATE = /^[A-Z][a-z]{2},? \d{1,2}[ -][A-Z][a-z]{2}[ -]\d{2,4} \d{2}:\d{2}:\d{2}/;
const ISO_TIME = /^\d{4}-?\d{2}-?\d{2}[T ]\d{2}:?\d{2}/;
const NUMBER = /^[+-]?\d+(?:\.\d+)?(?:m?s|us|ns)?$/;
const HEX = /^(?:W\/)?"?(?=[^"]*\d)[0-9a-f-]{8,}"?$/i;

/**
 * Whether a text looks like a time, a number or an id: what may be the same for a while and another one later without anybody having changed
 * anything. A date without a time of day is none (API versions look so), nor is a fingerprint: a rotated credential is a change.
 */
export const looksLikeStamp = (text: string): boolean =>
  !/^\d{4}-\d{2}-\d{2}$/.test(text) &&
  (HTTP_DATE.test(text) || ISO_TIME.test(text) || (NUMBER.test(text) && text.length > 2) || HEX.test(text));

/** Whether one of the known orders agrees with this one about all names that both have, and shares at least half of the shorter one. */
export function explainedBy(order: readonly string[], known: readonly (readonly string[])[]): boolean {
  const mine = new Set(order);
  for (const other of known) {
    const theirs = new Set(other);
    const a = order.filter((name) => theirs.has(name));
    const b = other.filter((name) => mine.has(name));
    if (a.length * 2 < Math.min(order.length, other.length)) continue;
    if (sameOrder(a, b)) return true;
  }
  return false;
}

/** Duplicates count once, by their first place: how often a name comes is no matter of order. */
function sameOrder(a: readonly string[], b: readonly string[]): boolean {
  const x = [...new Set(a)];
  const y = [...new Set(b)];
  return x.length === y.length && x.every((name, i) => name === y[i]);
}
