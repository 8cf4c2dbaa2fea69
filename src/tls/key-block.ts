/** The keys that a TLS 1.2 master secret gives one end of a connection (RFC 5246 6.3). */
import type { ServerHello } from './hello.ts';
import { HASH_BYTES } from './libcrypto.ts';
import type { Keys12 } from './protection.ts';
import { prf } from './schedule.ts';
import type { SuiteCipher } from './suites.ts';
import type { Workspace } from './workspace.ts';

/** Where the key block is made in the workspace: behind what schedule.ts uses. */
const KEY_BLOCK_AT = 2_432;

/** `master`: address of the secret. Leaves the keys in the workspace, which the caller cleans. */
export function keyBlock(
  w: Workspace,
  cipher: SuiteCipher,
  master: number,
  masterBytes: number,
  clientRandom: string,
  server: ServerHello,
  own: 'client' | 'server',
): Keys12 {
  const macBytes = cipher.mac === null ? 0 : HASH_BYTES[cipher.mac];
  const ivBytes = cipher.mode === 'chacha' ? 12 : cipher.mode === 'cbc' ? 0 : 4;
  const seeds = [Buffer.from(server.random, 'latin1'), Buffer.from(clientRandom, 'latin1')];
  const bytes = 2 * (macBytes + cipher.keyBytes + ivBytes);
  prf(w, cipher.hash, master, masterBytes, 'key expansion', seeds, bytes, KEY_BLOCK_AT);
  const second = own === 'client' ? 0 : 1;
  const keysAt = KEY_BLOCK_AT + 2 * macBytes;
  return {
    mac: KEY_BLOCK_AT + second * macBytes,
    key: keysAt + second * cipher.keyBytes,
    iv: keysAt + 2 * cipher.keyBytes + second * ivBytes,
    encryptThenMac: server.encryptThenMac,
  };
}
