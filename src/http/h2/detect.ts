/** Is it HTTP/2, where no preface says so? Judged by frames alone. */
import { FRAME_BYTES_DEFAULT, FRAME_HEADER_BYTES, HEADERS, lengthAt, SETTINGS } from './frames.ts';
import { chainAt } from './resync.ts';

/** First octets of a request's block: static method, scheme, path or authority, or a literal with their name (RFC 7541 6). */
const REQUEST_FIRST = new Set([
  0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x01, 0x02, 0x04, 0x06, 0x11, 0x12, 0x14, 0x41, 0x42, 0x44,
]);
/** Of a response's: static status, or a literal with its name. */
const RESPONSE_FIRST = new Set([0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x8d, 0x8e, 0x08, 0x18, 0x48]);

/** Frame headers in a row, a server's SETTINGS first, that nothing else begins with. */
const CHAIN_OF_SERVER = 3;

/** A server's first bytes, which begin with SETTINGS: are they frames, whatever its client said? */
export const continuesSettings = (view: DataView, at: number, end: number): boolean =>
  chainAt(view, at, end, FRAME_BYTES_DEFAULT).count >= CHAIN_OF_SERVER;

/** A server's first frame is SETTINGS (RFC 9113 3.4): is it, or the beginning of it? */
export function beginsWithSettings(view: DataView, at: number, end: number): 'yes' | 'no' | 'need_more' {
  // 00 LL LL 04 00 00000000, LLLL being a multiple of six.
  for (let i = 0; i < FRAME_HEADER_BYTES; i++) {
    if (at + i >= end) return 'need_more';
    const byte = view.getUint8(at + i);
    if (i === 2 ? lengthAt(view, at) % 6 !== 0 : i !== 1 && byte !== (i === 3 ? SETTINGS : 0)) return 'no';
  }
  return 'yes';
}

/**
 * Whose frames the segment [at, end) of a connection is that was joined in the middle; null: no telling. It must be frames
 * from its first byte to its last, with a header block among them that only one side sends.
 */
export function framesOf(view: DataView, at: number, end: number): 'client' | 'server' | null {
  const chain = chainAt(view, at, end, FRAME_BYTES_DEFAULT);
  if (!chain.exact) return null;
  for (let o = at; o < end; o += FRAME_HEADER_BYTES + lengthAt(view, o)) {
    const type = view.getUint8(o + 3);
    const flags = view.getUint8(o + 4);
    if (type !== HEADERS || (view.getUint8(o + 8) & 1) === 0) continue;
    const block = o + FRAME_HEADER_BYTES + ((flags & 0x8) >> 3) + (flags & 0x20 ? 5 : 0);
    if (block >= end) return null;
    const first = view.getUint8(block);
    if (REQUEST_FIRST.has(first)) return 'client';
    if (RESPONSE_FIRST.has(first)) return 'server';
  }
  return null;
}
