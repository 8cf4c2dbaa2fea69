import { createHmac, createSecretKey, type KeyObject } from 'node:crypto';
import { assert } from '../base/assert.ts';

export const INSTALLATION_KEY_BYTES = 32;

/** Credentials remembered in each of the two generations of the cache. */
const CACHE_ENTRIES_MAX = 2_048;
/** Longer credentials are hashed anew each time: they would make the cache's bytes unbounded in practice. */
const CACHED_LENGTH_MAX = 1_024;

/**
 * Names a credential without telling it: the first 16 hex digits of HMAC-SHA-256(installation key, credential), stable
 * within an installation and useless outside it.
 *
 * A repeated credential costs a Map lookup instead of an HMAC. The cache holds the plain text, so it is bounded twice: at
 * most 2 x 2,048 credentials of at most 1,024 bytes, and none of them longer than two `forget()` calls after its last use.
 * The agent calls `forget()` once a minute.
 */
export class Fingerprinter {
  readonly #key: KeyObject;
  #young = new Map<string, string>();
  #old = new Map<string, string>();

  /** `key`: the installation key's 32 bytes, from loadInstallationKey or from the attacher. The bytes are copied. */
  constructor(key: Uint8Array) {
    assert(key.length === INSTALLATION_KEY_BYTES, 'an installation key has 32 bytes');
    this.#key = createSecretKey(key);
  }

  /** 16 hex digits; `credential` as latin1 code points, each standing for the byte that was on the wire. */
  fingerprint(credential: string): string {
    let print = this.#young.get(credential);
    if (print !== undefined) return print;
    print = this.#old.get(credential);
    if (print === undefined)
      print = createHmac('sha256', this.#key).update(credential, 'latin1').digest('hex').slice(0, 16);
    if (credential.length <= CACHED_LENGTH_MAX) {
      if (this.#young.size >= CACHE_ENTRIES_MAX) this.forget();
      // A substring would keep the whole header value alive: the cache gets a copy of its own.
      this.#young.set(Buffer.from(credential, 'latin1').latin1Slice(), print);
    }
    return print;
  }

  /** Drops what was not used since the last call; two calls in a row empty the cache. */
  forget(): void {
    this.#old = this.#young;
    this.#young = new Map();
  }
}
