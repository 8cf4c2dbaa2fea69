/** Key derivation of TLS 1.2 (RFC 5246 5) and TLS 1.3 (RFC 8446 7), on addresses: secrets do not pass through JavaScript. */
import { assert } from '../base/assert.ts';
import type { Memory } from '../base/memory.ts';
import { HASH_BYTES, type HashName, hmac } from './libcrypto.ts';
import type { Workspace } from './workspace.ts';

// Where the derivations keep things in the workspace's first page.
const INFO_AT = 0;
const SEED_AT = 512;
const A_AT = 1_024;
const BLOCK_AT = 1_280;
const SEED_BYTES_MAX = 256;

/**
 * HKDF-Expand-Label (RFC 8446 7.1): `bytes` (at most the hash's length) to offset `to` of the workspace. `label` is without the
 * "tls13 " prefix; the context is `contextBytes` (at most 64) at `context[contextAt]`.
 */
export function expandLabel(
  w: Workspace,
  hash: HashName,
  secret: number,
  label: string,
  context: Memory | null,
  contextAt: number,
  contextBytes: number,
  bytes: number,
  to: number,
): void {
  assert(bytes <= HASH_BYTES[hash] && contextBytes <= 64 && label.length <= 32, 'one block, and it fits');
  const { buf } = w.memory;
  let at = INFO_AT;
  buf[at++] = 0;
  buf[at++] = bytes;
  buf[at++] = 6 + label.length;
  at += buf.latin1Write('tls13 ', at);
  at += buf.latin1Write(label, at);
  buf[at++] = contextBytes;
  if (context !== null) at += context.buf.copy(buf, at, contextAt, contextAt + contextBytes);
  buf[at++] = 1;
  const block = w.address + BLOCK_AT;
  const done = hmac(hash, secret, HASH_BYTES[hash], w.address + INFO_AT, at - INFO_AT, block);
  assert(done, 'HMAC cannot fail');
  buf.copyWithin(to, BLOCK_AT, BLOCK_AT + bytes);
}

/**
 * TLS 1.2's PRF (RFC 5246 5): P_hash(secret, label + seed), `bytes` to offset `to` of the workspace. `seeds` are put
 * together in order, 256 bytes at most with the label.
 */
export function prf(
  w: Workspace,
  hash: HashName,
  secret: number,
  secretBytes: number,
  label: string,
  seeds: readonly Uint8Array[],
  bytes: number,
  to: number,
): void {
  const { buf } = w.memory;
  const size = HASH_BYTES[hash];
  // A(i) stands before the seed, so that A(i) + seed is one piece.
  let end = SEED_AT + size;
  end += buf.latin1Write(label, end);
  for (const seed of seeds) {
    buf.set(seed, end);
    end += seed.length;
  }
  assert(end - SEED_AT - size <= SEED_BYTES_MAX, 'the seed fits');
  const mac = (from: number, length: number, out: number): void => {
    const done = hmac(hash, secret, secretBytes, w.address + from, length, w.address + out);
    assert(done, 'HMAC cannot fail');
  };
  mac(SEED_AT + size, end - SEED_AT - size, A_AT);
  for (let done = 0; done < bytes; done += size) {
    buf.copyWithin(SEED_AT, A_AT, A_AT + size);
    mac(SEED_AT, end - SEED_AT, BLOCK_AT);
    buf.copyWithin(to + done, BLOCK_AT, BLOCK_AT + Math.min(size, bytes - done));
    mac(SEED_AT, size, A_AT);
  }
}
