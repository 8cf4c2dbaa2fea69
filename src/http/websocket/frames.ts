/**
 * One direction of a WebSocket: bytes become frames, which are counted (RFC 6455 5.2). Only headers, and the two bytes
 * of a close code, are read; the state is a few numbers whatever the peers send. The same bytes give the same counts
 * however they were cut.
 *
 * A frame that may not stand here ends the reading (`violation`). After a hole that hides a frame header, headers are
 * looked for at the first byte of a piece: two that follow each other up to the end of the piece are believed, or one
 * that stands where another one said.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { LossMark, LossReason, LossSink } from '../../model/loss.ts';
import type { Peer } from '../../model/stages.ts';
import type { FrameUnits } from '../../model/units.ts';
import type { WebSocketClose } from '../../model/websocket.ts';
import { chainAt } from './chain.ts';
import {
  allowed,
  BINARY,
  CLOSE,
  CONTINUATION,
  CONTROL,
  FIN,
  LENGTH_BITS,
  LENGTH_OF_16,
  LENGTH_OF_64,
  MASK,
  MASK_BYTES,
  OPCODE_BITS,
  PING,
  RSV1,
  TEXT,
} from './header.ts';

const CODE_BYTES = 2;

type State = 'header' | 'payload' | 'seeking' | 'failed';

export class WebSocketFrames implements FrameUnits {
  readonly kind = 'websocket';
  frames = 0;
  masked = 0;
  textMessages = 0;
  textBytes = 0;
  binaryMessages = 0;
  binaryBytes = 0;
  compressed = 0;
  pings = 0;
  pongs = 0;
  controlBytes = 0;
  close: WebSocketClose | null = null;
  firstAt = UNSEEN;
  lastAt = UNSEEN;
  unreadBytes = 0;
  readonly losses: LossMark[] = [];
  readonly #by: Peer;
  readonly #sink: LossSink;
  #state: State = 'header';
  /** Bytes of the direction so far, seen or not. */
  #position = 0;
  /** Of the frame at hand: bytes of its header that came, its first byte, its length as far as it is known. */
  #have = 0;
  #first = 0;
  #second = 0;
  #length = 0;
  /** How long its header is. */
  #headerBytes = 2;
  /** The mask's first two bytes: all that a close code needs. */
  #mask = 0;
  #remaining = 0;
  /** Opcode of the data message at hand; CONTINUATION: none, or its first frame was not seen. */
  #message = CONTINUATION;
  #deflated = false;
  /** A frame header was in a hole: what does not fit may be because of that. */
  #guessed = false;
  /** Seeking: where a frame begins if what was seen are frames; -1: nothing was. */
  #candidate = -1;
  /** Close code bytes that came, and what they say; -1: a part was not seen. */
  #codeBytes = 0;
  #code = 0;

  constructor(by: Peer, losses: LossSink) {
    this.#by = by;
    this.#sink = losses;
  }

  get closeUnseen(): boolean {
    return this.close === null && this.#state === 'seeking';
  }

  get violation(): boolean {
    return this.#state === 'failed';
  }

  read(memory: Memory, from: number, end: number, ts: number): void {
    const { view } = memory;
    const origin = this.#position - from;
    this.#position += end - from;
    let at = from;
    if (this.#state === 'seeking') at = this.#seek(view, at, end, origin);
    while (at < end) {
      switch (this.#state) {
        case 'header':
          at = this.#header(view, at, end, ts);
          break;
        case 'payload': {
          const taken = Math.min(end - at, this.#remaining);
          if (this.#codeBytes < CODE_BYTES && (this.#first & OPCODE_BITS) === CLOSE) this.#closeCode(view, at, taken);
          this.#payload(taken, ts);
          at += taken;
          break;
        }
        case 'seeking':
        case 'failed':
          this.#pass(end - at);
          return;
      }
    }
  }

  skip(length: number, why: LossReason | 'left_out'): void {
    if (length === 0) return;
    this.#position += length;
    if (this.#state === 'payload' && length <= this.#remaining) {
      if (this.#codeBytes < CODE_BYTES) this.#code = -1;
      if (why !== 'left_out' && why !== 'shed_body') this.#lose(why, length);
      this.#payload(length, UNSEEN);
      return;
    }
    this.unreadBytes += length;
    if (this.#state === 'failed') return;
    if (this.#state === 'header') this.unreadBytes += this.#have;
    const reason = why === 'left_out' ? 'window' : why;
    if (why === 'left_out') this.#sink.lose(reason, 1, length);
    this.#lose(reason, length);
    this.#resynchronise();
  }

  #resynchronise(): void {
    this.#state = 'seeking';
    this.#guessed = true;
    this.#have = 0;
    this.#message = CONTINUATION;
    this.#candidate = -1;
  }

  #header(view: DataView, from: number, end: number, ts: number): number {
    let at = from;
    while (at < end) {
      this.#headerByte(view.getUint8(at++));
      if (this.#have === 2 && !allowed(this.#first, this.#second)) return this.#broken(at, end);
      if (this.#have < this.#headerBytes) continue;
      this.#have = 0;
      if (this.#length > Number.MAX_SAFE_INTEGER || !this.#begin()) return this.#broken(at, end);
      this.#state = 'payload';
      if (this.#remaining === 0) this.#payload(0, ts);
      return at;
    }
    return at;
  }

  #headerByte(byte: number): void {
    const i = this.#have++;
    if (i === 0) {
      this.#first = byte;
      this.#headerBytes = 2;
    } else if (i === 1) {
      const short = byte & LENGTH_BITS;
      const more = short === LENGTH_OF_16 ? 2 : short === LENGTH_OF_64 ? 8 : 0;
      this.#second = byte;
      this.#length = more === 0 ? short : 0;
      this.#headerBytes = 2 + more + ((byte & MASK) === 0 ? 0 : MASK_BYTES);
      this.#mask = 0;
    } else {
      const mask = i - (this.#headerBytes - MASK_BYTES);
      if ((this.#second & MASK) === 0 || mask < 0) this.#length = this.#length * 256 + byte;
      else if (mask < CODE_BYTES) this.#mask = this.#mask * 256 + byte;
    }
  }

  /** The header is whole; false: the frame cannot follow what came before it (RFC 6455 5.4). */
  #begin(): boolean {
    const opcode = this.#first & OPCODE_BITS;
    if (opcode < CONTROL) {
      const begun = this.#message !== CONTINUATION;
      if (begun !== (opcode === CONTINUATION) && !this.#guessed) return false;
      if (opcode !== CONTINUATION) {
        this.#message = opcode;
        this.#deflated = (this.#first & RSV1) !== 0;
      }
    } else if (opcode === CLOSE) {
      this.#codeBytes = 0;
      this.#code = 0;
    }
    this.frames++;
    if ((this.#second & MASK) !== 0) this.masked++;
    this.#remaining = this.#length;
    return true;
  }

  /** A header that cannot be one ends at `at`. */
  #broken(at: number, end: number): number {
    const bytes = this.#have === 0 ? this.#headerBytes : this.#have;
    this.#have = 0;
    if (this.#guessed) this.#resynchronise();
    else this.#state = 'failed';
    this.#pass(bytes + end - at);
    return end;
  }

  #closeCode(view: DataView, from: number, taken: number): void {
    const masked = (this.#second & MASK) !== 0;
    for (let i = 0; i < taken && this.#codeBytes < CODE_BYTES; i++) {
      const key = masked ? (this.#mask >> (this.#codeBytes === 0 ? 8 : 0)) & 255 : 0;
      this.#codeBytes++;
      if (this.#code >= 0) this.#code = this.#code * 256 + (view.getUint8(from + i) ^ key);
    }
  }

  /** The next `length` bytes of payload; at its end the frame is counted. */
  #payload(length: number, ts: number): void {
    this.#remaining -= length;
    const opcode = this.#first & OPCODE_BITS;
    if (opcode >= CONTROL) this.controlBytes += length;
    else if (this.#message === TEXT) this.textBytes += length;
    else if (this.#message === BINARY) this.binaryBytes += length;
    else this.unreadBytes += length;
    if (this.#remaining > 0) return;
    this.#state = 'header';
    if (opcode === CLOSE) {
      const code = this.#length >= CODE_BYTES && this.#code >= 0 && this.#codeBytes === CODE_BYTES ? this.#code : null;
      this.close ??= { code, reasonBytes: Math.max(0, this.#length - CODE_BYTES), at: ts };
    } else if (opcode >= CONTROL) {
      if (opcode === PING) this.pings++;
      else this.pongs++;
    } else if ((this.#first & FIN) !== 0) this.#messageEnded(ts);
  }

  #messageEnded(ts: number): void {
    if (this.#message === CONTINUATION) return;
    if (this.#message === TEXT) this.textMessages++;
    else this.binaryMessages++;
    if (this.#deflated) this.compressed++;
    this.#message = CONTINUATION;
    if (ts === UNSEEN) return;
    if (this.firstAt === UNSEEN) this.firstAt = ts;
    this.lastAt = ts;
  }

  /** Looks for a frame's beginning in the piece [at, end); returns where reading goes on. */
  #seek(view: DataView, at: number, end: number, origin: number): number {
    const expected = this.#candidate - origin;
    let found = -1;
    if (this.#candidate >= 0) {
      if (expected >= end) {
        this.#pass(end - at);
        return end;
      }
      if (expected >= at && chainAt(view, expected, end, this.#by).count > 0) found = expected;
    }
    this.#candidate = -1;
    if (found < 0) {
      const chain = chainAt(view, at, end, this.#by);
      if (chain.count > 1 && chain.next === end) found = at;
      else if (chain.count > 0) this.#candidate = chain.next + origin;
    }
    if (found < 0) {
      this.#pass(end - at);
      return end;
    }
    this.#pass(found - at);
    this.#state = 'header';
    return found;
  }

  /** Bytes that came and cannot be read. */
  #pass(bytes: number): void {
    if (bytes === 0) return;
    this.unreadBytes += bytes;
    // Behind a violation nothing is missing: no peer reads on there.
    if (this.#state === 'failed') return;
    this.#lose('desync', bytes);
    this.#sink.lose('desync', 1, bytes);
  }

  #lose(reason: LossReason, bytes: number): void {
    const mark = this.losses.find((known) => known.reason === reason);
    if (mark === undefined) this.losses.push({ reason, bytes });
    else mark.bytes += bytes;
  }
}
