import { describe, expect, it } from 'vitest';
import { CODE_OFFSET, smallElf } from '../../../test/fixtures/elf.ts';
import { ElfFile } from './elf.ts';
import { kdfAddresses } from './kdf-table.ts';
import { inspectTls } from './library.ts';

const TEXT = 0x401000;
const [TLS13, TLS12, OTHER] = [TEXT + 0x40, TEXT + 0x80, TEXT + 0xc0];
const DATA = 0x601000;
const DATA_BYTES = 1_024;
const RELOCATIONS_MAX = 128;
const [R_X86_64_RELATIVE, R_AARCH64_RELATIVE] = [8, 1_027];
const TEXTS = ['CLIENT_RANDOM', 'OpenSSL 3.5.7 9 Jun 2026', 'provider=default', 'TLS13-KDF', 'TLS1-PRF'];
const RODATA = `\0${TEXTS.join('\0')}\0`;
/** smallElf has its constants there. */
const constant = (text: string): number => RODATA.indexOf(`${text}\0`);

/** Numbers of a KDF's functions as OpenSSL orders them, and of a key exchange's. */
const KDF = [1, 2, 3, 4, 5, 8, 11, 7, 10];
const KEY_EXCHANGE = [1, 2, 3, 5, 6, 7, 8];

interface Algorithm {
  readonly name: string;
  readonly derive: number;
  readonly numbers?: readonly number[];
  readonly property?: string;
}

const OFFERED: readonly Algorithm[] = [
  { name: 'TLS1-PRF', derive: OTHER, numbers: KEY_EXCHANGE },
  { name: 'TLS13-KDF', derive: TLS13 },
  { name: 'TLS1-PRF', derive: TLS12 },
];

/** A program with an OpenSSL provider's tables in its data, whose pointers are relocations or in place. */
function program(offered: readonly Algorithm[], { relocated = true, arm64 = false } = {}): Buffer {
  const names = ['', '.text', '.rela.dyn', '.data.rel.ro', '.shstrtab', '.rodata', '.spare'];
  const small = smallElf('main', RODATA, names);
  const data = Buffer.alloc(DATA_BYTES);
  const relocations = Buffer.alloc(24 * RELOCATIONS_MAX);
  let next = 0;
  const pointer = (at: number, to: number): void => {
    if (!relocated) return void data.writeBigUInt64LE(BigInt(to), at);
    relocations.writeBigUInt64LE(BigInt(DATA + at), next);
    relocations.writeBigUInt64LE(BigInt(arm64 ? R_AARCH64_RELATIVE : R_X86_64_RELATIVE), next + 8);
    relocations.writeBigUInt64LE(BigInt(to), next + 16);
    next += 24;
  };
  offered.forEach(({ name, derive, numbers = KDF, property = 'provider=default' }, i) => {
    const functions = 128 + 256 * i;
    pointer(32 * i, constant(name));
    pointer(32 * i + 8, constant(property));
    pointer(32 * i + 16, DATA + functions);
    numbers.forEach((number, j) => {
      data.writeInt32LE(number, functions + 16 * j);
      pointer(functions + 16 * j + 8, number === 5 ? derive : OTHER + number);
    });
  });
  const file = Buffer.concat([small, relocations, data]);
  if (arm64) file.writeUInt16LE(183, 18);
  const section = (i: number, address: number, offset: number, size: number): void => {
    const entry = Number(file.readBigUInt64LE(40)) + 64 * i;
    [address, offset, size].forEach((value, j) => void file.writeBigUInt64LE(BigInt(value), entry + 16 + 8 * j));
    file.writeUInt32LE(1, entry + 4);
  };
  section(2, 0, small.length, next);
  section(3, DATA, small.length + relocations.length, DATA_BYTES);
  // The segments of the data, and of the constants at address 0, behind the one of the code.
  const rodata = Number(file.readBigUInt64LE(Number(file.readBigUInt64LE(40)) + 64 * 5 + 24));
  file.writeUInt16LE(3, 56);
  [
    [DATA, small.length + relocations.length, DATA_BYTES],
    [0, rodata, RODATA.length],
  ].forEach((range, i) => {
    const [address, offset, size] = range.map(BigInt) as [bigint, bigint, bigint];
    const entry = 64 + 56 * (i + 1);
    file.writeUInt32LE(1, entry);
    file.writeBigUInt64LE(offset, entry + 8);
    file.writeBigUInt64LE(address, entry + 16);
    file.writeBigUInt64LE(size, entry + 32);
  });
  return file;
}

