/** What the beginning of a record says whose end is missing, so that no tag and no content type can be had. */
import type { Memory } from '../base/memory.ts';
import { HANDSHAKE } from './handshake.ts';
import type { RecordProtection } from './protection.ts';
import { CONTENT } from './records.ts';
import { HEADER_BYTES } from './workspace.ts';

/** The least of a protected record that is not content: its header, a tag, a content type. */
export const AROUND_CONTENT_BYTES = HEADER_BYTES + 17;

/** Bytes that tell whether they begin like HTTP. */
export const BEGINNING_BYTES = 9;
const METHOD = /^[A-Z]{3,7} |^PRI \* HTTP/;
const STATUS_LINE = /^HTTP\/1\.[01] /;

/** A request or status line, or HTTP/2's preface or a SETTINGS frame (RFC 9113 3.4): under a wrong key 1 in 10^7 at most. */
export function beginsLikeHttp(memory: Memory, at: number, client: boolean): boolean {
  const text = memory.buf.latin1Slice(at, at + BEGINNING_BYTES);
  if (client) return METHOD.test(text);
  const { view } = memory;
  const settings = view.getUint16(at) === 0 && view.getUint8(at + 3) === 4 && view.getUint32(at + 5) === 0;
  return STATUS_LINE.test(text) || settings;
}

/**
 * The type of a TLS 1.3 record that `keys` opened in part, of which `whole` bytes are there; 0 when it cannot be told: what
 * follows a handshake is content, but for a server's ticket and for key updates, which say their own type and length and
 * fill their record.
 */
export function typeOfCut(memory: Memory, keys: RecordProtection, whole: number, client: boolean): number {
  if (whole - keys.prefixBytes < 4) return 0;
  const { view } = memory;
  const first = view.getUint8(keys.at);
  const length = view.getUint32(keys.at) & 0xff_ffff;
  const ticket = first === HANDSHAKE.NEW_SESSION_TICKET && !client;
  const message = ticket || (first === HANDSHAKE.KEY_UPDATE && length === 1);
  return message && length + 4 === keys.bytes ? CONTENT.HANDSHAKE : CONTENT.APPLICATION_DATA;
}
