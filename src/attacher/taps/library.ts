/** What a program or library has to do with TLS: whose implementation it carries, and where its secrets can be taken. */
import { awsLcAddresses } from './aws-lc.ts';
import type { ElfFile, Section } from './elf.ts';
import { goFunctionAddress, goVersion, isGo } from './go.ts';
import { kdfAddresses } from './kdf-table.ts';
import { logSecretAddress } from './log-secret.ts';
import { PROLOGUE_BYTES, probeOffset } from './prologue.ts';

/** The programs of bpf/secrets.bpf.c. */
export type TapProgram =
  | 'headwater_kdf'
  | 'headwater_hkdf'
  | 'headwater_prf'
  | 'headwater_go'
  | 'headwater_boringssl'
  | 'headwater_openssl111'
  | 'headwater_gnutls'
  | 'headwater_linked';

export interface TapPoint {
  readonly program: TapProgram;
  /** In the file. */
  readonly offset: number;
}

export type TlsKind =
  | 'openssl'
  | 'go'
  | 'boringssl'
  | 'gnutls'
  | 'nss'
  | 'rustls'
  | 'java'
  | 'wolfssl'
  | 'mbedtls'
  | 's2n';

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
/** Places where something like a version is looked at. */
const MENTIONS_MAX = 32;
/** As its version begins, which is in libcrypto alone. */
const OPENSSL_STARTS = ['OpenSSL 3.', 'OpenSSL 4.'];
const OPENSSL = /^OpenSSL \d\.\d+\.\d+[\w.+-]*/;
const GNUTLS = /^libgnutls\.so/;
/** What bpf/secrets.bpf.c reads. */
const GNUTLS_RANDOM_AT = 0x50;
const LEA_RDI_RAX = Buffer.from([0x48, 0x8d, 0x47]);
/** Libraries that are known by name alone. */
const NO_TAP: readonly (readonly [kind: TlsKind, name: RegExp])[] = [
  ['wolfssl', /^libwolfssl\.so/],
  ['mbedtls', /^libmbedtls\.so/],
  ['s2n', /^libs2n\.so/],
];
/** OpenSSL 3's secrets are taken in its other library. */
const OPENSSL3_SSL = /^libssl\.so\.3/;
/** "libssl.so.1.1", and as Python wheels bundle it: "libssl-6b7b94d5.so.1.1". */
const OPENSSL1_SSL = /^libssl(?:-[0-9a-f]+)?\.so\.1/;
/** Extensions of Python and Node.js, which carry whole programs. */
const EXTENSION = /\.(?:abi3|cpython-[\w-]+)\.so$|\.node$/;
/** What source files and messages call the implementation; AWS-LC is a fork with the same function. */
const BORINGSSL_NAMES = ['boringssl', 'BoringSSL', 'aws-lc'];

/** null: it carries no TLS implementation that is known here. `path` is where a process maps it from. */
export const inspectTls = (elf: ElfFile, path: string): TlsFacts | null => {
  if (isGo(elf)) return inspectGo(elf);
  const kdf = tapAt(elf, 'headwater_kdf', elf.functionAddress('EVP_KDF_derive'));
  if (kdf !== null) return { kind: 'openssl', version: opensslVersion(elf), taps: [kdf], gap: '' };
  const name = path.slice(path.lastIndexOf('/') + 1).replace(/ \(deleted\)$/, '');
  if (GNUTLS.test(name)) return inspectGnutls(elf);
  const logged = inspectLogSecret(elf, name);
  // rustls names AWS-LC, which is BoringSSL's fork, and the labels of a key log.
  return logged !== null && logged.taps.length > 0 ? logged : (inspectOther(elf, name) ?? logged);
};

const inspectGnutls = (elf: ElfFile): TlsFacts => {
  const version = text(elf, 'Enabled GnuTLS ', /^Enabled (GnuTLS 3[\w.-]*)/);
  if (gnutlsRandomOffset(elf) !== GNUTLS_RANDOM_AT)
    return untapped('gnutls', version, 'its connections have the client random at a place that is not known');
  const tap = tapAt(elf, 'headwater_gnutls', logSecretAddress(elf));
  return tap === null
    ? untapped('gnutls', version, 'the function that it gives secrets to cannot be found')
    : { kind: 'gnutls', version, taps: [tap], gap: '' };
};

/** Where in a connection gnutls_session_get_random finds the client random: lea disp8(%rdi), %rax; -1: it cannot be told. */
const gnutlsRandomOffset = (elf: ElfFile): number => {
  const address = elf.functionAddress('gnutls_session_get_random');
  const offset = address < 0 ? -1 : elf.codeOffset(address);
  if (elf.machine !== 'x86-64' || offset < 0) return -1;
  const code = elf.read(offset, PROLOGUE_BYTES);
  const at = code.indexOf(LEA_RDI_RAX);
  return at < 0 || at + 3 >= code.length ? -1 : code.readInt8(at + 3);
};

const inspectGo = (elf: ElfFile): TlsFacts | null => {
  const tap = tapAt(elf, 'headwater_go', goFunctionAddress(elf, GO_KEYLOG));
  // A Go program without it does not speak TLS by itself.
  return tap === null ? null : { kind: 'go', version: goVersion(elf), taps: [tap], gap: '' };
};