const parse = (file: Buffer): ElfFile =>
  ElfFile.parse((offset, length) => file.subarray(Math.min(offset, file.length), offset + length))!;
const addresses = (file: Buffer) => kdfAddresses(parse(file));

describe('where OpenSSL 3 derives TLS secrets', () => {
  it.each([
    ['relocations', { relocated: true }],
    ['relocations of arm64', { relocated: true, arm64: true }],
    ['pointers in place', { relocated: false }],
  ])('is found without symbols, by %s', (_, how) => {
    expect(addresses(program(OFFERED, how))).toEqual({ tls13: TLS13, tls12: TLS12 });
    const tap = (address: number) => ({ program: 'headwater_kdf', offset: CODE_OFFSET + address - TEXT });
    expect(inspectTls(parse(program(OFFERED, how)), '/usr/lib/libgateway.so')).toEqual({
      kind: 'openssl',
      version: 'OpenSSL 3.5.7',
      taps: [tap(TLS13), tap(TLS12)],
      gap: '',
    });
  });

  it('is not guessed', () => {
    const [exchange, tls13, tls12] = OFFERED as [Algorithm, Algorithm, Algorithm];
    expect(addresses(program([exchange, tls13]))).toEqual({ tls13: TLS13, tls12: -1 });
    expect(addresses(program([{ ...tls13, property: 'CLIENT_RANDOM' }, tls12]))).toEqual({ tls13: -1, tls12: TLS12 });
    expect(addresses(program([{ ...tls13, derive: DATA }, tls12]))).toEqual({ tls13: -1, tls12: TLS12 });
    // Two that are not the same are none.
    expect(addresses(program([tls13, { ...tls13, derive: OTHER }]))).toEqual({ tls13: -1, tls12: -1 });
    expect(addresses(program([tls13, tls13]))).toEqual({ tls13: TLS13, tls12: -1 });
  });

  it('what is missing is said; a libssl, which names the derivation, is none', () => {
    const partly = inspectTls(parse(program(OFFERED.slice(0, 2))), '/usr/bin/gateway')!;
    expect(partly.taps).toHaveLength(1);
    expect(partly.gap).toBe('linked in without symbols, and where it derives TLS 1.2 cannot be found');
    const nothing = inspectTls(parse(program([])), '/usr/bin/gateway')!;
    expect(nothing).toMatchObject({ kind: 'openssl', version: 'OpenSSL 3.5.7', taps: [] });
    const libssl = program([]);
    libssl.write('OpenSSL X', libssl.indexOf('OpenSSL 3'));
    expect(inspectTls(parse(libssl), '/opt/wheel.libs/libssl-8b66dd34.so.3')).toBeNull();
  });

  it('no length of a file and no byte of it throws, and what is found lies in the code', () => {
    const whole = program(OFFERED);
    const check = (file: Buffer): void => {
      const elf = ElfFile.parse((offset, bytes) => file.subarray(Math.min(offset, file.length), offset + bytes));
      if (elf === null) return;
      const { tls13, tls12 } = kdfAddresses(elf);
      for (const address of [tls13, tls12]) if (address !== -1) expect(elf.codeOffset(address)).not.toBe(-1);
    };
    for (let length = 64; length < whole.length; length += 7) check(whole.subarray(0, length));
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0x7f, 0xff]) {
        const file = Buffer.from(whole);
        file[at] = value;
        check(file);
      }
    }
  });
});
