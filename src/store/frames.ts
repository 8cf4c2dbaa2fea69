/**
 * The log of a live segment: frames, one for each batch. A frame is its head (magic, length, number of calls, sequence of the
 * first, checksums) and the batch. The head has a checksum of its own, so that a damaged batch is passed over by its length
 * and only a damaged head ends what can be read.
 */
import { crc32 } from 'node:zlib';

const MAGIC = 0x31574c48;
export const FRAME_HEAD = 32;
/** A batch is never larger. */
export const FRAME_BODY_MAX = 4 << 20;

/** Fills `head` (FRAME_HEAD bytes). */
export function writeHead(head: Buffer, body: Uint8Array, calls: number, firstSequence: number): void {
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(body.length, 4);
  head.writeUInt32LE(calls, 8);
  head.writeUInt32LE(0, 12);
  head.writeDoubleLE(firstSequence, 16);
  head.writeUInt32LE(crc32(body), 24);
  head.writeUInt32LE(crc32(head.subarray(0, 28)), 28);
}

export type Frame =
  | {
      readonly type: 'batch';
      readonly at: number;
      readonly end: number;
      readonly calls: number;
      /** Of the first of them. */
      readonly sequence: number;
    }
  /** The batch is damaged; the calls in it are lost. */
  | { readonly type: 'damaged'; readonly at: number; readonly end: number; readonly calls: number }
  /** From here on nothing can be read: a write that was cut short, or a damaged head. */
  | { readonly type: 'torn'; readonly at: number; readonly end: number };

/** The frames of a log, in order; at most the last one is torn. Never throws on any bytes. */
export function* frames(log: Buffer): Generator<Frame> {
  let at = 0;
  while (at < log.length) {
    const head = log.subarray(at, at + FRAME_HEAD);
    const sound =
      head.length === FRAME_HEAD &&
      head.readUInt32LE(0) === MAGIC &&
      head.readUInt32LE(28) === crc32(head.subarray(0, 28));
    const length = sound ? head.readUInt32LE(4) : 0;
    const body = at + FRAME_HEAD;
    if (!sound || length > FRAME_BODY_MAX || body + length > log.length) {
      yield { type: 'torn', at, end: log.length };
      return;
    }
    const end = body + length;
    const calls = head.readUInt32LE(8);
    const whole = crc32(log.subarray(body, end)) === head.readUInt32LE(24);
    const sequence = head.readDoubleLE(16);
    yield whole ? { type: 'batch', at: body, end, calls, sequence } : { type: 'damaged', at: body, end, calls };
    at = end;
  }
}
