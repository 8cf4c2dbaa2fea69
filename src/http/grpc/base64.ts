import { Memory } from '../../base/memory.ts';

/** Decoded bytes at a time. */
const PIECE_BYTES = 384;
const PAD = 61;
const NONE = 255;

const SEXTET = new Uint8Array(256).fill(NONE);
for (const [i, c] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  SEXTET[c.charCodeAt(0)] = i;
}

/** Base64 (RFC 4648 4) as it comes in pieces; gRPC-Web sends several padded parts one after the other. */
export class Base64 {
  /** What the last call decoded: `length` bytes. */
  readonly out = Memory.alloc(PIECE_BYTES);
  length = 0;
  /** A byte stood there that is no base64. Nothing after it is decoded. */
  broken = false;
  #bits = 0;
  /** Characters of the group of four at hand, and how many of them are padding. */
  #have = 0;
  #padding = 0;

  /** Reads [at, end), or as much as there is room for; returns where it stopped. */
  decode(view: DataView, at: number, end: number): number {
    this.length = 0;
    let o = at;
    while (o < end && this.length <= PIECE_BYTES - 3) {
      const c = view.getUint8(o++);
      const sextet = SEXTET[c]!;
      if (this.broken || (c === PAD ? this.#have < 2 : sextet === NONE || this.#padding > 0)) {
        this.broken = true;
        return end;
      }
      if (c === PAD) this.#padding++;
      this.#bits = (this.#bits << 6) | (c === PAD ? 0 : sextet);
      if (++this.#have < 4) continue;
      const bytes = 3 - this.#padding;
      for (let i = 0; i < bytes; i++) this.out.buf[this.length++] = (this.#bits >> (16 - 8 * i)) & 255;
      this.#bits = 0;
      this.#have = 0;
      this.#padding = 0;
    }
    return o;
  }
}
