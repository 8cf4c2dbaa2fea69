/**
 * Credentials as they are shown, found again without keeping them: by a keyed hash of 64 bits, as many as a fingerprint has. A
 * client that forbids its peer to index its credential (RFC 7541 7.1.3) sends the same bytes in every request.
 */
import { randomBytes } from 'node:crypto';
import { HASH_KEY_BYTES, KeyedHash } from '../base/keyed-hash.ts';
import { latin1Bytes, type Memory } from '../base/memory.ts';
import type { HeaderName } from '../model/fields.ts';
import type { RedactionPolicy } from './policy.ts';

/** A direct-mapped table. */
const PLACES = 256;
/** Longer ones are redacted anew each time. */
const SHOWN_BYTES_MAX = 1_024;
/** Printable ASCII without what JSON escapes. */
const PLAIN = /^[ !#-[\]-~]*$/;

export class RememberedCredentials {
  readonly #hash = new KeyedHash(randomBytes(HASH_KEY_BYTES));
  readonly #lows = new Int32Array(PLACES);
  readonly #highs = new Int32Array(PLACES);
  /** How its value is read: what is a cookie to one name is a token to another. */
  readonly #verdicts = new Uint8Array(PLACES);
  /** null: seen once. */
  readonly #shown: (Uint8Array | null)[] = new Array<Uint8Array | null>(PLACES).fill(null);

  /**
   * What `policy` shows of the value at `memory[at]`, as bytes that may stand in a JSON string; null: ask it. `verdict` (never
   * 0): how it reads values of this name.
   */
  find(
    policy: Pick<RedactionPolicy, 'value'>,
    verdict: number,
    name: HeaderName,
    memory: Memory,
    at: number,
    length: number,
  ): Uint8Array | null {
    const hash = this.#hash;
    hash.bytes(memory.view, at, length);
    const { low, high } = hash;
    const place = low & (PLACES - 1);
    if (this.#lows[place] !== low || this.#highs[place] !== high || this.#verdicts[place] !== verdict) {
      this.#lows[place] = low;
      this.#highs[place] = high;
      this.#verdicts[place] = verdict;
      this.#shown[place] = null;
      return null;
    }
    const known = this.#shown[place]!;
    if (known !== null) return known;
    const text = policy.value(name, memory.buf.latin1Slice(at, at + length));
    if (text.length > SHOWN_BYTES_MAX || !PLAIN.test(text)) return null;
    const shown = latin1Bytes(text);
    this.#shown[place] = shown;
    return shown;
  }
}
