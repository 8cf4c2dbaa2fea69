/**
 * The C functions of the TLS stage: libcrypto's ciphers and HMAC, and memory that is neither dumped nor swapped. Node
 * exports its own OpenSSL (3.x) and these are the process's own symbols: loading the system's libcrypto beside them
 * would mix two versions in one process and crash. Addresses are numbers: user space ends below 2^47 on x86-64 and 2^48
 * on arm64, which a double holds exactly. Everything is synchronous.
 */
import { fileURLToPath } from 'node:url';
import type Koffi from 'koffi';
import { Memory } from '../base/memory.ts';

/** The C functions, and the addresses of libcrypto's ciphers and hashes. */
type Bound = ReturnType<typeof bind>;

let bound: Bound | null = null;

/** Bound when the first of them is called: where no TLS is read nobody pays for their loading. */
const c = (): Bound => {
  bound ??= bind(loadKoffi());
  return bound;
};

/** The module that `import` gives, at once and not as a promise: there is one of it in the process. */
function loadKoffi(): typeof Koffi {
  const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);
  return (require(fileURLToPath(import.meta.resolve('koffi'))) as { readonly default: typeof Koffi }).default;
}

const declare = (own: ReturnType<typeof Koffi.load>) => ({
  mmap: own.func('uintptr_t mmap(uintptr_t, size_t, int, int, int, long)'),
  munmap: own.func('int munmap(uintptr_t, size_t)'),
  mlock: own.func('int mlock(uintptr_t, size_t)'),
  madvise: own.func('int madvise(uintptr_t, size_t, int)'),
  contextNew: own.func('uintptr_t EVP_CIPHER_CTX_new()'),
  contextFree: own.func('void EVP_CIPHER_CTX_free(uintptr_t)'),
  init: own.func('int EVP_DecryptInit_ex(uintptr_t, uintptr_t, uintptr_t, uintptr_t, uintptr_t)'),
  update: own.func('int EVP_DecryptUpdate(uintptr_t, uintptr_t, uintptr_t, uintptr_t, int)'),
  final: own.func('int EVP_DecryptFinal_ex(uintptr_t, uintptr_t, uintptr_t)'),
  control: own.func('int EVP_CIPHER_CTX_ctrl(uintptr_t, int, int, uintptr_t)'),
  setPadding: own.func('int EVP_CIPHER_CTX_set_padding(uintptr_t, int)'),
  hmac: own.func('uintptr_t HMAC(uintptr_t, uintptr_t, int, uintptr_t, size_t, uintptr_t, uintptr_t)'),
  cleanse: own.func('void OPENSSL_cleanse(uintptr_t, size_t)'),
});

const PROT_READ_WRITE = 1 | 2;
const MAP_PRIVATE_ANONYMOUS_NORESERVE = 0x02 | 0x20 | 0x4000;
const MADV_DONTDUMP = 16;
const MADV_DONTFORK = 10;

/** A block outside the V8 heap: never moved or copied by the garbage collector, not in core files, not in children. */
export interface Region {
  readonly address: number;
  readonly memory: Memory;
}

/** Reserves `bytes` (a multiple of the page size) of addresses that cost memory only where they are used. Throws when the system refuses. */
export function reserveRegion(bytes: number): number {
  const address = Number(c().mmap(0, bytes, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS_NORESERVE, -1, 0));
  // (uintptr_t) MAP_FAILED
  if (address >= 2 ** 63) throw new Error(`cannot map ${bytes} bytes: errno ${c().koffi.errno()}`);
  c().madvise(address, bytes, MADV_DONTDUMP);
  c().madvise(address, bytes, MADV_DONTFORK);
  return address;
}

/** Memory at an address. V8 takes all of it for memory in use, and from 64 MB on marks its whole heap again and again. */
export const viewRegion = (address: number, bytes: number): Region => ({
  address,
  memory: new Memory(c().koffi.view(BigInt(address), bytes)),
});

/** Maps `bytes` (a multiple of the page size). Throws when the system refuses. */
export const mapRegion = (bytes: number): Region => viewRegion(reserveRegion(bytes), bytes);

