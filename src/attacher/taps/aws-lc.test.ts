import { describe, expect, it } from 'vitest';
import { CODE_OFFSET, smallElf } from '../../../test/fixtures/elf.ts';
import { awsLcAddresses } from './aws-lc.ts';
import { ElfFile } from './elf.ts';
import { inspectTls } from './library.ts';

const TEXT = 0x401000;
/** As smallElf has them, the last one for our table. */
const SECTIONS = ['', '.text', '.dynsym', '.dynstr', '.shstrtab', '.rodata', '.eh_frame_hdr'];
const HKDF = '/aws-lc/crypto/fipsmodule/hkdf/hkdf.c';
const PRF = '/aws-lc/crypto/fipsmodule/tls/kdf.c';
const RODATA = `CLIENT_HANDSHAKE_TRAFFIC_SECRET/r/tokio-rustls-0.26.4/src/a.rs/r/rustls-0.23.46/src/a.rs\0${HKDF}\0${PRF}\0`;

/** Functions of 64 bytes. */
const [EXPAND, EXTRACT, P_HASH] = [TEXT + 0x40, TEXT + 0x80, TEXT + 0xc0];
const [RCX, RSI] = [0x0d, 0x35];
const [TOO_LARGE, HMAC_FAILED] = [100, 28];

interface Place {
  readonly at: number;
  readonly file: string;
  readonly register: number;
  readonly reason?: number;
}

const PLACES: readonly Place[] = [
  { at: EXPAND, file: HKDF, register: RCX, reason: TOO_LARGE },
  { at: EXPAND + 32, file: HKDF, register: RCX, reason: HMAC_FAILED },
  { at: EXTRACT, file: HKDF, register: RCX, reason: HMAC_FAILED },
  { at: P_HASH, file: PRF, register: RSI },
];

/** A program with these error messages and assertions in its code, and a table of where its functions begin. */
function program(places: readonly Place[], { rodata = RODATA, symbol = 'main', table = true } = {}): Buffer {
  const file = smallElf(symbol, rodata, SECTIONS);
  for (const { at, file: path, register, reason } of places) {
    const code = file.subarray(CODE_OFFSET + at - TEXT);
    Buffer.from([0x48, 0x8d, register]).copy(code, 8);
    code.writeInt32LE(rodata.indexOf(`${path}\0`) - (at + 15), 11);
    if (reason !== undefined) Buffer.from([0xba, reason, 0, 0, 0, 0xbf, 31, 0, 0, 0]).copy(code, 15);
  }
  if (!table) return file;
  const starts = [TEXT, EXPAND, EXTRACT, P_HASH, TEXT + 0x100];
  const header = Buffer.alloc(12 + 8 * starts.length);
  Buffer.from([1, 0x1b, 0x03, 0x3b]).copy(header);
  header.writeUInt32LE(starts.length, 8);
  const address = 0x500000;
  starts.forEach((start, i) => void header.writeInt32LE(start - address, 12 + 8 * i));
  const whole = Buffer.concat([file, header]);
  const entry = Number(whole.readBigUInt64LE(40)) + 64 * (SECTIONS.length - 1);
  whole.writeBigUInt64LE(BigInt(address), entry + 16);
  whole.writeBigUInt64LE(BigInt(file.length), entry + 24);
  whole.writeBigUInt64LE(BigInt(header.length), entry + 32);
  return whole;
}

const parse = (file: Buffer): ElfFile => ElfFile.parse((offset, length) => file.subarray(offset, offset + length))!;
const addresses = (file: Buffer) => awsLcAddresses(parse(file));

