/** Credentials and challenges: RFC 9110 11 (schemes, token68, parameters). */
import type { TextRedactor } from './text.ts';

const words = (text: string): Set<string> => new Set(text.split(' '));

/** Schemes that may stay readable. Any other first word could be part of the secret, so it goes with it. */
const SCHEMES = words(
  'basic bearer digest negotiate ntlm token apikey api-key apitoken api-token aws4-hmac-sha256 aws4-ecdsa-p256-sha256 aws dpop gnap hawk hoba mutual oauth ' +
    'scram-sha-1 scram-sha-256 vapid signature sharedkey sharedkeylite sharedaccesssignature privatetoken concealed key jwt bot sso-key googlelogin splunk accesskey',
);
/** Schemes whose credentials are parameters; of all others everything behind the scheme is one credential. */
const WITH_PARAMETERS = words(
  'digest aws4-hmac-sha256 aws4-ecdsa-p256-sha256 hawk hoba mutual oauth scram-sha-1 scram-sha-256 vapid signature token sharedaccesssignature',
);
/** Parameters that identify nobody. */
const PUBLIC = words(
  'realm algorithm qop stale charset userhash nc version signedheaders scope error error_description error_uri domain resource_metadata ' +
    'authorization_uri algs headers oauth_signature_method oauth_version se sr created expires keyid acr_values max_age insufficient_scope',
);

const SCHEME_AND_REST = /^([0-9A-Za-z!#$%&'*+.^_`|~-]{1,32})[ \t]+(\S[\s\S]*)$/;
const PARAMETER = /^[0-9A-Za-z!#$%&'*+.^_`|~-]+[ \t]*=[ \t]*[^=\s,]/;

/** A credential, perhaps behind its scheme: "Bearer sk-proj-[fp:...]". O(length). */
export function redactCredential(value: string, text: TextRedactor): string {
  const parts = SCHEME_AND_REST.exec(value);
  const scheme = parts?.[1]?.toLowerCase() ?? '';
  if (parts === null || !SCHEMES.has(scheme)) {
    const bare = value.trim();
    return SCHEMES.has(bare.toLowerCase()) ? bare : text.mark(bare);
  }
  const rest = parts[2]!.trimEnd();
  return `${parts[1]} ${WITH_PARAMETERS.has(scheme) && PARAMETER.test(rest) ? redactParameters(rest, text) : text.mark(rest)}`;
}

/** More than this in one field is a flood: the rest becomes one fingerprint. */
const PARAMETERS_MAX = 64;

/**
 * Challenges and lists of parameters: `Digest realm="api", nonce="[fp:...]"`. Schemes and public parameters stay, all
 * other values become fingerprints, and so does every word that is neither.
 */
export function redactParameters(value: string, text: TextRedactor): string {
  let out = '';
  let at = 0;
  for (let n = 0; at < value.length; n++) {
    const gap = /^[\s,;]*/.exec(value.slice(at))![0];
    out += gap;
    at += gap.length;
    if (at >= value.length) break;
    if (n >= PARAMETERS_MAX) return out + text.mark(value.slice(at));
    let end = at;
    while (end < value.length && !' \t\r\n,;="'.includes(value[end]!)) end++;
    const word = value.slice(at, end);
    // token68 may end in = signs: they belong to a parameter only when a value follows.
    const sign = word === '' ? null : /^[ \t]*=[ \t]*(?=[^=\s,;])/.exec(value.slice(end, end + 64));
    if (sign === null) {
      if (word === '' || value[end] === '=' || value[end] === '"')
        while (end < value.length && !' \t\r\n,'.includes(value[end]!)) end++;
      const token = value.slice(at, end);
      out += SCHEMES.has(token.toLowerCase()) ? token : text.mark(token);
      at = end;
      continue;
    }
    at = end + sign[0].length;
    const quoted = value[at] === '"';
    let to = at;
    if (quoted) {
      to++;
      while (to < value.length && value[to] !== '"') to += value[to] === '\\' ? 2 : 1;
      to = Math.min(to, value.length);
    } else while (to < value.length && !' \t\r\n,'.includes(value[to]!)) to++;
    const content = value.slice(quoted ? at + 1 : at, to);
    const shown = PUBLIC.has(word.toLowerCase()) ? text.redact(content, 'redact') : text.mark(content);
    out += `${text.redact(word, 'redact')}=${quoted ? `"${shown}"` : shown}`;
    at = quoted ? to + 1 : to;
  }
  return out;
}
