/** ClientHello and ServerHello (RFC 8446 4.1, RFC 5246 7.4.1). Pure; anything that does not fit its lengths gives null. */
import type { Memory } from '../base/memory.ts';
import { ticketName } from './sessions.ts';

export interface ClientHello {
  /** 32 bytes as latin1; public. It names the connection in a key log. */
  readonly random: string;
  readonly version: number;
  readonly sessionId: string;
  /** Of the TLS 1.2 session ticket (RFC 5077) that it shows; "" when it shows none. */
  readonly ticket: string;
  readonly ciphers: readonly number[];
  /** Numbers in the order sent. */
  readonly extensions: readonly number[];
  /** Latin-1, as sent; "" when there is none. */
  readonly sni: string;
  readonly alpn: readonly string[];
  readonly versions: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  readonly earlyData: boolean;
}

export interface ServerHello {
  readonly random: string;
  /** The version agreed: supported_versions, else legacy_version. */
  readonly version: number;
  readonly sessionId: string;
  readonly cipher: number;
  readonly helloRetry: boolean;
  /** A PSK was chosen (TLS 1.3). */
  readonly psk: boolean;
  readonly encryptThenMac: boolean;
  /** "" when it is none, or in TLS 1.3 (it is in EncryptedExtensions). */
  readonly alpn: string;
}

export const EXTENSION = {
  SERVER_NAME: 0,
  SIGNATURE_ALGORITHMS: 13,
  ALPN: 16,
  ENCRYPT_THEN_MAC: 22,
  SESSION_TICKET: 35,
  PRE_SHARED_KEY: 41,
  EARLY_DATA: 42,
  SUPPORTED_VERSIONS: 43,
} as const;

/** Extensions of one hello that are looked at. */
const EXTENSIONS_MAX = 256;
/** Numbers of one list that are kept. */
const LIST_MAX = 512;
const ALPN_MAX = 32;

/** SHA-256 of "HelloRetryRequest" (RFC 8446 4.1.3). */
const RETRY_RANDOM = Buffer.from(
  'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c',
  'hex',
).latin1Slice();

const NO_BYTES = new Uint8Array(0);

/** Reads lengths and what they count; after the first that does not fit, `ok` is false and everything is empty. */
export class Reader {
  readonly #memory: Memory;
  at: number;
  readonly end: number;
  ok = true;

  constructor(memory: Memory, at: number, end: number) {
    this.#memory = memory;
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  #take(bytes: number): number {
    const { at } = this;
    if (!this.ok || bytes > this.end - at) {
      this.ok = false;
      this.at = this.end;
      return -1;
    }
    this.at = at + bytes;
    return at;
  }

  u8(): number {
    const at = this.#take(1);
    return at < 0 ? 0 : this.#memory.view.getUint8(at);
  }

  u16(): number {
    const at = this.#take(2);
    return at < 0 ? 0 : this.#memory.view.getUint16(at);
  }