describe('where AWS-LC derives TLS secrets', () => {
  it('is found without symbols', () => {
    expect(addresses(program(PLACES))).toEqual({ hkdf: EXPAND, prf: P_HASH });
    expect(inspectTls(parse(program(PLACES)), '/usr/bin/gateway')).toEqual({
      kind: 'rustls',
      version: 'rustls 0.23.46',
      taps: [
        { program: 'headwater_hkdf', offset: CODE_OFFSET + EXPAND - TEXT },
        { program: 'headwater_prf', offset: CODE_OFFSET + P_HASH - TEXT },
      ],
      gap: '',
    });
  });

  it('is found although AWS-LC has a TLS of its own, which calls one function with all labels', () => {
    const rodata = `${RODATA}CLIENT_RANDOM\0`;
    expect(inspectTls(parse(program(PLACES, { rodata })), '/usr/bin/gateway')).toMatchObject({
      kind: 'rustls',
      taps: [{ program: 'headwater_hkdf' }, { program: 'headwater_prf' }],
    });
  });

  it('is found by its name where it has one', () => {
    const symbol = 'aws_lc_0_47_0_CRYPTO_tls1_prf';
    expect(addresses(program(PLACES, { symbol }))).toEqual({ hkdf: EXPAND, prf: TEXT + 0x20 });
    const other = 'my_aws_lc_0_47_0_CRYPTO_tls1_prf';
    expect(addresses(program(PLACES, { symbol: other }))).toEqual({ hkdf: EXPAND, prf: P_HASH });
    // Built without optimization the messages' arguments go through other registers.
    const plain = program([], { symbol: 'aws_lc_0_47_0_HKDF_expand' });
    expect(addresses(plain)).toEqual({ hkdf: TEXT + 0x20, prf: -1 });
    const arm64 = program(PLACES, { symbol: 'aws_lc_fips_0_13_7_HKDF_expand' });
    arm64.writeUInt16LE(183, 18);
    expect(addresses(arm64)).toEqual({ hkdf: TEXT + 0x20, prf: -1 });
  });

  it('is not guessed', () => {
    const symbol = 'aws_lc_0_47_0_HKDF_expand';
    const twice = [...PLACES, { at: EXTRACT + 32, file: HKDF, register: RCX, reason: TOO_LARGE }];
    expect(addresses(program(twice, { symbol }))).toEqual({ hkdf: -1, prf: P_HASH });
    expect(addresses(program(PLACES.slice(1)))).toEqual({ hkdf: -1, prf: P_HASH });
    expect(addresses(program(PLACES, { table: false }))).toEqual({ hkdf: -1, prf: -1 });
  });

  it('is not where a compiler has put HKDF_extract into a function that has a reason of the same number', () => {
    const file = program(PLACES);
    // mov $100, %edx; mov $ERR_LIB_EVP, %edi
    Buffer.from([0xba, 100, 0, 0, 0, 0xbf, 6, 0, 0, 0]).copy(file, CODE_OFFSET + EXTRACT - TEXT + 46);
    expect(addresses(file)).toEqual({ hkdf: EXPAND, prf: P_HASH });
  });

  it('what is missing is said, and what is not AWS-LC is none', () => {
    const only13 = inspectTls(parse(program(PLACES.slice(0, 3))), '/usr/bin/gateway')!;
    expect(only13.taps.map((tap) => tap.program)).toEqual(['headwater_hkdf']);
    expect(only13.gap).toBe('where its AWS-LC derives TLS 1.2 (CRYPTO_tls1_prf) cannot be found');
    const ring = RODATA.replace(HKDF, '/r/ring-0.17.14/src/hkdf.rs');
    expect(addresses(program([], { rodata: ring }))).toBeNull();
    const untapped = inspectTls(parse(program([], { rodata: ring })), '/usr/bin/gateway')!;
    expect(untapped).toMatchObject({ kind: 'rustls', version: 'rustls 0.23.46', taps: [] });
    expect(untapped.gap).toContain('not AWS-LC');
  });

  it('no length of a file and no byte of it throws, and what is found lies in the code', () => {
    const whole = program(PLACES);
    const check = (file: Buffer): void => {
      const elf = ElfFile.parse((offset, bytes) => file.subarray(Math.min(offset, file.length), offset + bytes));
      const found = elf === null ? null : awsLcAddresses(elf);
      if (elf === null || found === null) return;
      for (const address of [found.hkdf, found.prf]) if (address !== -1) expect(elf.codeOffset(address)).not.toBe(-1);
    };
    for (let length = 64; length < whole.length; length++) check(whole.subarray(0, length));
    for (let at = 0; at < whole.length; at++) {
      for (const value of [0, 0x7f, 0xff]) {
        const file = Buffer.from(whole);
        file[at] = value;
        check(file);
      }
    }
  });
});
