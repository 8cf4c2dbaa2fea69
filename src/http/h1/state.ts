/** Where the reading of one direction stands; README.md beside this file has the ways between. */
export type H1State =
  /** Between messages. */
  | 'start'
  /** Between messages, after the CR of an empty line. */
  | 'start_lf'
  /** A head came in part. */
  | 'head'
  | 'body_length'
  | 'body_close'
  | 'chunks'
  | 'trailers'
  /** The body of a response whose request was not seen: is it there at all? */
  | 'peek'
  /** The expectation of this request failed before any of its body came: does the body follow, or the next request? */
  | 'refused'
  /** Bytes that are no request after one that asked for another protocol: the answer will tell. */
  | 'held'
  /** Looking for a message start. */
  | 'seeking'
  /** Framing broke: nothing more is believed. */
  | 'failed'
  /** Another protocol from `switchedAt` on. */
  | 'switched'
  | 'ended';
