/** Where a body ends: RFC 9112 6.3, and what makes two readers of one message disagree about it. */
import type { Memory } from '../../base/memory.ts';
import { ANOMALY_BIT, type Message } from '../../model/message.ts';
import { isWord, skipBlank, trimBlank } from './scan.ts';

export const LENGTH_NONE = -1;
export const LENGTH_BAD = -2;
export const LENGTH_DIFFERS = -3;

export const CODING_NONE = 0;
/** "chunked" once, and last. */
export const CODING_CHUNKED = 1;
/** Codings without "chunked". */
export const CODING_OTHER = 2;
/** "chunked" twice or not last, or something that one reader may take for it and another not. */
export const CODING_BROKEN = 3;
export type Coding = 0 | 1 | 2 | 3;

/** What a head says of the end of its message. */
export interface Lengths {
  /** LENGTH_* or the number of bytes. */
  contentLength: number;
  coding: Coding;
  hosts: number;
  /** A framing field was folded: parsers differ on what it says. */
  foldedFraming: boolean;
}

export type Framing = 'none' | 'length' | 'chunked' | 'close' | 'switched' | 'error';

const COMMA = 44;
/** A coding with its parameters (RFC 9110 10.1.4). A quoted value may hold the comma that ends it elsewhere. */
const OTHER_CODING = /^[\w!#$%&'*+.^`|~-]+(?:[ \t]*;[ \t]*[\w!#$%&'*+.^`|~-]+[ \t]*=[ \t]*[\w!#$%&'*+.^`|~-]+)*$/;

/** Reads a Content-Length value [at, end) into `head.contentLength`: 1*DIGIT, or a list that repeats one number. */
export function readContentLength(head: Lengths, view: DataView, at: number, end: number): void {
  let o = at;
  for (;;) {
    const start = skipBlank(view, o, end);
    let value = 0;
    let i = start;
    for (; i < end; i++) {
      const digit = view.getUint8(i) - 48;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const next = skipBlank(view, i, end);
    if (i === start || value > Number.MAX_SAFE_INTEGER || (next < end && view.getUint8(next) !== COMMA)) {
      head.contentLength = LENGTH_BAD;
      return;
    }
    if (head.contentLength === LENGTH_NONE) head.contentLength = value;
    else if (head.contentLength >= 0 && head.contentLength !== value) head.contentLength = LENGTH_DIFFERS;
    if (next >= end) return;
    o = next + 1;
  }
}

/** Reads a Transfer-Encoding value [at, end) into `head.coding`; several lines are one list. */
export function readTransferEncoding(head: Lengths, memory: Memory, at: number, end: number): void {
  const view = memory.view;
  let o = at;
  let codings = 0;
  while (o <= end) {
    let comma = o;
    while (comma < end && view.getUint8(comma) !== COMMA) comma++;
    const from = skipBlank(view, o, comma);
    const to = trimBlank(view, from, comma);
    // Empty list elements count for nothing (RFC 9110 5.6.1.2).
    if (to > from) {
      codings++;
      head.coding = nextCoding(head.coding, memory, from, to);
    }
    o = comma + 1;
  }
  if (codings === 0) head.coding = CODING_BROKEN;
}

function nextCoding(before: Coding, memory: Memory, from: number, to: number): Coding {
  if (before === CODING_CHUNKED || before === CODING_BROKEN) return CODING_BROKEN;
  if (isWord(memory, from, to, 'chunked')) return CODING_CHUNKED;
  const text = memory.buf.latin1Slice(from, to);
  return OTHER_CODING.test(text) && !/chunked/i.test(text) ? CODING_OTHER : CODING_BROKEN;
}

/** The conflicts that a head's lengths show, as ANOMALY_BIT set; any of them makes the message's end a guess. */
function conflicts(message: Message, head: Lengths): number {
  let bits = 0;
  if (head.contentLength === LENGTH_BAD) bits |= ANOMALY_BIT.bad_content_length;
  if (head.contentLength === LENGTH_DIFFERS) bits |= ANOMALY_BIT.differing_content_lengths;
  if (head.coding !== CODING_NONE) {
    if (head.contentLength !== LENGTH_NONE) bits |= ANOMALY_BIT.content_length_and_transfer_encoding;
    // RFC 9112 6.1: such framing is faulty.
    if (message.version === 10) bits |= ANOMALY_BIT.transfer_encoding_in_http10;
    if (head.coding === CODING_BROKEN) bits |= ANOMALY_BIT.transfer_encoding_not_chunked_last;
  }
  if (head.foldedFraming) bits |= ANOMALY_BIT.obs_fold;
  return bits;
}

/** Framing of a request, from its head; marks its anomalies. */
export function requestFraming(message: Message, head: Lengths): Framing {
  if (head.hosts === 0 && message.version === 11) message.anomalies |= ANOMALY_BIT.missing_host;
  if (head.hosts > 1) message.anomalies |= ANOMALY_BIT.duplicate_host;
  if (head.contentLength === LENGTH_NONE && head.coding === CODING_NONE && !head.foldedFraming) return 'none';
  let bits = conflicts(message, head);
  if (head.coding === CODING_OTHER) bits |= ANOMALY_BIT.transfer_encoding_not_chunked_last;
  message.anomalies |= bits;
  if (bits !== 0) return 'error';
  return head.coding === CODING_CHUNKED ? 'chunked' : 'length';
}

/** Framing of a response; `method` of the request it answers, null when that was not seen. Marks its anomalies. */
export function responseFraming(message: Message, head: Lengths, method: string | null): Framing {
  const { status } = message;
  const declared = head.contentLength !== LENGTH_NONE || head.coding !== CODING_NONE;
  const bits = declared || head.foldedFraming ? conflicts(message, head) : 0;
  message.anomalies |= bits;
  const successful = status >= 200 && status < 300;
  if (status < 200 || status === 204 || (method === 'CONNECT' && successful)) {
    // RFC 9110 8.6, RFC 9112 6.1: no length belongs there; "0" is common and harmless.
    if (declared && head.contentLength !== 0) message.anomalies |= ANOMALY_BIT.body_where_none_allowed;
    return status === 101 || (method === 'CONNECT' && successful) ? 'switched' : 'none';
  }
  if (status === 304 || method === 'HEAD') return 'none';
  if (bits !== 0) return 'error';
  if (head.coding === CODING_CHUNKED) return 'chunked';
  return head.coding === CODING_OTHER || head.contentLength === LENGTH_NONE ? 'close' : 'length';
}
