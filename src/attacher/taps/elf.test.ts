import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { CODE_OFFSET, smallElf as elf, GO_NAMES, NAMES } from '../../../test/fixtures/elf.ts';
import { ElfFile, type ReadAt } from './elf.ts';
import { goFunctionAddress, goVersion } from './go.ts';
import { inspectTls, linkerTap } from './library.ts';

/** Reads a file that is held in memory, and counts what was asked for. */
class Image {
  calls = 0;
  bytes = 0;
  readonly #content: Buffer;

  constructor(content: Buffer) {
    this.#content = content;
  }

  readonly read: ReadAt = (offset, length) => {
    // What readSync would refuse: the caller must never ask for it.
    if (!Number.isSafeInteger(offset) || offset < 0 || !Number.isSafeInteger(length) || length < 0)
      throw new RangeError(`read(${offset}, ${length})`);
    this.calls++;
    this.bytes += length;
    return this.#content.subarray(Math.min(offset, this.#content.length), offset + length);
  };
}

const inspect = (content: Buffer, path = '/lib/libcrypto.so.3') => {
  const parsed = ElfFile.parse(new Image(content).read);
  return parsed === null ? null : { tls: inspectTls(parsed, path), linker: linkerTap(parsed) };
};

describe('a function by its name', () => {
  it('is found, and where its code lies in the file', () => {
    const { tls } = inspect(elf('EVP_KDF_derive', 'enable OpenSSL 3.0 legacy provider\0OpenSSL 3.0.19 27 Jan 2026\0'))!;
    expect(tls).toEqual({
      kind: 'openssl',
      version: 'OpenSSL 3.0.19',
      taps: [{ program: 'headwater_kdf', offset: CODE_OFFSET + 0x20 }],
      gap: '',
    });
    expect(inspect(elf('_dl_debug_state'))!.linker).toEqual({
      program: 'headwater_linked',
      offset: CODE_OFFSET + 0x20,
    });
  });

  it('is no other whose name it ends or begins', () => {
    for (const symbol of ['xEVP_KDF_derive', 'EVP_KDF_derive_SKEY', 'EVP_KDF_deriv'])
      expect(inspect(elf(symbol))!.tls).toBeNull();
  });

  it('is not taken when it is only used, no function, or outside the code', () => {
    const symbolsAt = CODE_OFFSET + 256;
    const change = (edit: (file: Buffer) => void): unknown => {
      const file = elf('EVP_KDF_derive');
      edit(file);
      return inspect(file)!.tls;
    };
    expect(change((file) => file.writeUInt16LE(0, symbolsAt + 48 + 6))).toBeNull();
    expect(change((file) => file.writeUInt8(0x11, symbolsAt + 48 + 4))).toBeNull();
    expect(change((file) => file.writeBigUInt64LE(0x10n, symbolsAt + 48 + 8))).toBeNull();
    expect(change((file) => file.writeBigUInt64LE(0xffff_ffff_ffff_ffffn, symbolsAt + 48 + 8))).toBeNull();
    // The segment is not executable.
    expect(change((file) => file.writeUInt32LE(4, 68))).toBeNull();
  });
});

