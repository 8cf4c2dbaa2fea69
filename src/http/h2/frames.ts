/** The frame layer's numbers (RFC 9113 4.1, 6, 7), and what a frame header can look like. */

export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
export const FRAME_HEADER_BYTES = 9;

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PUSH_PROMISE = 5;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const FLAG_ACK = 0x1;
export const FLAG_END_STREAM = 0x1;
export const FLAG_END_HEADERS = 0x4;
export const FLAG_PADDED = 0x8;
export const FLAG_PRIORITY = 0x20;

export const SETTING_HEADER_TABLE_SIZE = 1;
export const SETTING_INITIAL_WINDOW_SIZE = 4;
export const SETTING_MAX_FRAME_SIZE = 5;

export const FRAME_BYTES_DEFAULT = 16_384;

/** Flags that each type defines; a sender leaves the others 0. */
const FLAGS = [
  FLAG_END_STREAM | FLAG_PADDED,
  FLAG_END_STREAM | FLAG_END_HEADERS | FLAG_PADDED | FLAG_PRIORITY,
  0,
  0,
  FLAG_ACK,
  FLAG_END_HEADERS | FLAG_PADDED,
  FLAG_ACK,
  0,
  0,
  FLAG_END_HEADERS,
];

export const lengthAt = (view: DataView, at: number): number => (view.getUint16(at) << 8) | view.getUint8(at + 2);

/** Could the nine bytes at `at` be a frame header as every sender writes it? */
export function plausible(view: DataView, at: number, lengthMax: number): boolean {
  const length = lengthAt(view, at);
  const type = view.getUint8(at + 3);
  const flags = view.getUint8(at + 4);
  const id = view.getInt32(at + 5);
  if (length > lengthMax || type > CONTINUATION || id < 0 || (flags & ~FLAGS[type]!) !== 0) return false;
  switch (type) {
    case SETTINGS:
      return id === 0 && length % 6 === 0 && (flags === 0 || length === 0);
    case PING:
      return id === 0 && length === 8;
    case GOAWAY:
      return id === 0 && length >= 8;
    case WINDOW_UPDATE:
      return length === 4;
    case PRIORITY:
      return id !== 0 && length === 5;
    case RST_STREAM:
      return id !== 0 && length === 4;
    case DATA:
      return id !== 0 && (length > 0 || flags === FLAG_END_STREAM);
    default:
      return id !== 0 && length > 0;
  }
}

/** SETTINGS payload that is read. */
const SETTINGS_BYTES_MAX = 6 * 256;

export const isBlockPart = (type: number): boolean =>
  type === HEADERS || type === PUSH_PROMISE || type === CONTINUATION;

/** How many of the `length` bytes of a frame's payload must be together to be read; not for DATA. */
export function bytesNeeded(type: number, flags: number, length: number): number {
  switch (type) {
    case HEADERS:
    case PUSH_PROMISE:
    case CONTINUATION:
      return length;
    case SETTINGS:
      return (flags & FLAG_ACK) !== 0 || length > SETTINGS_BYTES_MAX ? 0 : length;
    case RST_STREAM:
    case WINDOW_UPDATE:
      return Math.min(4, length);
    case GOAWAY:
      return Math.min(8, length);
    default:
      return 0;
  }
}
