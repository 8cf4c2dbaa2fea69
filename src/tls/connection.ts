/**
 * A TLS connection between tcp and http: reads its handshake, gets its secrets, opens its records, and feeds the decoder
 * of what is inside. What cannot be read yet waits, in the order in which it came, for a bounded time and in bounded
 * memory; then it is counted with its cause, and whatever can still be read goes on.
 */
import type { Memory } from '../base/memory.ts';
import type { Connection, ConnectionStart } from '../model/connection.ts';
import type { LossReason } from '../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../model/stages.ts';
import { TlsFacts, type TlsUnreadCause } from '../model/tls.ts';
import { fatalAlert } from './alerts.ts';
import { Backlog, type BacklogOwner } from './backlog.ts';
import type { Content } from './content.ts';
import { TlsDirection } from './direction.ts';
import { keyBlock } from './key-block.ts';
import { Negotiation } from './negotiation.ts';
import { RecordProtection } from './protection.ts';
import { ANY_IDENTITY, type FoundSecret, SECRET_LABELS, type SecretLabel, type SecretWaiter } from './secrets.ts';
import type { Expiring, TlsShared } from './shared.ts';
import type { Spares } from './spares.ts';

/** What the TLS stage knows of a stream of bytes that it decrypts. */
export interface InnerFacts {
  readonly secure: true;
  readonly alpn: string | null;
  readonly start: ConnectionStart;
}
export type InnerFactory = (facts: InnerFacts) => ConnectionDecoder;

export class TlsConnection implements ConnectionDecoder, SecretWaiter, Expiring, BacklogOwner {
  readonly streams: readonly [TlsStream, TlsStream];
  readonly shared: TlsShared;
  readonly facts = new TlsFacts();
  readonly directions: readonly [TlsDirection, TlsDirection];
  readonly negotiation: Negotiation;
  /** It waited for secrets long enough. */
  gaveUp: boolean;
  deadline = 0;

