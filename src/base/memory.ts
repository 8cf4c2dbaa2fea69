declare global {
  interface Buffer {
    /** Node's own fast path, missing in @types/node: latin1 code points of [start, end). */
    latin1Slice(start?: number, end?: number): string;
    /** Writes latin1 code points at `offset`; returns the bytes written. */
    latin1Write(text: string, offset?: number, length?: number): number;
  }
}

/**
 * What memory says of itself that is written round and round (the kernel's ring): bytes stay for a while after the call in which
 * they were valid, so that whoever may want to look at them again needs no copy.
 */
export interface Lasting {
  /** Address of the byte at `offset` of what is being handed over. Addresses only grow. */
  addressOf(offset: number): number;
  offsetOf(address: number): number;
  /** Whether nothing was written over the byte up to now: to be asked after it was read. */
  intact(address: number): boolean;
}

/**
 * A long-lived block of bytes with the two views that the hot path needs: a Buffer (latin1Slice, copy) and a DataView
 * (32-bit words at 0.5 ns each). Views cost 40 ns and more to make, so make one Memory for each block (the ring, a file
 * chunk, a slab) and pass (memory, offset, length) as numbers.
 */
export class Memory {
  readonly buf: Buffer;
  readonly view: DataView;
  /** null: bytes are gone with the call in which they were valid. */
  lasting: Lasting | null = null;

  constructor(buffer: ArrayBufferLike, byteOffset = 0, byteLength = buffer.byteLength - byteOffset) {
    this.buf = Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
    this.view = new DataView(buffer, byteOffset, byteLength);
  }

  /** A zeroed block of its own, never a slice of Node's shared pool. */
  static alloc(size: number): Memory {
    return new Memory(new ArrayBuffer(size));
  }

  /** Copies `bytes` into a block of its own. */
  static from(bytes: Uint8Array): Memory {
    const m = Memory.alloc(bytes.length);
    m.buf.set(bytes);
    return m;
  }

  get size(): number {
    return this.buf.length;
  }
}

/**
 * Latin1 code points as bytes of their own, for what is kept: a short Buffer.from(text) is a piece of Node's shared pool, and keeps
 * all of its 64 KiB.
 */
export function latin1Bytes(text: string): Buffer {
  const bytes = Buffer.allocUnsafeSlow(text.length);
  bytes.latin1Write(text, 0, text.length);
  return bytes;
}
