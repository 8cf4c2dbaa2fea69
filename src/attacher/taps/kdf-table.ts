/**
 * Finds where OpenSSL 3 and newer derive TLS secrets in a program that has it linked in without symbols. EVP_KDF_derive has nothing to
 * be told by, but all that it does is to call the provider's function, with its own arguments, and a provider offers its functions in tables
 * whose form is a public interface that holds across versions and machines (provider-base(7), openssl/core.h, openssl/core_dispatch.h):
 *
 *     OSSL_ALGORITHM { "TLS13-KDF", "provider=default", functions, description }
 *     OSSL_DISPATCH  { OSSL_FUNC_KDF_DERIVE, int (*)(void *context, unsigned char *key, size_t length, const OSSL_PARAM params[]) }
 *
 * A function that is none of these is given no parameters that name a secret, and nothing is taken.
 */
import type { ElfFile, Section } from './elf.ts';
import { Pointers } from './pointers.ts';

/** OSSL_KDF_NAME_TLS1_3_KDF: TLS 1.3's traffic secrets. */
const TLS13 = 'TLS13-KDF';
/** OSSL_KDF_NAME_TLS1_PRF: TLS 1.2's master secret. */
const TLS12 = 'TLS1-PRF';
const PROPERTY = 'provider=';
/** Places of the name, alone or as the end of a longer one, that are looked at. */
const MENTIONS_MAX = 4;

const POINTER_BYTES = 8;
const PROPERTY_AT = 8;
const FUNCTIONS_AT = 16;
const ENTRY_BYTES = 16;
const FUNCTIONS_MAX = 32;
/** OSSL_FUNC_KDF_*. The table of a key exchange, which has these names too, has other numbers. */
const NEWCTX = 1;
const FREECTX = 3;
const RESET = 4;
const DERIVE = 5;
const SET_CTX_PARAMS = 11;

export interface KdfAddresses {
  /** Of TLS 1.3's derivation; -1: not there, or more than one. */
  readonly tls13: number;
  /** Of TLS 1.2's. */
  readonly tls12: number;
}

export function kdfAddresses(elf: ElfFile): KdfAddresses {
  const constants = elf.section('.rodata');
  if (constants === null) return { tls13: -1, tls12: -1 };
  const pointers = new Pointers(elf);
  return { tls13: derivation(elf, constants, pointers, TLS13), tls12: derivation(elf, constants, pointers, TLS12) };
}

function derivation(elf: ElfFile, constants: Section, pointers: Pointers, name: string): number {
  const found = new Set<number>();
  let at = elf.find(constants, `${name}\0`);
  for (let i = 0; i < MENTIONS_MAX && at >= 0; i++) {
    for (const algorithm of pointers.to(constants.address + at)) {
      const property = elf.offset(pointers.at(algorithm + PROPERTY_AT));
      if (property < 0 || elf.read(property, PROPERTY.length).latin1Slice() !== PROPERTY) continue;
      const derive = kdfDerive(elf, pointers, pointers.at(algorithm + FUNCTIONS_AT));
      if (derive > 0) found.add(derive);
    }
    at = elf.find(constants, `${name}\0`, at + 1);
  }
  return found.size === 1 ? [...found][0]! : -1;
}

/** OSSL_FUNC_KDF_DERIVE of a table of functions; -1: this is no KDF's. */
function kdfDerive(elf: ElfFile, pointers: Pointers, table: number): number {
  const offset = elf.offset(table);
  if (offset < 0) return -1;
  const entries = elf.read(offset, FUNCTIONS_MAX * ENTRY_BYTES);
  const functions = new Map<number, number>();
  for (let at = 0; at + ENTRY_BYTES <= entries.length; at += ENTRY_BYTES) {
    const id = entries.readInt32LE(at);
    if (id === 0) break;
    functions.set(id, table + at + POINTER_BYTES);
  }
  for (const id of [NEWCTX, FREECTX, RESET, DERIVE, SET_CTX_PARAMS])
    if (elf.codeOffset(pointers.at(functions.get(id) ?? 0)) < 0) return -1;
  return pointers.at(functions.get(DERIVE)!);
}
