/**
 * Finds in a program that carries AWS-LC, as rustls does, the two functions that TLS secrets are derived with, whether or not it
 * has symbols. Their error messages and assertions name their source files, which no other function does: the one function of
 * hkdf.c that reports an output too large is HKDF_expand, or what the compiler has made of its larger part; the one of tls/kdf.c that
 * asserts is tls1_P_hash, or CRYPTO_tls1_prf where that was put into it.
 *
 * A function that is none of these gives no label that names a secret, and nothing is taken.
 */
import type { ElfFile, Section } from './elf.ts';
import { type FunctionRange, FunctionStarts } from './unwind.ts';

/** Symbols begin with the version, so that several fit into one program: aws_lc_0_47_0_, aws_lc_fips_0_13_7_. */
const SYMBOL = /^aws_lc_(?:fips_)?\d+_\d+_\d+_(?:HKDF_expand|CRYPTO_tls1_prf)$/;

const HKDF_FILE = '/hkdf/hkdf.c\0';
const PRF_FILE = '/tls/kdf.c\0';
const PATH_BYTES_MAX = 1_024;
/** Places that take the file's name which are looked at: some ten in the code that is looked for. */
const PLACES_MAX = 256;
const TEXT_BYTES_MAX = 256 << 20;
const CHUNK_BYTES = 1 << 20;

const LEA_BYTES = 7;
/** Bytes before and behind it that belong to the same call: fewer than reach into the next one's arguments. */
const CALL_BEFORE = 16;
const CALL_BEHIND = 20;
/** lea disp32(%rip), %rcx: the fourth argument, of ERR_put_error(library, 0, reason, file, line) */
const LEA_RCX = Buffer.from([0x48, 0x8d, 0x0d]);
/** lea disp32(%rip), %rsi: the second one, of __assert_fail(expression, file, line, function) */
const LEA_RSI = Buffer.from([0x48, 0x8d, 0x35]);
/** mov $ERR_LIB_HKDF, %edi and mov $HKDF_R_OUTPUT_TOO_LARGE, %edx (openssl/err.h, openssl/hkdf.h) */
const LIBRARY_HKDF = Buffer.from([0xbf, 31, 0, 0, 0]);
const OUTPUT_TOO_LARGE = Buffer.from([0xba, 100, 0, 0, 0]);

export interface AwsLcAddresses {
  /** Of TLS 1.3's derivation; -1: not there, or not to be told for sure. */
  readonly hkdf: number;
  /** Of TLS 1.2's. */
  readonly prf: number;
}

/** null: the program has no AWS-LC that HKDF is used of. */
export function awsLcAddresses(elf: ElfFile): AwsLcAddresses | null {
  const constants = elf.section('.rodata');
  if (constants === null) return null;
  const hkdfFile = pathAddresses(elf, constants, HKDF_FILE);
  if (hkdfFile === null) return null;
  const prf = symbolAddress(elf, 'CRYPTO_tls1_prf');
  if (elf.machine !== 'x86-64') return { hkdf: symbolAddress(elf, 'HKDF_expand'), prf };
  const starts = FunctionStarts.read(elf);
  if (starts === null) return { hkdf: -1, prf };
  const expand = functionsNaming(elf, starts, hkdfFile, LEA_RCX, [LIBRARY_HKDF, OUTPUT_TOO_LARGE]);
  const prfFile = prf > 0 ? null : pathAddresses(elf, constants, PRF_FILE);
  return {
    // By its symbol only where no code fits, as in builds without optimization: others may have put a part of it into its callers.
    hkdf: expand.length === 0 ? symbolAddress(elf, 'HKDF_expand') : only(expand),
    prf: prfFile === null ? prf : only(functionsNaming(elf, starts, prfFile, LEA_RSI, [])),
  };
}

const only = (found: readonly number[]): number => (found.length === 1 ? found[0]! : -1);

/** From where a path that ends like this begins to where its known end does; linkers share ends. */
function pathAddresses(elf: ElfFile, constants: Section, end: string): FunctionRange | null {
  const at = elf.find(constants, end);
  if (at < 0) return null;
  const from = Math.max(0, at - PATH_BYTES_MAX);
  const before = elf.read(constants.offset + from, at - from);
  return { from: constants.address + from + before.lastIndexOf(0) + 1, to: constants.address + at + 1 };
}

function symbolAddress(elf: ElfFile, name: string): number {
  const symbol = elf.symbolEnding(`_${name}`, SYMBOL);
  return symbol === null ? -1 : elf.functionAddress(symbol);
}

/** Where the functions begin that have `instruction` on an address of `file`, for a call that all of `also` prepare. */
function functionsNaming(
  elf: ElfFile,
  starts: FunctionStarts,
  file: FunctionRange,
  instruction: Buffer,
  also: readonly Buffer[],
): number[] {
  const found = new Set<number>();
  for (const place of placesOf(elf, file, instruction)) {
    const range = starts.around(place);
    const from = elf.codeOffset(place - CALL_BEFORE);
    if (range === null || from < 0 || elf.codeOffset(range.from) < 0) continue;
    const call = elf.read(from, CALL_BEFORE + LEA_BYTES + CALL_BEHIND);
    if (also.every((bytes) => call.includes(bytes))) found.add(range.from);
  }
  return [...found];
}

/** Addresses of the instructions that take an address of `file`. */
function placesOf(elf: ElfFile, file: FunctionRange, instruction: Buffer): number[] {
  const places: number[] = [];
  const text = elf.section('.text');
  if (text === null || text.size > TEXT_BYTES_MAX) return places;
  // Chunks overlap, so that an instruction on a border is found.
  for (let from = 0; from < text.size; from += CHUNK_BYTES) {
    const chunk = elf.read(text.offset + from, Math.min(CHUNK_BYTES + LEA_BYTES - 1, text.size - from));
    for (let at = chunk.indexOf(instruction); at >= 0 && at + LEA_BYTES <= chunk.length; ) {
      const place = text.address + from + at;
      const target = place + LEA_BYTES + chunk.readInt32LE(at + instruction.length);
      if (target >= file.from && target < file.to && places.push(place) >= PLACES_MAX) return places;
      at = chunk.indexOf(instruction, at + 1);
    }
    if (chunk.length < CHUNK_BYTES) break;
  }
  return places;
}
