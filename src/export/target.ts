import type { Message } from '../model/message.ts';
import type { Redacted } from '../redact/redacted.ts';

const ABSOLUTE = /^([A-Za-z][0-9A-Za-z+.-]*):\/\/([^/?#]*)/;

/**
 * Scheme and authority of a request (RFC 9112 3.2 and 3.3): an absolute-form target wins over Host, CONNECT's target is
 * its authority. User information is no part of the authority (RFC 9110 4.2.4). "" where the request has none.
 */
export function schemeAndAuthority(request: Redacted<Message>, secure = false): { scheme: string; authority: string } {
  const target = request.target;
  let scheme = secure ? 'https' : 'http';
  let authority = '';
  if (request.method === 'CONNECT') authority = target;
  else {
    const absolute = target.startsWith('/') || target === '*' ? null : ABSOLUTE.exec(target);
    if (absolute !== null) {
      scheme = absolute[1]!.toLowerCase();
      authority = absolute[2]!;
    } else authority = request.fields.get('host') ?? '';
  }
  const at = authority.lastIndexOf('@');
  return { scheme, authority: at < 0 ? authority : authority.slice(at + 1) };
}