describe('what has no tap is named', () => {
  it.each([
    ['/usr/lib/libssl.so.1.1', 'CLIENT_RANDOM\0', 'openssl', 'OpenSSL 1.1'],
    ['/usr/bin/node14', 'OpenSSL 1.1.1w  11 Sep 2023\0CLIENT_RANDOM\0', 'openssl', 'OpenSSL 1.1.1w'],
    ['/usr/lib/x86_64-linux-gnu/libgnutls.so.30.34.3', '', 'gnutls', ''],
    ['/usr/lib/libssl3.so', '', 'nss', ''],
    ['/usr/lib/x86_64-linux-gnu/libwolfssl.so.35.3.0', '', 'wolfssl', ''],
    ['/usr/lib/x86_64-linux-gnu/libmbedtls.so.2.28.3', '', 'mbedtls', ''],
    ['/usr/lib/libs2n.so.1', '', 's2n', ''],
    ['/usr/lib/jvm/lib/server/libjvm.so', '', 'java', ''],
    ['/usr/lib/python3/server.abi3.so', 'rustls-0.23 CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'rustls', ''],
    [
      '/opt/_server.cpython-312-x86_64-linux-gnu.so',
      '/r/rustls-0.23.46/src/a.rs CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'rustls',
      'rustls 0.23.46',
    ],
    ['/usr/bin/service', 'rustls-0.23 CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'rustls', ''],
    ['/usr/bin/envoy', 'boringssl\0CLIENT_RANDOM\0CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'boringssl', ''],
    ['/usr/bin/static', 'CLIENT_RANDOM\0OpenSSL 3.2.1 30 Jan 2024\0TLS13-KDF', 'openssl', 'OpenSSL 3.2.1'],
  ])('%s', (path, rodata, kind, version) => {
    const { tls } = inspect(elf('main', rodata), path)!;
    expect(tls).toMatchObject({ kind, version, taps: [] });
    expect(tls!.gap).not.toBe('');
  });

  it('a deleted file keeps its name; anything else is nothing', () => {
    expect(inspect(elf('main'), '/usr/lib/libgnutls.so.30 (deleted)')!.tls).toMatchObject({ kind: 'gnutls' });
    expect(inspect(elf('main', 'CLIENT_HANDSHAKE_TRAFFIC_SECRET'), '/usr/bin/x')!.tls).toBeNull();
  });
});

/** xorshift32: the same mutations in every run. */
const numbers = (seed: number) => {
  let x = seed;
  return (below: number): number => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) % below;
  };
};

describe('hostile files', () => {
  const EXTREMES = [
    0n,
    1n,
    0xffn,
    0x7fff_ffffn,
    0xffff_ffffn,
    1n << 40n,
    (1n << 53n) - 1n,
    1n << 63n,
    (1n << 64n) - 1n,
  ];
  const whole = elf('EVP_KDF_derive', 'OpenSSL 3.0.19 27 Jan 2026\0TLS13-KDF');

  it('every length of a file: nothing is read beyond it, nothing thrown', () => {
    for (let length = 0; length < whole.length; length++) {
      const image = new Image(whole.subarray(0, length));
      const parsed = ElfFile.parse(image.read);
      if (parsed === null) continue;
      const tls = inspectTls(parsed, '/x');
      for (const { offset } of tls?.taps ?? []) expect(offset).toBeLessThan(length);
    }
  });

  it('200,000 mutations: no exception, offsets within the executable segment, bounded reading', () => {
    const pick = numbers(0x5eed);
    for (let i = 0; i < 200_000; i++) {
      const file = Buffer.from(whole);
      for (let edits = 1 + pick(4); edits > 0; edits--) {
        // Headers and tables are where lies pay.
        const at =
          pick(4) === 0 ? pick(file.length - 8) : pick(2) === 0 ? pick(120) : file.length - 8 - pick(7 * 64 - 8);
        if (pick(2) === 0) file[at] = pick(256);
        else file.writeBigUInt64LE(EXTREMES[pick(EXTREMES.length)]!, at);
      }
      const image = new Image(file);
      const parsed = ElfFile.parse(image.read);
      if (parsed === null) continue;
      const tls = inspectTls(parsed, '/usr/bin/x');
      const linker = linkerTap(parsed);
      for (const tap of [...(tls?.taps ?? []), ...(linker === null ? [] : [linker])])
        if (!(Number.isSafeInteger(tap.offset) && tap.offset >= 0)) expect(tap.offset).toBe('an offset');
      if (image.calls > 2_000) expect(image.calls).toBeLessThan(2_000);
    }
  });

  it('a table that says it is huge costs what the file has, not what it says', () => {
    const file = Buffer.from(whole);
    const sectionsAt = Number(file.readBigUInt64LE(40));
    for (let i = 0; i < NAMES.length; i++) file.writeBigUInt64LE(200n << 20n, sectionsAt + 64 * i + 32);
    const image = new Image(file);
    const parsed = ElfFile.parse(image.read)!;
    inspectTls(parsed, '/usr/bin/x');
    expect(image.calls).toBeLessThan(100);
  });

  it('a Go table of lies: no exception', () => {
    const pick = numbers(0x60);
    const table = Buffer.alloc(512);
    const program = elf('main', '', GO_NAMES);
    for (let i = 0; i < 20_000; i++) {
      for (let at = 0; at < table.length; at++) table[at] = pick(256);
      table.writeUInt32LE([0xfffffff1, 0xfffffff0][pick(2)]!, 0);
      table[7] = 8;
      for (const at of [8, 16, 24, 32, 40, 48, 56, 64])
        table.writeBigUInt64LE(pick(3) === 0 ? EXTREMES[pick(EXTREMES.length)]! : BigInt(pick(512)), at);
      table.write('\0crypto/tls.(*Config).writeKeyLog\0', 100 + pick(300), 'latin1');
      const file = Buffer.concat([program, table]);
      const entry = Number(file.readBigUInt64LE(40)) + 64 * 6;
      file.writeBigUInt64LE(BigInt(program.length), entry + 24);
      file.writeBigUInt64LE(BigInt(table.length), entry + 32);
      const parsed = ElfFile.parse(new Image(file).read)!;
      const address = goFunctionAddress(parsed, 'crypto/tls.(*Config).writeKeyLog');
      if (!Number.isInteger(address)) expect(address).toBe('an address');
      expect(goVersion(parsed)).toBe('');
    }
  });
});

it('the program that runs this test carries OpenSSL 3, or the library that it names does', () => {
  const content = readFileSync(process.execPath);
  const parsed = ElfFile.parse(new Image(content).read)!;
  const found = inspectTls(parsed, process.execPath);
  expect(found).toMatchObject({ kind: 'openssl', gap: '' });
  expect(process.versions.openssl.startsWith('3.')).toBe(true);
  // Distributions build Node against a libcrypto of its own.
  if (found!.version !== '') expect(found!.version).toBe(`OpenSSL ${process.versions.openssl}`);
});
