/**
 * Records inside a batch, little endian, one behind the other. The first byte is the kind.
 *
 *     HEADER   u8 kind, u32 length, JSON {anchor, openedMs}: first record of a segment
 *     WORD     u8 kind, u32 id, u32 length, UTF-8: a text that later records of the segment name by its id (from 1, in order)
 *     CONTEXT  u8 kind, u32 id, 12 x u32 word, u32 pid + 1, u8 resumed: run, side, service, process name, cgroup, container,
 *              evidence, TLS version, cipher, SNI, ALPN, JA4; resumed is 0 when not known, 1 no, 2 yes
 *     CALL     u8 kind, fixed part (see the offsets), target, request values, response values (each behind a u32 length),
 *              extra, losses
 *     STATE    u8 kind, f64 start ms, 6 x u32 word (level, service, side, method, route, kind), u32 length, bytes
 *     LEDGER   u8 kind, f64 second ms, f64 captured, u32 word (reason), f64 count, f64 bytes
 *     SESSION  u8 kind, f64 connection, u32 ordinal, u32 context, f64 began (as T0), u32 length, JSON: a WebSocket that has ended
 *
 * In logs of version 1 a CONTEXT has another kind, its first seven words, no `resumed`; and there is no SESSION.
 *
 * A segment refers to nothing outside itself: whoever reads its log from the start can read all of it.
 */
export const KIND_HEADER = 1;
export const KIND_WORD = 2;
/** Of version 1. */
export const KIND_OLD_CONTEXT = 3;
export const KIND_CALL = 4;
export const KIND_STATE = 5;
export const KIND_LEDGER = 6;
export const KIND_CONTEXT = 7;
export const KIND_SESSION = 8;

/** Words of a CONTEXT, in order. */
export const CONTEXT_WORDS = 12;
export const OLD_CONTEXT_WORDS = 7;
/** Before the JSON of a SESSION. */
export const SESSION_BYTES = 1 + 8 + 4 + 4 + 8 + 4;

/** Offsets in a CALL; `T0` to `T3` are ns since the segment's anchor, or UNSEEN. */
export const CALL = {
  FLAGS: 1,
  STATUS: 2,
  T0: 4,
  T1: 12,
  T2: 20,
  T3: 28,
  CONNECTION: 36,
  ORDINAL: 44,
  CONTEXT: 48,
  CLIENT: 52,
  SERVER: 56,
  CLIENT_PORT: 60,
  SERVER_PORT: 62,
  PROTOCOL: 64,
  UPGRADE: 68,
  STREAM: 72,
  METHOD: 76,
  SCHEME: 80,
  AUTHORITY: 84,
  ROUTE: 88,
  REASON: 92,
  OUTCOME: 96,
  IN_FLIGHT: 100,
  ANOMALIES: 104,
  REQUEST_HEAD: 108,
  RESPONSE_HEAD: 112,
  REQUEST_BODY: 116,
  RESPONSE_BODY: 124,
  REQUEST_SHAPE: 132,
  RESPONSE_SHAPE: 136,
  SEQUENCE: 140,
  /** u32 lengths of target, extra, losses; u32 counts of request and response values. */
  TEXTS: 148,
  FIXED_BYTES: 168,
} as const;
export const HAS_REQUEST = 1;
export const HAS_RESPONSE = 2;

/** Bounds of a segment: whichever is reached first closes it. They bound what a reader and the sealer hold. */
export const SEGMENT_ROWS_MAX = 122_880;
export const SEGMENT_BYTES_MAX = 32 << 20;
/** Large calls make shorter segments too: a flood of ten thousand fields each would fill 32 MiB with 3,000 of them, for nobody's good. */
const LARGE_CALLS_BYTES = 8 << 20;
const USUAL_CALL_BYTES = 768;
export const segmentBytesMax = (rows: number): number =>
  Math.min(SEGMENT_BYTES_MAX, LARGE_CALLS_BYTES + rows * USUAL_CALL_BYTES);
/** Of its dictionary: a flood of names or paths makes segments shorter, not the memory larger. */
export const SEGMENT_WORDS_MAX = 65_536;
export const SEGMENT_WORD_BYTES_MAX = 4 << 20;

/** Sequence numbers of a segment begin at its number times this. */
export const SEQUENCE_STRIDE = 2 ** 17;
