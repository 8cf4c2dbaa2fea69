/**
 * A TLS connection between tcp and http: reads its handshake, gets its secrets, opens its records, and feeds the decoder
 * of what is inside. What cannot be read yet waits, in the order in which it came, for a bounded time and in bounded
 * memory; then it is counted with its cause, and whatever can still be read goes on.
 */
import { Memory } from '../base/memory.ts';
import type { Connection, ConnectionStart } from '../model/connection.ts';
import type { LossReason } from '../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../model/stages.ts';
import { TlsFacts, type TlsUnreadCause } from '../model/tls.ts';
import { readCertificate } from './certificate.ts';
import { TlsDirection } from './direction.ts';
import { HANDSHAKE } from './handshake.ts';
import {
  type ClientHello,
  readClientHello,
  readEncryptedExtensions,
  readServerHello,
  type ServerHello,
  TLS12,
  TLS13,
  versionName,
} from './hello.ts';
import { ja4 } from './ja4.ts';
import { HASH_BYTES } from './libcrypto.ts';
import { RecordProtection } from './protection.ts';
import { prf } from './schedule.ts';
import { ANY_IDENTITY, type FoundSecret, SECRET_LABELS, type SecretLabel, type SecretWaiter } from './secrets.ts';
import type { Expiring, TlsShared } from './shared.ts';
import { type Suite, type SuiteCipher, suiteOf } from './suites.ts';
import { Transcript } from './transcript.ts';

/** What the TLS stage knows of a stream of bytes that it decrypts. */
export interface InnerFacts {
  readonly secure: true;
  readonly alpn: string | null;
  readonly start: ConnectionStart;
}
export type InnerFactory = (facts: InnerFacts) => ConnectionDecoder;

/** Something that came while a direction could not go on. */
interface Held {
  readonly direction: Direction;
  readonly what: 'data' | 'gap' | 'end';
  readonly memory: Memory;
  at: number;
  /** data: end of the bytes in `memory`; gap: its length. */
  readonly end: number;
  readonly ts: number;
  readonly ack: number;
  readonly why: LossReason | 'left_out';
  readonly how: StreamEnd;
}

const NO_MEMORY = Memory.alloc(0);
/** Where a TLS 1.2 key block is made in the workspace: behind what schedule.ts uses. */
const KEY_BLOCK_AT = 2_432;

export class TlsConnection implements ConnectionDecoder, SecretWaiter, Expiring {
  readonly streams: readonly [TlsStream, TlsStream];
  readonly shared: TlsShared;
  readonly facts = new TlsFacts();
  /** It speaks TLS 1.3, or sends early data and so wants to. */
  tls13 = false;
  /** It waited for secrets long enough. */
  gaveUp: boolean;
  /** Early data was accepted; null: not known yet. */
  earlyData: boolean | null = null;
  deadline = 0;

  readonly #connection: Connection;
  #settled = false;
  readonly #make: InnerFactory;
  readonly #directions: readonly [TlsDirection, TlsDirection];
  #inner: ConnectionDecoder | null = null;
  /** Decrypted bytes that miss from before there was a decoder for them. */
  readonly #missing: [LossReason | 'left_out' | null, LossReason | 'left_out' | null] = [null, null];
  readonly #ends: [{ how: StreamEnd; ts: number } | null, { how: StreamEnd; ts: number } | null] = [null, null];

  #client: Direction = INGRESS;
  #hello: ClientHello | null = null;
  #helloAt = -1;
  #server: ServerHello | null = null;
  #suite: Suite | null = null;
  /** Records of the handshake were lost. */
  #broken = false;
  /** A protected part of the handshake was lost, which the transcript is made of too. */
  #flightLost = false;
  #protectedBy = 0;
  #transcript: Transcript | null = null;
  /** Transcript hashes that the secrets were derived with. */
  #earlyHash: string | null = null;
  #handshakeHash: string | null = null;
  #applicationHash: string | null = null;

  readonly #held: Held[] = [];
  readonly #heldOf: [number, number] = [0, 0];
  #heldBytes = 0;
  #draining = false;
  #identities: string[] = [];
  /** Names of secrets that a tag gave to this connection, where its own was lost. */
  readonly #adopted: string[] = [];
  /** How much of the server's bytes the client had when it first sent content; -1: not known. */
  #askedAt = -1;