  u24(): number {
    const at = this.#take(3);
    return at < 0 ? 0 : (this.#memory.view.getUint8(at) << 16) | this.#memory.view.getUint16(at + 1);
  }

  text(bytes: number): string {
    const at = this.#take(bytes);
    return at < 0 ? '' : this.#memory.buf.latin1Slice(at, at + bytes);
  }

  /** The next `bytes` where they lie; none when they are not there. */
  bytes(bytes: number): Uint8Array {
    const at = this.#take(bytes);
    return at < 0 ? NO_BYTES : this.#memory.buf.subarray(at, at + bytes);
  }

  /** A reader of the next `bytes`. */
  part(bytes: number): Reader {
    const at = this.#take(bytes);
    if (at >= 0) return new Reader(this.#memory, at, at + bytes);
    const none = new Reader(this.#memory, this.end, this.end);
    none.ok = false;
    return none;
  }

  /** All 16-bit numbers that are left. */
  numbers(): number[] {
    const list: number[] = [];
    while (this.left >= 2 && list.length < LIST_MAX) list.push(this.u16());
    return list;
  }
}

function serverName(r: Reader): string {
  const list = r.part(r.u16());
  while (list.ok && list.left > 0) {
    const type = list.u8();
    const name = list.text(list.u16());
    if (type === 0) return name;
  }
  return '';
}

function protocols(r: Reader): string[] {
  const list = r.part(r.u16());
  const names: string[] = [];
  while (list.ok && list.left > 0 && names.length < ALPN_MAX) {
    const name = list.text(list.u8());
    if (name !== '') names.push(name);
  }
  return names;
}

/** Calls `each` with every extension; false when their lengths contradict one another. */
function eachExtension(r: Reader, each: (type: number, body: Reader) => void): boolean {
  if (r.left === 0) return true;
  const all = r.part(r.u16());
  for (let n = 0; all.ok && all.left > 0 && n < EXTENSIONS_MAX; n++) {
    const type = all.u16();
    const body = all.part(all.u16());
    if (all.ok) each(type, body);
  }
  return all.ok;
}

/** The body of a ClientHello: [at, at + length). */
export function readClientHello(memory: Memory, at: number, length: number): ClientHello | null {
  const r = new Reader(memory, at, at + length);
  const version = r.u16();
  const random = r.text(32);
  const sessionId = r.text(r.u8());
  const ciphers = r.part(r.u16()).numbers();
  r.part(r.u8());
  const extensions: number[] = [];
  let sni = '';
  let ticket = '';
  let alpn: string[] = [];
  let versions: number[] = [];
  let signatureAlgorithms: number[] = [];
  const fits = eachExtension(r, (type, body) => {
    extensions.push(type);
    if (type === EXTENSION.SERVER_NAME) sni = serverName(body);
    else if (type === EXTENSION.ALPN) alpn = protocols(body);
    else if (type === EXTENSION.SESSION_TICKET && body.left > 0) ticket = ticketName(body.bytes(body.left));
    else if (type === EXTENSION.SUPPORTED_VERSIONS) versions = body.part(body.u8()).numbers();
    else if (type === EXTENSION.SIGNATURE_ALGORITHMS) signatureAlgorithms = body.part(body.u16()).numbers();
  });
  if (!r.ok || !fits || version >> 8 !== 3 || sessionId.length > 32) return null;
  const earlyData = extensions.includes(EXTENSION.EARLY_DATA);
  return {
    random,
    version,
    sessionId,
    ticket,
    ciphers,
    extensions,
    sni,
    alpn,
    versions,
    signatureAlgorithms,
    earlyData,
  };
}

/** The body of a ServerHello or HelloRetryRequest. */
export function readServerHello(memory: Memory, at: number, length: number): ServerHello | null {
  const r = new Reader(memory, at, at + length);
  const legacy = r.u16();
  const random = r.text(32);
  const sessionId = r.text(r.u8());
  const cipher = r.u16();
  r.u8();
  let version = legacy;
  let psk = false;
  let encryptThenMac = false;
  let alpn = '';
  const fits = eachExtension(r, (type, body) => {
    if (type === EXTENSION.SUPPORTED_VERSIONS) version = body.u16();
    else if (type === EXTENSION.PRE_SHARED_KEY) psk = true;
    else if (type === EXTENSION.ENCRYPT_THEN_MAC) encryptThenMac = true;
    else if (type === EXTENSION.ALPN) alpn = protocols(body)[0] ?? '';
  });
  if (!r.ok || !fits || legacy >> 8 !== 3 || sessionId.length > 32) return null;
  return { random, version, sessionId, cipher, helloRetry: random === RETRY_RANDOM, psk, encryptThenMac, alpn };
}

/** The name of the ticket in a TLS 1.2 NewSessionTicket (RFC 5077 3.3); "" when there is none. */
export function readTicket(memory: Memory, at: number, length: number): string {
  const r = new Reader(memory, at, at + length);
  r.u16();
  r.u16();
  const ticket = r.bytes(r.u16());
  return ticket.length === 0 ? '' : ticketName(ticket);
}

export interface EncryptedExtensions {
  readonly alpn: string;
  readonly earlyData: boolean;
}

/** EncryptedExtensions (RFC 8446 4.3.1). */
export function readEncryptedExtensions(memory: Memory, at: number, length: number): EncryptedExtensions | null {
  const r = new Reader(memory, at, at + length);
  let alpn = '';
  let earlyData = false;
  const fits = eachExtension(r, (type, body) => {
    if (type === EXTENSION.ALPN) alpn = protocols(body)[0] ?? '';
    else if (type === EXTENSION.EARLY_DATA) earlyData = true;
  });
  return r.ok && fits ? { alpn, earlyData } : null;
}

const VERSION_NAMES: Readonly<Record<number, string>> = {
  768: 'ssl3.0',
  769: '1.0',
  770: '1.1',
  771: '1.2',
  772: '1.3',
};
export const TLS12 = 0x0303;
export const TLS13 = 0x0304;

export const versionName = (version: number): string =>
  VERSION_NAMES[version] ?? `0x${version.toString(16).padStart(4, '0')}`;