/** Keeps [address, address + bytes) out of swap; false when the limit (RLIMIT_MEMLOCK) does not allow it. */
export const lockMemory = (address: number, bytes: number): boolean => c().mlock(address, bytes) === 0;

/** Zeroes memory in a way that no compiler takes out. */
export const cleanse = (address: number, bytes: number): void => c().cleanse(address, bytes);

/** The views of [address, address + bytes) must not be used afterwards. */
export const unmapRegion = (address: number, bytes: number): void => {
  c().munmap(address, bytes);
};

const ALGORITHMS = {
  'aes-128-gcm': 'EVP_aes_128_gcm',
  'aes-256-gcm': 'EVP_aes_256_gcm',
  'aes-128-ccm': 'EVP_aes_128_ccm',
  'aes-256-ccm': 'EVP_aes_256_ccm',
  'aes-128-ctr': 'EVP_aes_128_ctr',
  'aes-256-ctr': 'EVP_aes_256_ctr',
  'aes-128-cbc': 'EVP_aes_128_cbc',
  'aes-256-cbc': 'EVP_aes_256_cbc',
  'chacha20-poly1305': 'EVP_chacha20_poly1305',
} as const;
export type CipherName = keyof typeof ALGORITHMS;

const HASHES = { sha1: 'EVP_sha1', sha256: 'EVP_sha256', sha384: 'EVP_sha384' } as const;
export type HashName = keyof typeof HASHES;
export const HASH_BYTES: Readonly<Record<HashName, number>> = { sha1: 20, sha256: 32, sha384: 48 };

function bind(koffi: typeof Koffi) {
  const own = koffi.load(null);
  const pointers = <K extends string>(names: Readonly<Record<K, string>>): Readonly<Record<K, number>> =>
    Object.fromEntries(
      Object.entries<string>(names).map(([name, symbol]) => [name, Number(own.func(`uintptr_t ${symbol}()`)())]),
    ) as Record<K, number>;
  return { koffi, ...declare(own), ciphers: pointers(ALGORITHMS), hashes: pointers(HASHES) };
}

const AEAD_SET_IVLEN = 0x9;
const AEAD_SET_TAG = 0x11;

/** A cipher context, as its address. It holds a key schedule: `freeContext` zeroes it. */
export type Context = number;

/** A context of `cipher` with no key yet. */
export function newContext(cipher: CipherName): Context {
  const context = Number(c().contextNew());
  if (context === 0) throw new Error('libcrypto has no memory for a cipher context');
  c().init(context, c().ciphers[cipher], 0, 0, 0);
  return context;
}

export const freeContext = (context: Context): void => c().contextFree(context);

/** Sets the key, the IV, or both (0: as it was). */
export const setKeyAndIv = (context: Context, key: number, iv: number): boolean =>
  c().init(context, 0, 0, key, iv) === 1;

/** Decrypts `bytes` from `from` to `to` (0: they are additional data); `produced` is where the count of bytes is put. */
export const update = (context: Context, to: number, produced: number, from: number, bytes: number): boolean =>
  c().update(context, to, produced, from, bytes) === 1;

/** Whether the tag (AEAD) fits what went through `update`. */
export const final = (context: Context, to: number, produced: number): boolean =>
  c().final(context, to, produced) === 1;

export const setTag = (context: Context, tag: number, bytes: number): boolean =>
  c().control(context, AEAD_SET_TAG, bytes, tag) === 1;

/** To be called before a key is set, for modes whose nonce has no fixed length. */
export const setNonceLength = (context: Context, bytes: number): boolean =>
  c().control(context, AEAD_SET_IVLEN, bytes, 0) === 1;

/** CBC: whole blocks in, whole blocks out. */
export const withoutPadding = (context: Context): void => {
  c().setPadding(context, 0);
};

/** HMAC (RFC 2104) of `bytes` at `data` with the key at `key`, to `out` (HASH_BYTES of it). */
export const hmac = (
  hash: HashName,
  key: number,
  keyBytes: number,
  data: number,
  bytes: number,
  out: number,
): boolean => Number(c().hmac(c().hashes[hash], key, keyBytes, data, bytes, out, 0)) !== 0;
