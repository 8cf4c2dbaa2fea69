/**
 * The TLS of the rehearsal: a made-up connection's handshake, its secrets as the taps see those of OpenSSL, and its records. TLS 1.3
 * (RFC 8446) with TLS_AES_128_GCM_SHA256 and without certificates; the first records of real ones must not meet code that nobody compiled yet.
 */
import { createCipheriv, createHash, createHmac } from 'node:crypto';
import { Memory } from '../base/memory.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { SecretLabel, SecretStore } from '../tls/secrets.ts';

const HASH_BYTES = 32;
const RECORD_BYTES_MAX = 16_384;
const HANDSHAKE = 22;
const APPLICATION = 23;

const sha256 = (parts: readonly Buffer[]): Buffer => createHash('sha256').update(Buffer.concat(parts)).digest();

/** HKDF-Expand-Label (RFC 8446 7.1), one block. */
function expandLabel(secret: Buffer, label: string, context: Buffer, bytes: number): Buffer {
  const info = Buffer.from(`\0${String.fromCharCode(bytes, 6 + label.length)}tls13 ${label}`, 'latin1');
  const mac = createHmac('sha256', secret).update(info).update(Buffer.of(context.length)).update(context);
  return mac.update(Buffer.of(1)).digest().subarray(0, bytes);
}

/** A handshake message (RFC 8446 4). */
const message = (type: number, ...parts: readonly Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.of(type, 0, body.length >> 8, body.length & 255), body]);
};

const header = (type: number, bytes: number): Buffer => Buffer.of(type, 3, 3, bytes >> 8, bytes & 255);

/** Protects records with the keys of one traffic secret (RFC 8446 5.2, 7.3). */
class Sealer {
  readonly #key: Buffer;
  readonly #iv: Buffer;
  #sequence = 0;

  constructor(secret: Buffer) {
    this.#key = expandLabel(secret, 'key', Buffer.alloc(0), 16);
    this.#iv = expandLabel(secret, 'iv', Buffer.alloc(0), 12);
  }

  record(type: number, content: Buffer): Buffer {
    const nonce = Buffer.from(this.#iv);
    nonce.writeUInt32BE((nonce.readUInt32BE(8) ^ this.#sequence++) >>> 0, 8);
    const plain = Buffer.concat([content, Buffer.of(type)]);
    const aad = header(APPLICATION, plain.length + 16);
    const cipher = createCipheriv('aes-128-gcm', this.#key, nonce).setAAD(aad);
    return Buffer.concat([aad, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }
}

const SUPPORTED_VERSIONS = 43;
const EMPTY_SESSION = Buffer.of(0);
const SUITES = Buffer.of(0, 2, 0x13, 1, 1, 0);
const CHOSEN = Buffer.of(0x13, 1, 0);
const EXTENSIONS_OFFERED = Buffer.of(0, 7, 0, SUPPORTED_VERSIONS, 0, 3, 2, 3, 4);
const EXTENSIONS_CHOSEN = Buffer.of(0, 6, 0, SUPPORTED_VERSIONS, 0, 2, 3, 4);
const VERSION_12 = Buffer.of(3, 3);

/** One connection: Latin1 in, Latin1 out. */
export class RehearsedTls {
  /** What each side sends before it sends content, in this order. */
  readonly handshake: readonly (readonly [Direction, string])[];
  readonly #sealers: readonly [Sealer, Sealer];

  /** The `n`-th connection; its secrets go into `store` at `ts`. */
  constructor(store: SecretStore, n: number, ts: number) {
    const made = (what: string): Buffer => sha256([Buffer.from(`rehearsal ${n} ${what}`)]);
    const clientHello = message(1, VERSION_12, made('client'), EMPTY_SESSION, SUITES, EXTENSIONS_OFFERED);
    const serverHello = message(2, VERSION_12, made('server'), EMPTY_SESSION, CHOSEN, EXTENSIONS_CHOSEN);
    const flight = Buffer.concat([message(8, Buffer.alloc(2)), message(20, made('server finished'))]);
    const hellos = sha256([clientHello, serverHello]);
    const all = sha256([clientHello, serverHello, flight]);
    const take = (label: SecretLabel, name: string, from: Buffer, transcript: Buffer): Sealer => {
      const memory = Memory.from(Buffer.concat([from, transcript]));
      store.addExpansion(label, 'sha256', memory, 0, HASH_BYTES, HASH_BYTES, ts);
      return new Sealer(expandLabel(from, name, transcript, HASH_BYTES));
    };
    const [early, late] = [made('handshake secret'), made('master secret')];
    const clientHandshake = take('CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'c hs traffic', early, hellos);
    const serverHandshake = take('SERVER_HANDSHAKE_TRAFFIC_SECRET', 's hs traffic', early, hellos);
    this.#sealers = [
      take('CLIENT_TRAFFIC_SECRET_0', 'c ap traffic', late, all),
      take('SERVER_TRAFFIC_SECRET_0', 's ap traffic', late, all),
    ];
    const finished = clientHandshake.record(HANDSHAKE, message(20, made('client finished')));
    const greeting = [header(HANDSHAKE, serverHello.length), serverHello, serverHandshake.record(HANDSHAKE, flight)];
    this.handshake = [
      [INGRESS, Buffer.concat([header(HANDSHAKE, clientHello.length), clientHello]).latin1Slice()],
      [EGRESS, Buffer.concat(greeting).latin1Slice()],
      [INGRESS, finished.latin1Slice()],
    ];
  }

  /** `content` in as few records as there can be. */
  seal(direction: Direction, content: string): string {
    const sealer = this.#sealers[direction];
    let wire = '';
    for (let at = 0; at < content.length; at += RECORD_BYTES_MAX)
      wire += sealer.record(APPLICATION, Buffer.from(content.slice(at, at + RECORD_BYTES_MAX), 'latin1')).latin1Slice();
    return wire;
  }
}
