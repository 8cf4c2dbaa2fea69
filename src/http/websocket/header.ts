/** The numbers of a WebSocket frame header (RFC 6455 5.2), and which ones may stand in it. */
export const FIN = 0x80;
/** permessage-deflate: the message is compressed (RFC 7692 6). No registered extension uses the other two. */
export const RSV1 = 0x40;
const RSV2_RSV3 = 0x30;
export const OPCODE_BITS = 0x0f;

export const CONTINUATION = 0;
export const TEXT = 1;
export const BINARY = 2;
/** Control frames begin here. */
export const CONTROL = 8;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

export const MASK = 0x80;
export const MASK_BYTES = 4;
export const LENGTH_BITS = 0x7f;
export const LENGTH_OF_16 = 126;
export const LENGTH_OF_64 = 127;

/**
 * Whether a frame may begin with these two bytes: a known opcode, no reserved bit but RSV1 on the first frame of a
 * message, control frames whole and short. Who must mask is not asked: a peer that breaks that is counted all the same.
 */
export function allowed(first: number, second: number): boolean {
  const opcode = first & OPCODE_BITS;
  if ((first & RSV2_RSV3) !== 0 || (opcode > BINARY && opcode < CONTROL) || opcode > PONG) return false;
  if ((first & RSV1) !== 0 && opcode !== TEXT && opcode !== BINARY) return false;
  return opcode < CONTROL || ((first & FIN) !== 0 && (second & LENGTH_BITS) < LENGTH_OF_16);
}
