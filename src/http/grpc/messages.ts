import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { BodyUnits, UnitKind } from '../../model/units.ts';

/** Flags, and a length of four bytes (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const PREFIX_BYTES = 5;
/** gRPC-Web carries its trailers as a last message with this flag. */
const FLAG_TRAILERS = 0x80;

/** Length-prefixed messages of one direction of a call. */
export class GrpcMessages implements BodyUnits {
  readonly kind: UnitKind;
  count = 0;
  exact = true;
  #prefix = 0;
  #length = 0;
  #trailers = false;
  /** Bytes of the message at hand that are still to come. */
  #remaining = 0;

  constructor(kind: UnitKind) {
    this.kind = kind;
  }

  read(memory: Memory, from: number, end: number): void {
    if (!this.exact) return;
    const { view } = memory;
    let at = from;
    while (at < end) {
      if (this.#remaining > 0) {
        const taken = Math.min(this.#remaining, end - at);
        this.#remaining -= taken;
        at += taken;
        continue;
      }
      const byte = view.getUint8(at++);
      if (this.#prefix === 0) {
        this.#trailers = this.kind === 'grpc-web' && (byte & FLAG_TRAILERS) !== 0;
        this.#length = 0;
      } else this.#length = this.#length * 256 + byte;
      if (++this.#prefix < PREFIX_BYTES) continue;
      this.#prefix = 0;
      this.#remaining = this.#length;
      if (!this.#trailers) this.count++;
    }
  }

  skip(length: number): void {
    if (length <= this.#remaining) this.#remaining -= length;
    else this.exact = false;
  }
}

/** Counts the messages of a body that its Content-Type says is gRPC; null: it is not, or is base64 (grpc-web-text). */
export function grpcMessages(fields: FieldBlock): GrpcMessages | null {
  const type = fields.get('content-type');
  if (type === null || !type.startsWith('application/grpc')) return null;
  if (!type.startsWith('application/grpc-web')) return new GrpcMessages('grpc');
  return type.startsWith('application/grpc-web-text') ? null : new GrpcMessages('grpc-web');
}
