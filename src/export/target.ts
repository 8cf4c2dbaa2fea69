import { authorityEnd, authorityStart } from '../exchange/target.ts';
import type { Message } from '../model/message.ts';
import type { Redacted } from '../redact/redacted.ts';

/**
 * Scheme and authority of a request (RFC 9112 3.2 and 3.3): an absolute-form target wins over Host, CONNECT's target is
 * its authority; in HTTP/2 its pseudo-header fields. User information is no part of the authority (RFC 9110 4.2.4). "" where the request has none.
 */
export function schemeAndAuthority(request: Redacted<Message>): { scheme: string; authority: string } {
  const { target, scheme } = request;
  // HTTP/2 says both; Host stands in for an authority that is left out (RFC 9113 8.3.1).
  if (scheme !== '' && request.version >= 20)
    return { scheme, authority: request.authority || hostOf(request.fields.get('host') ?? '') };
  // HTTP/1: https when it was decrypted.
  const own = scheme || 'http';
  if (request.method === 'CONNECT') return { scheme: own, authority: hostOf(target) };
  const from = authorityStart(target);
  if (from < 0) return { scheme: own, authority: hostOf(request.fields.get('host') ?? '') };
  return {
    scheme: target.slice(0, from - 3).toLowerCase(),
    authority: hostOf(target.slice(from, authorityEnd(target, from))),
  };
}

function hostOf(authority: string): string {
  const at = authority.lastIndexOf('@');
  return at < 0 ? authority : authority.slice(at + 1);
}
