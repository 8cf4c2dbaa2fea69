/**
 * Records inside a batch, little endian, one behind the other. The first byte is the kind.
 *
 *     HEADER   u8 kind, u32 length, JSON {anchor, openedMs}: first record of a segment
 *     WORD     u8 kind, u32 id, u32 length, UTF-8: a text that later records of the segment name by its id (from 1, in order)
 *     CONTEXT  u8 kind, u32 id, 7 x u32 word, u32 pid + 1: run, side, service, process name, cgroup, container, evidence
 *     CALL     u8 kind, fixed part (see the offsets), target, request values, response values (each behind a u32 length),
 *              extra, losses
 *     STATE    u8 kind, f64 start ms, 6 x u32 word (level, service, side, method, route, kind), u32 length, bytes
 *     LEDGER   u8 kind, f64 second ms, f64 captured, u32 word (reason), f64 count, f64 bytes
 *
 * A segment refers to nothing outside itself: whoever reads its log from the start can read all of it.
 */
export const KIND_HEADER = 1;
export const KIND_WORD = 2;
export const KIND_CONTEXT = 3;
export const KIND_CALL = 4;
export const KIND_STATE = 5;
export const KIND_LEDGER = 6;

/** Words of a CONTEXT, in order. */
export const CONTEXT_WORDS = 7;
export const CONTEXT_BYTES = 1 + 4 + CONTEXT_WORDS * 4 + 4;

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
/** Of its dictionary: a flood of names or paths makes segments shorter, not the memory larger. */
export const SEGMENT_WORDS_MAX = 65_536;
export const SEGMENT_WORD_BYTES_MAX = 8 << 20;

/** Sequence numbers of a segment begin at its number times this. */
export const SEQUENCE_STRIDE = 2 ** 17;