  constructor(connection: Connection, shared: TlsShared, make: InnerFactory) {
    this.shared = shared;
    this.#connection = connection;
    this.#make = make;
    this.gaveUp = shared.limits.waitNs === 0;
    connection.tls = this.facts;
    shared.counters.connections++;
    this.#directions = [new TlsDirection(this, INGRESS), new TlsDirection(this, EGRESS)];
    this.streams = [new TlsStream(this, INGRESS), new TlsStream(this, EGRESS)];
    if (shared.store.transcripts) this.#transcript = new Transcript();
  }

  /** Where opened records are. */
  get memory(): Memory {
    return this.shared.store.workspace.memory;
  }

  tick(now: number): void {
    this.shared.tick(now);
    this.#inner?.tick(now);
  }

  // --- what comes

  data(direction: Direction, memory: Memory, offset: number, length: number, ts: number, ack: number): void {
    let taken = 0;
    if (this.#heldOf[direction] === 0) {
      taken = this.#directions[direction].reader.take(memory, offset, length, ts, ack);
      if (taken === length && this.#held.length === 0) return;
    }
    if (taken < length) this.#holdData(direction, memory, offset + taken, length - taken, ts, ack);
    this.#drain();
  }

  gap(direction: Direction, length: number, why: LossReason | 'left_out', ts: number): void {
    if (this.#heldOf[direction] === 0 && !this.#directions[direction].stuck)
      this.#directions[direction].reader.gap(length, why, ts);
    else this.#hold({ direction, what: 'gap', memory: NO_MEMORY, at: 0, end: length, ts, ack: -1, why, how: 'fin' });
    if (this.#held.length > 0) this.#drain();
  }

  end(direction: Direction, how: StreamEnd, ts: number): void {
    if (this.#heldOf[direction] === 0 && !this.#directions[direction].stuck) this.#end(direction, how, ts);
    else this.#hold({ direction, what: 'end', memory: NO_MEMORY, at: 0, end: 0, ts, ack: -1, why: 'gap', how });
    if (this.#held.length > 0) this.#drain();
  }

  #end(direction: Direction, how: StreamEnd, ts: number): void {
    this.#directions[direction].end(how, ts);
    this.#ends[direction] = { how, ts };
    this.#inner?.streams[direction].end(how, ts);
    if (this.#ends[0] !== null && this.#ends[1] !== null) this.#release();
  }

  #holdData(direction: Direction, memory: Memory, at: number, length: number, ts: number, ack: number): void {
    if (!this.gaveUp && (this.#heldBytes + length > this.shared.limits.waitBytes || !this.shared.reserve(length))) {
      this.unread('limit');
      this.#goOn();
      // What was held has been read or counted; what comes now is too, in its turn.
      const taken =
        this.#heldOf[direction] === 0 ? this.#directions[direction].reader.take(memory, at, length, ts, ack) : 0;
      if (taken < length) this.shared.unread('limit', length - taken);
      return;
    }
    const copy = Memory.alloc(length);
    memory.buf.copy(copy.buf, 0, at, at + length);
    this.#heldBytes += length;
    this.#hold({ direction, what: 'data', memory: copy, at: 0, end: length, ts, ack, why: 'gap', how: 'fin' });
  }

  #hold(held: Held): void {
    this.#held.push(held);
    this.#heldOf[held.direction]++;
  }

  /** Goes through what is held as far as it goes now. */
  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    for (let progress = true; progress; ) {
      progress = false;
      const blocked: [boolean, boolean] = [false, false];
      for (const one of this.#directions) {
        one.stuck = false;
        blocked[one.direction] = !one.reader.retry();
      }
      for (let i = 0; i < this.#held.length; ) {
        const held = this.#held[i]!;
        if (blocked[held.direction] || !this.#replay(held)) {
          blocked[held.direction] = true;
          i++;
          continue;
        }
        this.#held.splice(i, 1);
        this.#heldOf[held.direction]--;
        progress = true;
      }
      if (this.#held.length === 0) break;
    }
    this.#draining = false;
    if (this.#held.length === 0 && !this.#directions[0].stuck && !this.#directions[1].stuck) this.#waitNoMore();
  }

  #replay(held: Held): boolean {
    const one = this.#directions[held.direction];
    if (held.what === 'gap') one.reader.gap(held.end, held.why, held.ts);
    else if (held.what === 'end') this.#end(held.direction, held.how, held.ts);
    else {
      held.at += one.reader.take(held.memory, held.at, held.end - held.at, held.ts, held.ack);
      if (held.at < held.end) return false;
      this.#heldBytes -= held.memory.size;
      this.shared.release(held.memory.size);
    }
    return !one.stuck;
  }

  // --- waiting

  /** A direction cannot go on without a secret. */
  waits(ts: number): void {
    const { shared } = this;
    if (!shared.waiting.has(this)) {
      this.deadline = Math.max(0, ts) + shared.limits.waitNs;
      shared.waiting.add(this);
    }
    const names = [this.#hello?.random, this.#earlyHash, this.#handshakeHash, this.#applicationHash];
    if (this.orphan) names.push(ANY_IDENTITY);
    for (const identity of names) {
      if (identity === undefined || identity === null || this.#identities.includes(identity)) continue;
      this.#identities.push(identity);
      shared.store.wait(identity, this);
    }
  }

  secretCame(): void {
    this.#drain();
  }

  expire(): void {
    this.#goOn();
  }

  /** Without the secrets that did not come. */
  #goOn(): void {
    this.gaveUp = true;
    this.#waitNoMore();
    this.#drain();
  }

  #waitNoMore(): void {
    this.shared.waiting.delete(this);
    for (const identity of this.#identities) this.shared.store.unwait(identity, this);
    this.#identities = [];
  }

  #release(): void {
    this.settled();
    this.#waitNoMore();
    for (const one of this.#directions) one.close();
    this.#transcript = null;
  }

  /** Content of a direction waits until the other one, which may come first, knows whether it can be read. */
  blocks(one: TlsDirection): boolean {
    return one.atApplication && !this.gaveUp && this.#directions[one.direction === INGRESS ? EGRESS : INGRESS].stuck;
  }

  // --- secrets

  /** A secret of this connection; null when it is not here. */
  secret(label: SecretLabel): FoundSecret | null {
    const { store } = this.shared;
    for (const identity of this.#adopted) {
      const found = store.find(label, identity);
      if (found !== null) return found;
    }
    if (this.#hello === null) return null;
    const found = store.find(label, this.#hello.random);
    if (found !== null || !store.transcripts) return found;
    const hash = this.#hashOf(label);
    return hash === null ? null : store.find(label, hash);
  }

  /** The transcript hash that `label`'s secret was derived with (RFC 8446 7.1); null: not known, or not yet. */
  #hashOf(label: SecretLabel): string | null {
    if (label === 'CLIENT_EARLY_TRAFFIC_SECRET') return this.#earlyHash;
    return label === 'CLIENT_TRAFFIC_SECRET_0' || label === 'SERVER_TRAFFIC_SECRET_0'
      ? this.#applicationHash
      : this.#handshakeHash;
  }

  /** What its secrets are known by was lost with a part of the handshake, but not what they are good for. */
  get orphan(): boolean {
    if (!this.supported) return false;
    return this.#hello === null || (this.tls13 && (this.#broken || this.#flightLost) && this.shared.store.transcripts);
  }

  /** A tag says that the secrets of this name are this connection's. */
  adopt(identity: string): void {
    if (!this.#adopted.includes(identity)) this.#adopted.push(identity);
  }

  /** In which direction the client's bytes flow. */
  get client(): Direction {
    return this.#client;
  }

  /** The cipher of TLS 1.3's records; null while it is not known, and for one that is not decrypted. */
  cipher13(): SuiteCipher | null {
    const cipher = this.#suite?.cipher ?? null;
    return cipher?.tls13 ? cipher : null;
  }

  /** Its version and suite are such that secrets help. */
  get supported(): boolean {
    const cipher = this.#suite?.cipher ?? null;
    return (
      cipher !== null &&
      this.#server !== null &&
      cipher.tls13 === this.tls13 &&
      (this.tls13 || this.#server.version === TLS12)
    );
  }

  /** Waiting for a secret leads to nothing. */
  get hopeless(): boolean {
    return (this.#hello === null && !this.orphan) || (this.#server !== null && !this.supported);
  }

  /** Records that none of an epoch's known keys open are to be expected now. */
  mayPass(one: TlsDirection, epochs: readonly SecretLabel[]): boolean {
    if (this.#hello?.earlyData === true && one.direction === this.#client) return true;
    return this.#broken || this.#flightLost || epochs.some((label) => this.secret(label) === null);
  }

  /** TLS 1.2: protection of a direction by the keys of the latest handshake (RFC 5246 6.3); null: no secret, or none helps. */
  keys12(one: TlsDirection, random = this.#hello?.random ?? this.#adopted[0]): RecordProtection | null {
    const server = this.#server;
    const cipher = this.#suite?.cipher ?? null;
    if (server === null || random === undefined || cipher === null || !this.supported) return null;
    const found = this.shared.store.find('CLIENT_RANDOM', random);
    if (found === null) return null;
    const { workspace: w, memory } = this.shared.store;
    const macBytes = cipher.mac === null ? 0 : HASH_BYTES[cipher.mac];
    const ivBytes = cipher.mode === 'chacha' ? 12 : cipher.mode === 'cbc' ? 0 : 4;
    const seeds = [Buffer.from(server.random, 'latin1'), Buffer.from(random, 'latin1')];
    const bytes = 2 * (macBytes + cipher.keyBytes + ivBytes);
    prf(w, cipher.hash, memory.address(found.slot), found.bytes, 'key expansion', seeds, bytes, KEY_BLOCK_AT);
    const own = one.direction === this.#client ? 0 : 1;
    const keysAt = KEY_BLOCK_AT + 2 * macBytes;
    const keys = {
      mac: KEY_BLOCK_AT + own * macBytes,
      key: keysAt + own * cipher.keyBytes,
      iv: keysAt + 2 * cipher.keyBytes + own * ivBytes,
      encryptThenMac: server.encryptThenMac,
    };
    const made = RecordProtection.tls12(w, cipher, keys, memory);
    w.clean();
    return made;
  }

  // --- what the handshake says

  handshake(
    one: TlsDirection,
    type: number,
    memory: Memory,
    at: number,
    length: number,
    whole: number,
    ts: number,
  ): void {
    const transcript = this.#transcript;
    if (transcript !== null) {
      // What the client sends under its keys comes behind all that secrets are derived with, and may be read before it.
      const counts = !one.protected || one.direction !== this.#client || type === HANDSHAKE.CLIENT_HELLO;
      if (length < whole && counts) transcript.broken = true;
      else if (counts && type !== HANDSHAKE.SERVER_HELLO) transcript.add(memory, at - 4, length + 4);
    }
    switch (type) {
      case HANDSHAKE.CLIENT_HELLO:
        this.#clientHello(one, readClientHello(memory, at, length), ts);
        break;
      case HANDSHAKE.SERVER_HELLO:
        this.#serverHello(one, readServerHello(memory, at, length), memory, at, length);
        break;
      case HANDSHAKE.ENCRYPTED_EXTENSIONS:
        if (this.tls13) this.#encryptedExtensions(memory, at, length);
        break;
      case HANDSHAKE.CERTIFICATE:
        this.#certificate(one, memory, at, length);
        break;
      case HANDSHAKE.END_OF_EARLY_DATA:
        if (one.direction === this.#client) one.nextEpoch();
        break;
      case HANDSHAKE.FINISHED:
        if (this.tls13) this.#finished(one, ts);
        break;
    }
  }

  #clientHello(one: TlsDirection, hello: ClientHello | null, ts: number): void {
    if (hello === null) return;
    const { facts } = this;
    const again = this.#hello !== null && this.#server?.helloRetry === true;
    this.#hello = hello;
    this.#client = one.direction;
    one.discard = false;
    facts.sni = hello.sni;
    facts.alpnOffered = hello.alpn;
    if (again) return;
    this.#server = null;
    facts.ja4 = ja4(hello);
    if (this.#helloAt < 0) this.#helloAt = ts;
    if (hello.earlyData && !one.protected) {
      this.tls13 = true;
      one.protect13(['CLIENT_EARLY_TRAFFIC_SECRET', 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'CLIENT_TRAFFIC_SECRET_0']);
    } else this.earlyData = false;
  }

  #serverHello(one: TlsDirection, server: ServerHello | null, memory: Memory, at: number, length: number): void {
    if (server === null) return;
    const { facts } = this;
    this.#server = server;
    this.#suite = suiteOf(server.cipher);
    facts.version = versionName(server.version);
    facts.cipher = this.#suite.name;
    const client = this.#directions[one.direction === INGRESS ? EGRESS : INGRESS];
    if (this.#hello === null) this.#client = client.direction;
    this.tls13 = server.version === TLS13;
    const transcript = this.#transcript;
    if (this.tls13 && transcript !== null) {
      transcript.begin(this.#suite.cipher?.hash ?? 'sha256', server.helloRetry);
      this.#earlyHash = transcript.early;
      transcript.add(memory, at - 4, length + 4);
    }
    if (server.helloRetry) {
      this.#refuseEarlyData(client);
      client.discard = true;
      return;
    }
    client.discard = false;
    if (this.tls13) {
      this.#handshakeHash = transcript?.digest() ?? null;
      facts.resumed = server.psk;
      if (server.psk) this.shared.counters.resumed++;
      one.protect13(['SERVER_HANDSHAKE_TRAFFIC_SECRET', 'SERVER_TRAFFIC_SECRET_0']);
      if (!client.protected) client.protect13(['CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'CLIENT_TRAFFIC_SECRET_0']);
      else if (!server.psk) this.#refuseEarlyData(client);
      return;
    }
    this.#transcript = null;
    this.earlyData = false;
    if (server.alpn !== '') facts.alpn = server.alpn;
    facts.resumed = server.sessionId !== '' && server.sessionId === this.#hello?.sessionId;
    if (facts.resumed) this.shared.counters.resumed++;
  }

  #refuseEarlyData(client: TlsDirection): void {
    this.earlyData = false;
    client.without('CLIENT_EARLY_TRAFFIC_SECRET');
  }

  #encryptedExtensions(memory: Memory, at: number, length: number): void {
    const extensions = readEncryptedExtensions(memory, at, length);
    if (extensions === null) return;
    this.facts.alpn = extensions.alpn;
    if (this.earlyData !== null) return;
    this.facts.earlyData = extensions.earlyData;
    if (extensions.earlyData) this.earlyData = true;
    else this.#refuseEarlyData(this.#directions[this.#client]);
  }

  #certificate(one: TlsDirection, memory: Memory, at: number, length: number): void {
    const certificate = readCertificate(memory, at, length, this.tls13);
    if (one.direction === this.#client) this.facts.clientCertificate = certificate.present;
    else if (certificate.present) {
      this.facts.certificateNotAfter = certificate.notAfter;
      // A session id may be sent back for other reasons than resumption.
      if (!this.tls13) this.facts.resumed = false;
    }
  }

  #finished(one: TlsDirection, ts: number): void {
    if (one.atApplication) return;
    if (one.direction !== this.#client) {
      this.#applicationHash = this.#transcript?.digest() ?? null;
      this.#transcript = null;
    } else this.#handshakeDone(ts);
    one.nextEpoch();
  }

  changeCipherSpec(one: TlsDirection): void {
    if (this.tls13) return;
    if (this.#server === null && this.#hello?.versions.includes(TLS13) === true) return;
    one.change12();
  }

  handshakeLost(hidden: boolean): void {
    if (hidden) this.#flightLost = true;
    else this.#broken = true;
    if (this.#transcript !== null) this.#transcript.broken = true;
  }

  /** A protected record begins: the first ones tell how long the handshake took. */
  protectedRecord(one: TlsDirection, ts: number): void {
    const { facts } = this;
    if (facts.handshakeNs >= 0) return;
    if (this.tls13) {
      if (one.direction === this.#client && this.#server !== null && this.#hello?.earlyData === false)
        this.#handshakeDone(ts);
      return;
    }
    this.#protectedBy |= 1 << one.direction;
    if (this.#protectedBy === 3) this.#handshakeDone(ts);
  }

  #handshakeDone(ts: number): void {
    if (this.facts.handshakeNs < 0 && this.#helloAt >= 0 && ts >= this.#helloAt)
      this.facts.handshakeNs = ts - this.#helloAt;
  }

  // --- what comes out

  /** The decoder of what is inside, from the first decrypted byte on. */
  inner(): ConnectionDecoder {
    if (this.#inner !== null) return this.#inner;
    const start: ConnectionStart = this.#hello !== null && !this.#broken ? 'opened' : 'joined';
    const { facts } = this;
    facts.decrypted = true;
    this.shared.counters.decrypted++;
    const inner = this.#make({ secure: true, alpn: facts.alpn === '' ? null : facts.alpn, start });
    this.#inner = inner;
    for (const { direction, plain } of this.#directions) {
      const why = this.#missing[direction];
      const end = this.#ends[direction];
      if (why !== null && plain > 0) inner.streams[direction].gap(0, plain, why, end?.ts ?? this.#helloAt);
      if (end !== null) inner.streams[direction].end(end.how, end.ts);
    }
    return inner;
  }

  /** What `one`'s segment acknowledges, in decrypted bytes of the other direction. */
  ack(one: TlsDirection, encrypted: number): number {
    return this.#directions[one.direction === INGRESS ? EGRESS : INGRESS].acks.at(encrypted);
  }

  /** Content has come out, or none will. */
  settled(): void {
    if (this.#settled) return;
    this.#settled = true;
    this.shared.settled(this.#connection);
  }

  /** Content of `one` comes out; its segment acknowledges `encrypted` bytes of the other direction. */
  delivered(one: TlsDirection, encrypted: number): void {
    if (one.direction === this.#client && one.plain === 0 && this.#askedAt < 0) this.#askedAt = encrypted;
  }

  /**
   * The server had sent its bytes before `encrypted` when it could not have been asked for anything: in HTTP/1 they are
   * tickets, no content.
   */
  beforeAsked(one: TlsDirection, encrypted: number): boolean {
    if (!this.tls13 || this.#hello === null || one.direction === this.#client || one.plain > 0) return false;
    const { alpn, alpnOffered } = this.facts;
    const h1 = alpn === 'http/1.1' || !alpnOffered.includes('h2');
    const client = this.#directions[this.#client];
    const silent = client.plain === 0 && !client.stuck && this.#heldOf[this.#client] === 0;
    return h1 && (this.#askedAt < 0 ? silent : encrypted <= this.#askedAt);
  }

  /** Decrypted bytes [position, position + bytes) of a direction will never come. */
  missing(one: TlsDirection, position: number, bytes: number, why: LossReason | 'left_out', ts: number): void {
    if (this.#inner !== null) this.#inner.streams[one.direction].gap(position, bytes, why, ts);
    else this.#missing[one.direction] ??= why;
  }

  /** Why records of a direction cannot be read now. */
  cause(): TlsUnreadCause {
    if (this.facts.unread === 'limit') return 'limit';
    if ((this.#hello === null && this.#adopted.length === 0) || this.#server === null || this.#broken)
      return 'handshake_unseen';
    if (!this.supported) return 'unsupported';
    if (this.orphan && this.#adopted.length === 0) return 'handshake_unseen';
    const some = SECRET_LABELS.some((label) => this.secret(label) !== null);
    return some ? 'partial_secret' : 'no_secret';
  }

  unread(cause: TlsUnreadCause): void {
    if (this.facts.unread !== null) return;
    this.facts.unread = cause;
    this.shared.counters.unread[cause].connections++;
    this.settled();
  }

  unreadBytes(cause: TlsUnreadCause, bytes: number): void {
    this.unread(cause);
    this.shared.unread(cause, bytes);
  }
}

/** One direction's way in. */
class TlsStream implements StreamSink {
  readonly #connection: TlsConnection;
  readonly #direction: Direction;

  constructor(connection: TlsConnection, direction: Direction) {
    this.#connection = connection;
    this.#direction = direction;
  }

  data(memory: Memory, offset: number, length: number, _position: number, ts: number, ack: number): void {
    this.#connection.data(this.#direction, memory, offset, length, ts, ack);
  }

  gap(_position: number, length: number, why: LossReason | 'left_out', ts: number): void {
    this.#connection.gap(this.#direction, length, why, ts);
  }

  end(how: StreamEnd, ts: number): void {
    this.#connection.end(this.#direction, how, ts);
  }
}
