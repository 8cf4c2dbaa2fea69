/** The transcript hash of a TLS 1.3 handshake (RFC 8446 4.4.1), computed only where secrets are known by it. */
import { createHash, type Hash } from 'node:crypto';
import type { Memory } from '../base/memory.ts';
import { HANDSHAKE } from './handshake.ts';
import { HASH_BYTES, type HashName } from './libcrypto.ts';

/** Bytes kept until the ServerHello names the hash: a ClientHello with post-quantum key shares has about 2 KiB. */
const KEPT_BYTES_MAX = 16 << 10;

export class Transcript {
  #kept: Buffer | null = Buffer.alloc(0);
  #hash: Hash | null = null;
  /** The hash of the first ClientHello alone, by which early data's secret is known; null: not known. */
  early: string | null = null;
  /** A message was not seen whole: the hash will fit nothing. */
  broken = false;

  /** A message with its header: `bytes` at `memory[at]`. */
  add(memory: Memory, at: number, bytes: number): void {
    if (this.broken) return;
    if (this.#hash !== null) this.#hash.update(memory.buf.subarray(at, at + bytes));
    else if (this.#kept!.length + bytes > KEPT_BYTES_MAX) this.broken = true;
    else this.#kept = Buffer.concat([this.#kept!, memory.buf.subarray(at, at + bytes)]);
  }

  /** The hash is known: by the suite of the ServerHello, or of the HelloRetryRequest before it is added. */
  begin(name: HashName, helloRetry: boolean): void {
    if (this.#hash !== null || this.broken) return;
    this.#hash = createHash(name);
    const kept = this.#kept!;
    this.#kept = null;
    const digest = createHash(name).update(kept).digest();
    this.early = digest.latin1Slice();
    if (helloRetry) {
      this.#hash.update(Buffer.from([HANDSHAKE.MESSAGE_HASH, 0, 0, HASH_BYTES[name]])).update(digest);
    } else this.#hash.update(kept);
  }

  /** The hash up to here as latin1; null when it cannot be known. */
  digest(): string | null {
    if (this.broken) return null;
    if (this.#hash !== null) return this.#hash.copy().digest().latin1Slice();
    return null;
  }
}
