/** What a program or library has to do with TLS: whose implementation it carries, and where its secrets can be taken. */
import type { ElfFile, Section } from './elf.ts';
import { goFunctionAddress, goVersion, isGo } from './go.ts';
import { PROLOGUE_BYTES, probeOffset } from './prologue.ts';

/** The programs of bpf/secrets.bpf.c. */
export type TapProgram = 'headwater_kdf' | 'headwater_go' | 'headwater_linked';

export interface TapPoint {
  readonly program: TapProgram;
  /** In the file. */
  readonly offset: number;
}

export type TlsKind = 'openssl' | 'go' | 'boringssl' | 'gnutls' | 'nss' | 'rustls' | 'java';

export interface TlsFacts {
  readonly kind: TlsKind;
  /** As the library calls itself; "" when it does not say. */
  readonly version: string;
  /** Empty: no tap, and `gap` says why. */
  readonly taps: readonly TapPoint[];
  readonly gap: string;
}

const GO_KEYLOG = 'crypto/tls.(*Config).writeKeyLog';
const VERSION_BYTES = 64;

/** null: it carries no TLS implementation that is known here. `path` is where a process maps it from. */
export const inspectTls = (elf: ElfFile, path: string): TlsFacts | null => {
  if (isGo(elf)) return inspectGo(elf);
  const kdf = tapAt(elf, 'headwater_kdf', elf.functionAddress('EVP_KDF_derive'));
  if (kdf !== null)
    return { kind: 'openssl', version: text(elf, 'OpenSSL 3.', /^OpenSSL 3[\w.-]*/), taps: [kdf], gap: '' };
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/ \(deleted\)$/, '');
  return inspectUntapped(elf, name);
};

const inspectGo = (elf: ElfFile): TlsFacts | null => {
  const tap = tapAt(elf, 'headwater_go', goFunctionAddress(elf, GO_KEYLOG));
  // A Go program without it does not speak TLS by itself.
  return tap === null ? null : { kind: 'go', version: goVersion(elf), taps: [tap], gap: '' };
};

const untapped = (kind: TlsKind, version: string, gap: string): TlsFacts => ({ kind, version, taps: [], gap });

const inspectUntapped = (elf: ElfFile, name: string): TlsFacts | null => {
  if (/^libcrypto\.so\.1/.test(name))
    return untapped(
      'openssl',
      text(elf, 'OpenSSL 1.', /^OpenSSL 1[\w.-]*/),
      'OpenSSL before 3.0 has no function whose arguments are the secrets',
    );
  if (name.startsWith('libgnutls.so'))
    return untapped('gnutls', '', 'GnuTLS exports no function that is given the secrets');
  if (/^libssl3\.so/.test(name)) return untapped('nss', '', 'NSS exports no function that is given the secrets');
  if (name === 'libjvm.so') return untapped('java', '', 'Java derives its secrets in compiled Java code');
  // Searching all constants takes time that a handshake does not give: libraries say by their names what they are.
  if (/\.so(\.|$)/.test(name)) return null;
  const constants = elf.section('.rodata');
  if (constants === null) return null;
  if (elf.find(constants, 'rustls-') >= 0 && elf.find(constants, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET') >= 0)
    return untapped(
      'rustls',
      '',
      'rustls asks whether a key log is wanted before it calls anything that could be tapped',
    );
  // Only the implementation itself holds the labels of the key log and BoringSSL's own source names.
  if (elf.find(constants, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET') >= 0 && elf.find(constants, 'boringssl') >= 0)
    return untapped('boringssl', '', "BoringSSL's ssl_log_secret does not say whose the secret is that it is given");
  if (elf.find(constants, 'OpenSSL 3.') >= 0 && elf.find(constants, 'TLS13-KDF') >= 0)
    return untapped(
      'openssl',
      text(elf, 'OpenSSL 3.', /^OpenSSL 3[\w.-]*/),
      'linked in without symbols: EVP_KDF_derive cannot be found',
    );
  return null;
};

/** The dynamic linker's call after every change of what is mapped, where this is the dynamic linker. */
export const linkerTap = (elf: ElfFile): TapPoint | null =>
  tapAt(elf, 'headwater_linked', elf.functionAddress('_dl_debug_state'));

const tapAt = (elf: ElfFile, program: TapProgram, address: number): TapPoint | null => {
  if (address <= 0) return null;
  const offset = elf.codeOffset(address);
  if (offset < 0) return null;
  const code = elf.read(offset, PROLOGUE_BYTES);
  return code.length < 8 ? null : { program, offset: offset + probeOffset(elf.machine, code) };
};

const text = (elf: ElfFile, start: string, pattern: RegExp): string => {
  const constants: Section | null = elf.section('.rodata');
  const at = constants === null ? -1 : elf.find(constants, start);
  if (constants === null || at < 0) return '';
  return pattern.exec(elf.read(constants.offset + at, VERSION_BYTES).latin1Slice())?.[0] ?? '';
};