/** Implementations that call one function for every secret, with the connection and a label (see log-secret.ts). */
const inspectLogSecret = (elf: ElfFile, name: string): TlsFacts | null => {
  const constants = elf.section('.rodata');
  if (constants === null || OPENSSL3_SSL.test(name) || elf.find(constants, 'CLIENT_RANDOM\0') < 0) return null;
  if (OPENSSL1_SSL.test(name) || elf.find(constants, 'OpenSSL 1.1.1') >= 0) {
    const version = text(elf, 'OpenSSL 1.', /^OpenSSL 1[\w.-]*/) || `OpenSSL ${/1\.[\d.]+$/.exec(name)?.[0] ?? '1'}`;
    const tap = tapAt(elf, 'headwater_openssl111', logSecretAddress(elf));
    return tap === null
      ? untapped('openssl', version, 'its ssl_log_secret, which 1.1.1 has, cannot be found')
      : { kind: 'openssl', version, taps: [tap], gap: '' };
  }
  const linkedIn = inspectLinkedIn(elf, constants);
  if (linkedIn !== null) return linkedIn;
  const isBoring = BORINGSSL_NAMES.some((own) => elf.find(constants, own) >= 0);
  if (!isBoring || elf.find(constants, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET') < 0) return null;
  const tap = tapAt(elf, 'headwater_boringssl', logSecretAddress(elf));
  return tap === null
    ? untapped('boringssl', '', 'its ssl_log_secret cannot be found')
    : { kind: 'boringssl', version: '', taps: [tap], gap: '' };
};

const untapped = (kind: TlsKind, version: string, gap: string): TlsFacts => ({ kind, version, taps: [], gap });

const inspectOther = (elf: ElfFile, name: string): TlsFacts | null => {
  if (/^libssl3\.so/.test(name)) return untapped('nss', '', 'NSS exports no function that is given the secrets');
  for (const [kind, pattern] of NO_TAP)
    if (pattern.test(name)) return untapped(kind, '', 'Headwater has no tap for this library');
  if (name === 'libjvm.so') return untapped('java', '', 'Java derives its secrets in compiled Java code');
  // Searching all constants takes time that a handshake does not give: libraries say by their names what they are.
  if (/\.so(\.|$)/.test(name) && !EXTENSION.test(name)) return null;
  const constants = elf.section('.rodata');
  if (constants === null) return null;
  if (elf.find(constants, 'rustls-') >= 0 && elf.find(constants, 'CLIENT_HANDSHAKE_TRAFFIC_SECRET') >= 0)
    return inspectRustls(elf);
  return null;
};

/** OpenSSL 3 and newer without symbols: EVP_KDF_derive leads to these functions, with the same arguments. */
const inspectLinkedIn = (elf: ElfFile, constants: Section): TlsFacts | null => {
  if (elf.find(constants, 'TLS13-KDF') < 0) return null;
  const addresses = kdfAddresses(elf);
  const taps = [tapAt(elf, 'headwater_kdf', addresses.tls13), tapAt(elf, 'headwater_kdf', addresses.tls12)];
  const version = opensslVersion(elf);
  const gap = missing(taps, ['TLS 1.3', 'TLS 1.2']);
  // OpenSSL's libssl names the derivation, which is in the other library.
  if (version === '' && taps.every((tap) => tap === null)) return null;
  return {
    kind: 'openssl',
    version,
    taps: taps.filter((tap) => tap !== null),
    gap: gap === '' ? '' : `linked in without symbols, and where it derives ${gap} cannot be found`,
  };
};

const opensslVersion = (elf: ElfFile): string => {
  for (const start of OPENSSL_STARTS) {
    const version = text(elf, start, OPENSSL);
    if (version !== '') return version;
  }
  return '';
};

/** The names of the taps that are not there. */
const missing = (taps: readonly (TapPoint | null)[], names: readonly string[]): string =>
  names.filter((_, i) => taps[i] === null).join(' and ');

const inspectRustls = (elf: ElfFile): TlsFacts => {
  // Its messages name the file that they come from.
  const version = text(elf, '/rustls-', /^\/(rustls-\d+\.\d+\.\d+)(?=\/)/).replace('-', ' ');
  const addresses = awsLcAddresses(elf);
  if (addresses === null)
    return untapped(
      'rustls',
      version,
      'its cryptography is not AWS-LC, and rustls calls nothing else that could be tapped',
    );
  const taps = [tapAt(elf, 'headwater_hkdf', addresses.hkdf), tapAt(elf, 'headwater_prf', addresses.prf)];
  const gap = missing(taps, ['TLS 1.3 (HKDF_expand)', 'TLS 1.2 (CRYPTO_tls1_prf)']);
  return {
    kind: 'rustls',
    version,
    taps: taps.filter((tap) => tap !== null),
    gap: gap === '' ? '' : `where its AWS-LC derives ${gap} cannot be found`,
  };
};

/** The dynamic linker's call after every change of what is mapped, where this is the dynamic linker. */
export const linkerTap = (elf: ElfFile): TapPoint | null =>
  tapAt(elf, 'headwater_linked', elf.functionAddress('_dl_debug_state'));

const tapAt = (elf: ElfFile, program: TapProgram, address: number): TapPoint | null => {
  if (address <= 0) return null;
  const offset = elf.codeOffset(address);
  if (offset < 0) return null;
  const code = elf.read(offset, PROLOGUE_BYTES);
  if (code.length < 8) return null;
  // It reads arguments off the stack.
  return { program, offset: offset + (program === 'headwater_prf' ? 0 : probeOffset(elf.machine, code)) };
};

/** What `pattern`, or its group, matches where `start` stands in the constants. Messages name versions too, but not whole ones. */
const text = (elf: ElfFile, start: string, pattern: RegExp): string => {
  const constants: Section | null = elf.section('.rodata');
  if (constants === null) return '';
  let at = elf.find(constants, start);
  for (let i = 0; i < MENTIONS_MAX && at >= 0; i++) {
    const match = pattern.exec(elf.read(constants.offset + at, VERSION_BYTES).latin1Slice());
    if (match !== null) return match[1] ?? match[0];
    at = elf.find(constants, start, at + 1);
  }
  return '';
};
