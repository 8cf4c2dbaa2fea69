/**
 * The authority that a request is for: of an absolute-form target, else the target of CONNECT, else the Host field
 * (RFC 9112 3.2 and 3.3). User information is no part of it (RFC 9110 4.2.4). "" when nothing says it.
 */
export function authorityOf(method: string, target: string, host: string | null): string {
  if (method === 'CONNECT') return target;
  const absolute = absoluteForm(target);
  if (absolute === null) return host ?? '';
  return absolute.authority.slice(absolute.authority.lastIndexOf('@') + 1);
}

/** Scheme of an absolute-form target in lower case, else that of the connection. */
export const schemeOf = (target: string, tls: boolean): string =>
  absoluteForm(target)?.scheme ?? (tls ? 'https' : 'http');

const ABSOLUTE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([^/?#]*)/;

/** Parts of an absolute-form target; `rest` is what follows the authority. Null: the target has another form. */
export function absoluteForm(
  target: string,
): { readonly scheme: string; readonly authority: string; readonly rest: string } | null {
  // Almost every target is in origin form: no pattern for those.
  if (target.startsWith('/')) return null;
  const match = ABSOLUTE.exec(target);
  return match === null
    ? null
    : { scheme: match[1]!.toLowerCase(), authority: match[2]!, rest: target.slice(match[0].length) };
}
