import type { Memory } from '../base/memory.ts';

/**
 * A TLS secret as a tap saw it, before anything is derived or bound to a connection. What the bytes are depends on
 * the tap:
 *
 * - `expand_label`: the input of HKDF-Expand-Label (RFC 8446 7.1) for `label` ("c hs traffic", ...), as long as the hash; the context
 *   is the transcript hash.
 * - `key_expansion`: the master secret; the context is the server random, then the client random (RFC 5246 6.3).
 * - `keylog`: a key log line's parts (NSS key log format): `label`, the secret itself; the context is the client random, or
 *   empty where the library does not hand it over.
 *
 * Secret and context lie in `memory`, valid during the call that brings them only.
 */
export interface TappedSecret {
  readonly tap: 'expand_label' | 'key_expansion' | 'keylog';
  /** Nanoseconds since the anchor. */
  readonly ts: number;
  readonly pid: number;
  readonly label: string;
  readonly memory: Memory;
  readonly secretAt: number;
  readonly secretBytes: number;
  readonly contextAt: number;
  readonly contextBytes: number;
}
