/**
 * What the handshake of one connection says: who is the client, version and suite, which keys come when, and what its secrets
 * are known by.
 */
import type { Memory } from '../base/memory.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { TlsFacts } from '../model/tls.ts';
import { readCertificate } from './certificate.ts';
import type { TlsDirection } from './direction.ts';
import { HANDSHAKE } from './handshake.ts';
import {
  type ClientHello,
  readClientHello,
  readEncryptedExtensions,
  readServerHello,
  readTicket,
  type ServerHello,
  TLS12,
  TLS13,
  versionName,
} from './hello.ts';
import { ja4 } from './ja4.ts';
import type { SecretLabel } from './secrets.ts';
import type { Sessions } from './sessions.ts';
import type { TlsCounters, TlsShared } from './shared.ts';
import { type Suite, type SuiteCipher, suiteOf } from './suites.ts';
import { Transcript } from './transcript.ts';

export class Negotiation {
  /** It speaks TLS 1.3, or sends early data and so wants to. */
  tls13 = false;
  /** Early data was accepted; null: not known yet. */
  earlyData: boolean | null = null;
  /** In which direction the client's bytes flow. */
  client: Direction = INGRESS;
  hello: ClientHello | null = null;
  server: ServerHello | null = null;
  readonly #facts: TlsFacts;
  readonly #directions: readonly [TlsDirection, TlsDirection];
  readonly #counters: TlsCounters;
  readonly #sessions: Sessions;
  #helloAt = -1;
  #suite: Suite | null = null;
  /** Records of the handshake were lost. */
  #broken = false;
  /** A protected part of the handshake was lost, which the transcript is made of too. */
  #flightLost = false;
  #protectedBy = 0;
  /** TLS 1.2: the handshake is a full one. */
  #keysExchanged = false;
  #transcript: Transcript | null = null;
  /** Transcript hashes that the secrets were derived with. */
  #earlyHash: string | null = null;
  #handshakeHash: string | null = null;
  #applicationHash: string | null = null;

  constructor(facts: TlsFacts, directions: readonly [TlsDirection, TlsDirection], shared: TlsShared) {
    this.#facts = facts;
    this.#directions = directions;
    this.#counters = shared.counters;
    this.#sessions = shared.sessions;
    // Secrets may be known by the hash of what was said.
    if (shared.store.transcripts) this.#transcript = new Transcript();
  }

  /** When the ClientHello came; -1: it was not seen. */
  get helloAt(): number {
    return this.#helloAt;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** A part of the handshake was lost that secrets are derived with. */
  get transcriptLost(): boolean {
    return this.#broken || this.#flightLost;
  }

  /** The suite agreed on; null while it is not known, and for one that is not decrypted. */
  get cipher(): SuiteCipher | null {
    return this.#suite?.cipher ?? null;
  }

  /** The cipher of TLS 1.3's records; null while it is not known, and for one that is not decrypted. */
  cipher13(): SuiteCipher | null {
    const { cipher } = this;
    return cipher?.tls13 ? cipher : null;
  }

  /** Its version and suite are such that secrets help. */
  get supported(): boolean {
    const { cipher, server } = this;
    return (
      cipher !== null && server !== null && cipher.tls13 === this.tls13 && (this.tls13 || server.version === TLS12)
    );
  }

  /** What its secrets can be known by, as far as that was seen. */
  get names(): readonly (string | null)[] {
    return [
      this.hello?.random ?? null,
      this.resumedRandom,
      this.#earlyHash,
      this.#handshakeHash,
      this.#applicationHash,
    ];
  }

  /** The transcript hash that `label`'s secret was derived with (RFC 8446 7.1); null: not known, or not yet. */
  hashOf(label: SecretLabel): string | null {
    if (label === 'CLIENT_EARLY_TRAFFIC_SECRET') return this.#earlyHash;
    return label === 'CLIENT_TRAFFIC_SECRET_0' || label === 'SERVER_TRAFFIC_SECRET_0'
      ? this.#applicationHash
      : this.#handshakeHash;
  }

  /** TLS 1.2: the client random of the connection whose session this one resumes; null: it does not, or that was not seen. */
  get resumedRandom(): string | null {
    const { hello, server } = this;
    if (this.tls13 || hello === null || server === null || this.#keysExchanged) return null;
    const byId = server.sessionId === hello.sessionId ? this.#sessions.find(hello.sessionId) : null;
    return this.#sessions.find(hello.ticket) ?? byId;
  }

  /** Nothing more is said. */
  close(): void {
    this.#transcript = null;
  }

  message(
    one: TlsDirection,
    type: number,
    memory: Memory,
    at: number,
    length: number,
    whole: number,
    ts: number,
  ): void {
    if (length === whole && type !== HANDSHAKE.SERVER_HELLO) this.piece(one, type, memory, at - 4, length + 4);
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
      case HANDSHAKE.NEW_SESSION_TICKET:
        if (!this.tls13) this.#sessionBegins(readTicket(memory, at, length));
        break;
      case HANDSHAKE.CLIENT_KEY_EXCHANGE:
        if (!this.tls13) this.#resumesNot();
        break;
      case HANDSHAKE.CERTIFICATE:
        this.#certificate(one, memory, at, length);
        break;
      case HANDSHAKE.END_OF_EARLY_DATA:
        if (one.direction === this.client) one.keys.nextEpoch();
        break;
      case HANDSHAKE.FINISHED:
        if (this.tls13) this.#finished(one, ts);
        break;
    }
  }

  /** Bytes of a message, with its header, for the transcript. The ServerHello, which names the hash, is added when it was read. */
  piece(one: TlsDirection, type: number, memory: Memory, at: number, bytes: number): void {
    const transcript = this.#transcript;
    if (transcript === null) return;
    // What the client sends under its keys comes behind all that secrets are derived with, and may be read before it.
    const counts = !one.protected || one.direction !== this.client || type === HANDSHAKE.CLIENT_HELLO;
    if (counts) transcript.add(memory, at, bytes);
  }

  #clientHello(one: TlsDirection, hello: ClientHello | null, ts: number): void {
    if (hello === null) return;
    const facts = this.#facts;
    const again = this.hello !== null && this.server?.helloRetry === true;
    this.hello = hello;
    this.client = one.direction;
    one.discard = false;
    facts.sni = hello.sni;
    facts.alpnOffered = hello.alpn;
    if (again) return;
    this.#keysExchanged = false;
    this.server = null;
    facts.ja4 = ja4(hello);
    if (this.#helloAt < 0) this.#helloAt = ts;
    if (hello.earlyData && !one.protected) {
      this.tls13 = true;
      one.protect13(['CLIENT_EARLY_TRAFFIC_SECRET', 'CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'CLIENT_TRAFFIC_SECRET_0']);
    } else this.earlyData = false;
  }

  #serverHello(one: TlsDirection, server: ServerHello | null, memory: Memory, at: number, length: number): void {
    if (server === null) return;
    const facts = this.#facts;
    this.server = server;
    this.#suite = suiteOf(server.cipher);
    facts.version = versionName(server.version);
    facts.cipher = this.#suite.name;
    const client = this.#directions[one.direction === INGRESS ? EGRESS : INGRESS];
    if (this.hello === null) this.client = client.direction;
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
      if (server.psk) this.#counters.resumed++;
      one.protect13(['SERVER_HANDSHAKE_TRAFFIC_SECRET', 'SERVER_TRAFFIC_SECRET_0']);
      if (!client.protected) client.protect13(['CLIENT_HANDSHAKE_TRAFFIC_SECRET', 'CLIENT_TRAFFIC_SECRET_0']);
      else if (!server.psk) this.#refuseEarlyData(client);
      return;
    }
    this.#transcript = null;
    this.earlyData = false;
    if (server.alpn !== '') facts.alpn = server.alpn;
    facts.resumed = server.sessionId !== '' && server.sessionId === this.hello?.sessionId;
    if (facts.resumed) this.#counters.resumed++;
  }

  #refuseEarlyData(client: TlsDirection): void {
    this.earlyData = false;
    client.keys.without('CLIENT_EARLY_TRAFFIC_SECRET');
  }

