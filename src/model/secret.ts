/**
 * A TLS secret as a tap saw it, before anything is derived or bound to a connection. What the bytes are depends on
 * the tap:
 *
 * - `openssl13`: the input of HKDF-Expand-Label (RFC 8446 7.1) for `label` ("c hs traffic", ...); `context` is the transcript hash.
 * - `openssl12`: the master secret; `context` is the server random, then the client random (RFC 5246 6.3).
 * - `keylog`: a key log line's parts (NSS key log format): `label`, the secret itself; `context` is the client random, or
 *   empty where the library does not hand it over.
 *
 * `secret` and `context` are valid during the call that brings them only.
 */
export interface TappedSecret {
  tap: 'openssl13' | 'openssl12' | 'keylog';
  /** Nanoseconds since the anchor. */
  ts: number;
  pid: number;
  /** Inode number of the process's cgroup folder. */
  cgroupId: number;
  label: string;
  /** The hash as OpenSSL calls it ("SHA256", "SHA2-384"); "" when the tap does not say. */
  digest: string;
  secret: Uint8Array;
  context: Uint8Array;
}
