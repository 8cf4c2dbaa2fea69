/** From a decoded header list to a message's own words (RFC 9113 8.2 and 8.3). */
import type { FieldBlock } from '../../model/fields.ts';
import { ANOMALY_BIT, type Message } from '../../model/message.ts';
import type { HeaderList } from '../hpack/header-list.ts';
import { ROLE_CONNECTION, ROLE_NONE } from './roles.ts';
import type { H2Shared } from './shared.ts';

const SEEN_METHOD = 1;
const SEEN_SCHEME = 2;
const SEEN_AUTHORITY = 4;
const SEEN_PATH = 8;
const SEEN_PROTOCOL = 16;
const SEEN_STATUS = 32;

const ZERO = 48;

/** 100 to 999; 0: it is none (RFC 9110 15). */
function statusOf(text: string): number {
  if (text.length !== 3) return 0;
  let status = 0;
  for (let i = 0; i < 3; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit < 0 || digit > 9) return 0;
    status = 10 * status + digit;
  }
  return status < 100 ? 0 : status;
}

/**
 * Fills in what the pseudo-header fields say, and marks what they should not. What is missing because the compression
 * context is, stays "" or 0. `scheme`: what it is without a word of the request's.
 */
export function readHead(message: Message, list: HeaderList, shared: H2Shared, scheme: string): void {
  const block = message.fields;
  let seen = 0;
  let bad = list.pseudoMisplaced;
  for (let i = 0; i < list.pseudoCount; i++) {
    const line = list.pseudo[i]!;
    const text = line.value ?? latin1(block, list.pseudoAt[i]!, list.pseudoLength[i]!);
    let bit = 0;
    switch (line.raw) {
      case ':method':
        bit = SEEN_METHOD;
        message.method = text;
        break;
      case ':path':
        bit = SEEN_PATH;
        message.target = text;
        break;
      case ':scheme':
        bit = SEEN_SCHEME;
        message.scheme = text;
        break;
      case ':authority':
        bit = SEEN_AUTHORITY;
        message.authority = text;
        break;
      case ':protocol':
        bit = SEEN_PROTOCOL;
        message.protocol = text;
        break;
      case ':status': {
        bit = SEEN_STATUS;
        const status = statusOf(text);
        if (status === 0) bad = true;
        else message.status = status;
        break;
      }
      default:
        bad = true;
    }
    if ((seen & bit) !== 0) bad = true;
    seen |= bit;
  }
  const whole = list.unknown === 0 && list.dropped === 0;
  if (message.kind === 'response') bad ||= whole && seen !== SEEN_STATUS;
  else if (message.method === 'CONNECT' && (seen & SEEN_PROTOCOL) === 0) {
    message.target = message.authority;
    bad ||= whole && seen !== (SEEN_METHOD | SEEN_AUTHORITY);
  } else {
    const needed = SEEN_METHOD | SEEN_SCHEME | SEEN_PATH;
    bad ||= (whole && (seen & needed) !== needed) || (seen & SEEN_STATUS) !== 0;
    if ((seen & SEEN_PROTOCOL) !== 0 && message.method !== 'CONNECT') bad = true;
  }
  if (message.kind === 'request' && message.scheme === '') message.scheme = scheme;
  if (bad) message.anomalies |= ANOMALY_BIT.bad_pseudo_header;
  if (list.badName || hasConnectionField(block, shared)) message.anomalies |= ANOMALY_BIT.bad_field_line;
}

/** A field that HTTP/2 does not have, and that a gateway to HTTP/1 may take for its own (RFC 9113 8.2.2). */
function hasConnectionField(block: FieldBlock, shared: H2Shared): boolean {
  const { roles } = shared;
  for (let i = 0; i < block.count; i++) {
    const role = roles[block.lines[i]!.name.id]!;
    if (role === ROLE_NONE) continue;
    if (role === ROLE_CONNECTION || block.value(i).toLowerCase() !== 'trailers') return true;
  }
  return false;
}

const latin1 = (block: FieldBlock, at: number, length: number): string => block.memory.buf.latin1Slice(at, at + length);