  #encryptedExtensions(memory: Memory, at: number, length: number): void {
    const extensions = readEncryptedExtensions(memory, at, length);
    if (extensions === null) return;
    this.#facts.alpn = extensions.alpn;
    if (this.earlyData !== null) return;
    this.#facts.earlyData = extensions.earlyData;
    if (extensions.earlyData) this.earlyData = true;
    else this.#refuseEarlyData(this.#directions[this.client]);
  }

  #certificate(one: TlsDirection, memory: Memory, at: number, length: number): void {
    const certificate = readCertificate(memory, at, length, this.tls13);
    if (one.direction === this.client) this.#facts.clientCertificate = certificate.present;
    else if (certificate.present) {
      this.#facts.certificateNotAfter = certificate.notAfter;
      // A session id may be sent back for other reasons than resumption.
      if (!this.tls13) this.#resumesNot();
    }
  }

  #resumesNot(): void {
    this.#facts.resumed = false;
    this.#keysExchanged = true;
    this.#sessionBegins(this.server?.sessionId ?? '');
  }

  /** TLS 1.2: this handshake's master secret is that of the session which goes by this name from now on. */
  #sessionBegins(name: string): void {
    const random = this.resumedRandom ?? this.hello?.random;
    if (random !== undefined) this.#sessions.note(name, random);
  }

  #finished(one: TlsDirection, ts: number): void {
    if (one.atApplication) return;
    if (one.direction !== this.client) {
      this.#applicationHash = this.#transcript?.digest() ?? null;
      this.#transcript = null;
    } else this.#handshakeDone(ts);
    one.keys.nextEpoch();
  }

  changeCipherSpec(one: TlsDirection): void {
    if (this.tls13) return;
    if (this.server === null && this.hello?.versions.includes(TLS13) === true) return;
    one.protected = true;
    one.keys.change12();
  }

  lost(hidden: boolean): void {
    if (hidden) this.#flightLost = true;
    else this.#broken = true;
    if (this.#transcript !== null) this.#transcript.broken = true;
  }

  /** A protected record begins: the first ones tell how long the handshake took. */
  protectedRecord(one: TlsDirection, ts: number): void {
    const facts = this.#facts;
    if (facts.handshakeNs >= 0) return;
    if (this.tls13) {
      if (one.direction === this.client && this.server !== null && this.hello?.earlyData === false)
        this.#handshakeDone(ts);
      return;
    }
    this.#protectedBy |= 1 << one.direction;
    if (this.#protectedBy === 3) this.#handshakeDone(ts);
  }

  #handshakeDone(ts: number): void {
    if (this.#facts.handshakeNs < 0 && this.#helloAt >= 0 && ts >= this.#helloAt)
      this.#facts.handshakeNs = ts - this.#helloAt;
  }
}
