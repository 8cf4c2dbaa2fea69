/** What the user asks about. */

export type Target =
  | { readonly kind: 'pid'; readonly pid: number }
  | { readonly kind: 'port'; readonly port: number }
  /** A number that may be either: the machine tells. */
  | { readonly kind: 'number'; readonly number: number }
  | { readonly kind: 'url'; readonly scheme: 'http' | 'https'; readonly host: string; readonly port: number };

const PID_MAX = 4_194_304;
const PORT_MAX = 65_535;

/** Reads "4711", "pid:4711", ":8080", "port:8080", a URL, or "host:port"; null when it is none of these. */
export const parseTarget = (text: string): Target | null => {
  const named = /^(pid|port)?:?(\d{1,7})$/.exec(text);
  if (named !== null) {
    const number = Number(named[2]);
    if (named[1] === 'pid') return number >= 1 && number <= PID_MAX ? { kind: 'pid', pid: number } : null;
    if (named[1] === 'port' || text.startsWith(':'))
      return number >= 1 && number <= PORT_MAX ? { kind: 'port', port: number } : null;
    return number >= 1 && number <= PID_MAX ? { kind: 'number', number } : null;
  }
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || url.hostname === '' || (url.protocol !== 'http:' && url.protocol !== 'https:')) return null;
  // A word alone is more likely a mistake than a host.
  if (!text.includes('://') && !/[.:/]/.test(text) && text !== 'localhost') return null;
  const scheme = url.protocol === 'https:' ? 'https' : 'http';
  return {
    kind: 'url',
    scheme,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port),
  };
};
