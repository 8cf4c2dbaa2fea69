import type { Memory } from '../../base/memory.ts';
import type { MessageUnits } from '../../model/units.ts';
import { Base64 } from './base64.ts';

/** Flags, and a length of four bytes (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;
/** gRPC-Web carries its trailers as a last message with this flag. */
const FLAG_TRAILERS = 0x80;
const FLAG_COMPRESSED = 0x01;
/** Of the trailers, so much is looked at: the status comes first. */
const TRAILER_BYTES_MAX = 1_024;
const STATUS = /(?:^|\n)grpc-status:[ \t]*(\d{1,3})[ \t]*(?:\r?\n|$)/i;

/** Length-prefixed messages of one direction of a call. */
export class GrpcMessages implements MessageUnits {
  readonly kind: 'grpc' | 'grpc-web';
  count = 0;
  exact = true;
  #prefix = 0;
  #length = 0;
  #flags = 0;
  /** Bytes of the message at hand that are still to come. */
  #remaining = 0;
  /** Trailers so far, latin1; null: none began. */
  #trailers: string | null = null;
  readonly #base64: Base64 | null;

  /** `text`: the body is base64 (application/grpc-web-text). */
  constructor(kind: 'grpc' | 'grpc-web', text = false) {
    this.kind = kind;
    this.#base64 = text ? new Base64() : null;
  }

  get status(): number | null {
    const found = this.#trailers === null || this.#remaining > 0 ? null : STATUS.exec(this.#trailers);
    return found === null ? null : +found[1]!;
  }

  read(memory: Memory, from: number, end: number): void {
    if (!this.exact) return;
    if (this.#base64 === null) this.#read(memory, from, end);
    else {
      // Decoded in pieces, so that memory stays small however long the body is.
      for (let at = from; at < end; ) {
        at = this.#base64.decode(memory.view, at, end);
        this.#read(this.#base64.out, 0, this.#base64.length);
      }
      if (this.#base64.broken) this.exact = false;
    }
  }

  skip(length: number): void {
    if (this.#base64 === null && this.#trailers === null && length <= this.#remaining) this.#remaining -= length;
    else {
      this.exact = false;
      this.#trailers = null;
    }
  }

  #read(memory: Memory, from: number, end: number): void {
    const { view } = memory;
    let at = from;
    while (at < end) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, end - at);
        if (this.#trailers !== null) this.#keep(memory, at, at + taken);
        this.#remaining -= taken;
        at += taken;
        continue;
      }
      const byte = view.getUint8(at++);
      if (this.#prefix === 0) {
        this.#flags = byte;
        this.#length = 0;
      } else this.#length = this.#length * 256 + byte;
      if (++this.#prefix < PREFIX_BYTES) continue;
      this.#prefix = 0;
      this.#remaining = this.#length;
      if (this.kind !== 'grpc-web' || (this.#flags & FLAG_TRAILERS) === 0) this.count++;
      else if ((this.#flags & FLAG_COMPRESSED) === 0) this.#trailers = '';
    }
  }

  #keep(memory: Memory, from: number, to: number): void {
    const room = TRAILER_BYTES_MAX - this.#trailers!.length;
    if (room > 0) this.#trailers += memory.buf.latin1Slice(from, Math.min(to, from + room));
  }
}