  readonly #connection: Connection;
  readonly #backlog = new Backlog(this);
  #settled = false;
  readonly #make: InnerFactory;
  #inner: ConnectionDecoder | null = null;
  /** Decrypted bytes that miss from before there was a decoder for them. */
  readonly #missing: [LossReason | 'left_out' | null, LossReason | 'left_out' | null] = [null, null];
  /** How the content of each direction ended. */
  readonly #ends: [{ how: StreamEnd; ts: number } | null, { how: StreamEnd; ts: number } | null] = [null, null];
  /** Names that it waits for. */
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
    this.directions = [new TlsDirection(this, INGRESS), new TlsDirection(this, EGRESS)];
    this.negotiation = new Negotiation(this.facts, this.directions, shared);
    this.streams = [new TlsStream(this, INGRESS), new TlsStream(this, EGRESS)];
  }

  /** Where opened records are. */
  get memory(): Memory {
    return this.shared.store.workspace.memory;
  }

  tick(now: number): void {
    this.#inner?.tick(now);
  }

  // --- what comes

  data(direction: Direction, memory: Memory, offset: number, length: number, ts: number, ack: number): void {
    const backlog = this.#backlog;
    let taken = 0;
    if (!backlog.holds(direction)) {
      taken = this.directions[direction].reader.take(memory, offset, length, ts, ack);
      if (taken === length && backlog.empty) return;
    }
    if (taken < length && !backlog.data(direction, memory, offset + taken, length - taken, ts, ack)) {
      this.unread('limit');
      this.#goOn();
      // What was held has been read or counted; what comes now is too, in its turn.
      if (!backlog.holds(direction))
        taken += this.directions[direction].reader.take(memory, offset + taken, length - taken, ts, ack);
      if (taken < length) this.shared.unread('limit', length - taken);
    }
    backlog.drain();
  }

  gap(direction: Direction, length: number, why: LossReason | 'left_out', ts: number): void {
    if (!this.#backlog.holds(direction) && !this.directions[direction].stuck)
      this.directions[direction].reader.gap(length, why, ts);
    else this.#backlog.gap(direction, length, why, ts);
    if (!this.#backlog.empty) this.#backlog.drain();
  }

  followed(direction: Direction, records: number, turns: number, turn: boolean): void {
    this.shared.counters.turns[this.#holds][direction === this.negotiation.client ? 'request' : 'response'] += turns;
    // Behind something that waits the next record is searched.
    if (records === 0 || this.#backlog.holds(direction) || this.directions[direction].stuck) return;
    if (this.directions[direction].reader.passed(records)) this.#inner?.streams[direction].followed?.(0, 0, turn);
  }

  /** What is inside, as far as it is known: what does not speak HTTP/2 takes turns. */
  get #holds(): 'http1' | 'http2' | 'unread' {
    if (this.facts.alpn === 'h2') return 'http2';
    return this.#inner === null && this.gaveUp ? 'unread' : 'http1';
  }

  end(direction: Direction, how: StreamEnd, ts: number): void {
    if (!this.#backlog.holds(direction) && !this.directions[direction].stuck) this.ended(direction, how, ts);
    else this.#backlog.end(direction, how, ts);
    if (!this.#backlog.empty) this.#backlog.drain();
  }

  ended(direction: Direction, how: StreamEnd, ts: number): void {
    this.directions[direction].end(how, ts);
    this.contentEnds(direction, how, ts);
    if (this.directions[INGRESS].ended && this.directions[EGRESS].ended) this.#release();
  }

  /** The first word counts: close_notify, or the end of the bytes. */
  contentEnds(direction: Direction, how: StreamEnd, ts: number): void {
    if (this.#ends[direction] !== null) return;
    this.#ends[direction] = { how, ts };
    this.#inner?.streams[direction].end(how, ts);
  }

  // --- waiting

  /** A direction cannot go on without a secret. */
  waits(ts: number): void {
    const { shared } = this;
    if (!shared.waiting.has(this)) {
      this.deadline = Math.max(0, ts) + shared.limits.waitNs;
      shared.waiting.add(this);
    }
    const names: (string | null)[] = [...this.negotiation.names];
    if (this.orphan) names.push(ANY_IDENTITY);
    for (const identity of names) {
      if (identity === null || this.#identities.includes(identity)) continue;
      this.#identities.push(identity);
      shared.store.wait(identity, this);
    }
  }

  secretCame(): void {
    this.#backlog.drain();
  }

  expire(): void {
    this.#goOn();
  }

  /** Without the secrets that did not come. */
  #goOn(): void {
    this.gaveUp = true;
    this.waitNoMore();
    this.#backlog.drain();
  }

  waitNoMore(): void {
    this.shared.waiting.delete(this);
    for (const identity of this.#identities) this.shared.store.unwait(identity, this);
    this.#identities = [];
  }

  #release(): void {
    this.settled();
    this.waitNoMore();
    for (const one of this.directions) one.close();
    this.negotiation.close();
  }

  /** Content of a direction waits until the other one, which may come first, knows whether it can be read. */
  blocks(one: TlsDirection): boolean {
    return this.directions[one.direction === INGRESS ? EGRESS : INGRESS].stuck && one.atApplication && !this.gaveUp;
  }

  // --- secrets

  /** A secret of this connection; null when it is not here. */
  secret(label: SecretLabel): FoundSecret | null {
    const { store } = this.shared;
    for (const identity of this.#adopted) {
      const found = store.find(label, identity);
      if (found !== null) return found;
    }
    const { hello } = this.negotiation;
    if (hello === null) return null;
    const found = store.find(label, hello.random);
    if (found !== null) return found;
    if (label === 'CLIENT_RANDOM') {
      const resumed = this.negotiation.resumedRandom;
      return resumed === null ? null : store.find(label, resumed);
    }
    if (!store.transcripts) return null;
    const hash = this.negotiation.hashOf(label);
    return hash === null ? null : store.find(label, hash);
  }

  /** What its secrets are known by was lost with a part of the handshake, but not what they are good for. */
  get orphan(): boolean {
    const { supported, hello, tls13, transcriptLost } = this.negotiation;
    return supported && (hello === null || (tls13 && transcriptLost && this.shared.store.transcripts));
  }

  /** A tag says that the secrets of this name are this connection's. */
  adopt(identity: string): void {
    if (!this.#adopted.includes(identity)) this.#adopted.push(identity);
  }

  /** Waiting for a secret leads to nothing. */
  get hopeless(): boolean {
    const { hello, server, supported } = this.negotiation;
    return (hello === null && !this.orphan) || (server !== null && !supported);
  }

  /** Records that none of an epoch's known keys open are to be expected now. */
  mayPass(direction: Direction, epochs: readonly SecretLabel[]): boolean {
    const { hello, client, transcriptLost } = this.negotiation;
    if (hello?.earlyData === true && direction === client) return true;
    return transcriptLost || epochs.some((label) => this.secret(label) === null);
  }

  /**
   * TLS 1.2: protection of a direction by the keys of the latest handshake; null: no secret, or none helps. `orphaned`: the
   * client random to try where the ClientHello was lost.
   */
  keys12(direction: Direction, orphaned = this.#adopted[0]): RecordProtection | null {
    const { server, cipher, supported, client, hello } = this.negotiation;
    const random = hello?.random ?? orphaned;
    if (server === null || random === undefined || cipher === null || !supported) return null;
    const { workspace, memory } = this.shared.store;
    const found = hello === null ? this.shared.store.find('CLIENT_RANDOM', random) : this.secret('CLIENT_RANDOM');
    if (found === null) return null;
    const master = memory.address(found.slot);
    const own = direction === client ? 'client' : 'server';
    const keys = keyBlock(workspace, cipher, master, found.bytes, random, server, own);
    const made = RecordProtection.tls12(workspace, cipher, keys, memory);
    workspace.clean();
    return made;
  }

  // --- what comes out

  /** The decoder of what is inside, from the first decrypted byte on. */
  inner(): ConnectionDecoder {
    if (this.#inner !== null) return this.#inner;
    const start: ConnectionStart = this.negotiation.hello !== null && !this.negotiation.broken ? 'opened' : 'joined';
    const { facts } = this;
    facts.decrypted = true;
    this.shared.counters.decrypted++;
    const inner = this.#make({ secure: true, alpn: facts.alpn === '' ? null : facts.alpn, start });
    this.#inner = inner;
    for (const { direction, content } of this.directions) {
      const why = this.#missing[direction];
      const end = this.#ends[direction];
      const ts = end?.ts ?? this.negotiation.helloAt;
      if (why !== null && content.bytes > 0) inner.streams[direction].gap(0, content.bytes, why, ts);
      if (end !== null) inner.streams[direction].end(end.how, end.ts);
    }
    return inner;
  }

  /** What a segment of `direction` acknowledges, in decrypted bytes of the other one; -1: not known. */
  ack(direction: Direction, encrypted: number): number {
    const { reader, content } = this.directions[direction === INGRESS ? EGRESS : INGRESS];
    content.acknowledged = encrypted;
    // Beyond what came there are bytes that are missing: how much content they were is known when they are given up.
    return encrypted > reader.position + reader.partial ? -1 : content.acks.at(encrypted);
  }

  /** A record of `direction` ended at `position`: the source hears what of the next ones nobody needs, unless each tag is to be checked. */
  spare(direction: Direction, spares: Spares, position: number): void {
    const { wire, proxyBytes } = this.#connection;
    if (wire === null || this.shared.verifyAlways || (this.#inner === null && !this.gaveUp)) return;
    const before = direction === this.negotiation.client ? proxyBytes : 0;
    const unread = this.#inner === null || this.directions[direction].keys.givenUp !== null;
    spares.recordEnds(position, unread ? null : this.#inner!.streams[direction], wire, direction, before);
  }

  /** Content has come out, or none will. */
  settled(): void {
    if (this.#settled) return;
    this.#settled = true;
    // Who opened a connection older than the capture was not seen; who says hello is the client.
    if (this.negotiation.hello !== null && this.#connection.clientDirection < 0)
      this.#connection.clientDirection = this.negotiation.client;
    this.shared.settled(this.#connection);
  }

  /** Content comes out; its segment acknowledges `encrypted` bytes of the other direction. */
  delivered(content: Content, encrypted: number): void {
    if (content.direction === this.negotiation.client && content.bytes === 0 && this.#askedAt < 0)
      this.#askedAt = encrypted;
  }

  /**
   * The server had sent its bytes before `encrypted` when it could not have been asked for anything: in HTTP/1 they are
   * tickets, no content.
   */
  beforeAsked(one: TlsDirection, encrypted: number): boolean {
    const { tls13, hello, client } = this.negotiation;
    if (!tls13 || hello === null || one.direction === client || one.content.bytes > 0) return false;
    const { alpn, alpnOffered } = this.facts;
    const h1 = alpn === 'http/1.1' || !alpnOffered.includes('h2');
    const asker = this.directions[client];
    const silent = asker.content.bytes === 0 && !asker.stuck && !this.#backlog.holds(client);
    return h1 && (this.#askedAt < 0 ? silent : encrypted <= this.#askedAt);
  }

  /** The client's content has been read, to which this direction of the server's is the answer. */
  hasAsked(one: TlsDirection): boolean {
    const { client } = this.negotiation;
    return one.direction !== client && this.directions[client].content.bytes > 0;
  }

  /** Decrypted bytes [position, position + bytes) of a direction will never come. */
  missing(direction: Direction, position: number, bytes: number, why: LossReason | 'left_out', ts: number): void {
    if (this.#inner !== null) this.#inner.streams[direction].gap(position, bytes, why, ts);
    else this.#missing[direction] ??= why;
  }

  /** Why records of a direction cannot be read now. */
  cause(): TlsUnreadCause {
    const { hello, server, broken, supported } = this.negotiation;
    if (this.facts.unread === 'limit') return 'limit';
    if ((hello === null && this.#adopted.length === 0) || server === null || broken) return 'handshake_unseen';
    if (!supported) return 'unsupported';
    if (this.orphan && this.#adopted.length === 0) return 'handshake_unseen';
    const some = SECRET_LABELS.some((label) => this.secret(label) !== null);
    return some ? 'partial_secret' : 'no_secret';
  }

  /** An alert at `at`: what it says of the connection. */
  alerted(direction: Direction, memory: Memory, at: number): void {
    const alert = fatalAlert(memory.view.getUint8(at), memory.view.getUint8(at + 1));
    if (alert === '' || this.facts.alert !== null) return;
    const { client, hello, server } = this.negotiation;
    const seen = hello !== null || server !== null;
    this.facts.alert = { alert, by: seen ? (direction === client ? 'client' : 'server') : 'unknown' };
    this.shared.alerted(this.facts.alert);
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

  followed(records: number, turns: number, turn: boolean): void {
    this.#connection.followed(this.#direction, records, turns, turn);
  }

  end(how: StreamEnd, ts: number): void {
    this.#connection.end(this.#direction, how, ts);
  }
}
