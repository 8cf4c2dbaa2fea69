/**
 * One direction of a TLS connection: which keys its records are under, and where their content goes.
 *
 *     clear ──ServerHello (1.3), ChangeCipherSpec (1.2)──▶ protected
 *     protected: TLS 1.3 goes through epochs: early data ─▶ handshake ─▶ application; a tag says which one a record is of,
 *     so that a missing handshake secret does not cost the application's bytes. TLS 1.2 changes keys by ChangeCipherSpec.
 *
 * After lost bytes the sequence number, which is a part of the nonce, is found again by trying: a tag fits one alone.
 */
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Direction } from '../model/segment.ts';
import type { StreamEnd } from '../model/stages.ts';
import type { TlsUnreadCause } from '../model/tls.ts';
import { AckMap } from './ack-map.ts';
import type { TlsConnection } from './connection.ts';
import { HANDSHAKE, HandshakeReader, type HandshakeSink } from './handshake.ts';
import { HASH_BYTES } from './libcrypto.ts';
import { RecordProtection } from './protection.ts';
import { isHeader, type Pieces, RecordReader, type RecordSink } from './records.ts';
import { expandLabel } from './schedule.ts';
import { SLOT_BYTES, type Slot } from './secret-memory.ts';
import type { SecretLabel } from './secrets.ts';
import { HEADER_BYTES, RECORD_BYTES_MAX } from './workspace.ts';

const CONTENT = { CHANGE_CIPHER_SPEC: 20, ALERT: 21, HANDSHAKE: 22, APPLICATION_DATA: 23 } as const;

/** Records at the beginning of an epoch whose tags are checked, whatever the policy. */
const VERIFIED_FIRST = 2;
/** Sequence numbers tried for the first record that an epoch's keys open, when records before it could not be read. */
const FIRST_TRIES_MAX = 32;
/** Work for finding the step after one loss: records decrypted, and their bytes. Beyond it the direction is given up. */
const TRIALS_MAX = 4_096;
const TRIAL_BYTES_MAX = 4 << 20;
/** Records behind unknown keys before those that fit come: a handshake's flight, or early data that was refused. */
const SKIPPED_BYTES_MAX = 64 << 10;

/** Secrets tried, newest first, for a record of a connection whose own secret is not known by name; and in all. */
const LATEST_TRIED = 16;
const LATEST_TRIALS_MAX = 1_024;

/** How a protected record was met. */
const OPENED = 0;
const STUCK = 1;
const UNREAD = 2;
const SKIPPED = 3;
type Met = typeof OPENED | typeof STUCK | typeof UNREAD | typeof SKIPPED;

export class TlsDirection implements RecordSink, HandshakeSink {
  readonly direction: Direction;
  readonly reader: RecordReader;
  readonly acks = new AckMap();
  readonly #connection: TlsConnection;
  readonly #messages: HandshakeReader;
  /** Records are protected, whether or not there are keys. */
  protected = false;
  /** It cannot go on without a secret: nothing of it is delivered until one comes or the connection gives up. */
  stuck = false;
  ended = false;
  /** Early data that the server's HelloRetryRequest refused: passed over until the next ClientHello. */
  discard = false;
  /** Decrypted bytes so far, lost ones included. */
  plain = 0;
  /** Keys that a tag has confirmed; null: none for the present epoch. */
  #keys: RecordProtection | null = null;
  /** TLS 1.3: the epochs to come, the present one first, and protections made for them on trial. */
  #epochs: SecretLabel[] = [];
  readonly #candidates = new Map<SecretLabel, RecordProtection>();
  /** The application traffic secret in use, for key updates; -1: none. */
  #secret: Slot = -1;
  /** TLS 1.2: keys that the next record must fit, from ChangeCipherSpec on. */
  #next12 = false;
  /** Protected records met, and bytes passed over, since the epoch's keys are looked for. */
  #met = 0;
  #skipped = 0;
  /** Encrypted bytes lost, and why, while the next record is searched. */
  #lostBytes = 0;
  #lostWhy: LossReason | 'left_out' = 'gap';
  #lostAt = 0;
  /** Bytes lost before keys were in use. */
  #lostClear = 0;
  #trials = 0;
  #trialBytes = 0;
  /** Bytes that the kernel left out while there were no keys: unread like the records around them. */
  #leftOut = 0;
  /** Secrets of others that were tried; the latest of them that the present record was tried with. */
  #latestTrials = 0;
  #latestTried = -1;
  #ending = false;
  /** Nothing more can be read; records are counted. */
  #givenUp: TlsUnreadCause | null = null;

  constructor(connection: TlsConnection, direction: Direction) {
    this.#connection = connection;
    this.direction = direction;
    this.reader = new RecordReader(this);
    this.#messages = new HandshakeReader(this);
  }

  /** What is left of the epochs is the application's data. */
  get atApplication(): boolean {
    return this.protected && this.#epochs.length <= 1;
  }

  /** From the next record on: TLS 1.3 with these epochs. */
  protect13(epochs: readonly SecretLabel[]): void {
    this.protected = true;
    this.#epochs = [...epochs];
  }

  /** An epoch will not come, or not any more (early data refused). */
  without(label: SecretLabel): void {
    const at = this.#epochs.indexOf(label);
    if (at < 0) return;
    this.#epochs.splice(at, 1);
    if (at === 0) this.#dropKeys();
    this.#dropCandidate(label);
  }

  /** The keys of the present epoch have done their work. */
  nextEpoch(): void {
    this.#dropKeys();
    const label = this.#epochs.shift();
    if (label !== undefined) this.#dropCandidate(label);
    this.#met = 0;
  }

  /** From the next record on: TLS 1.2 with the keys of the handshake (RFC 5246 7.1). */
  change12(): void {
    this.#dropKeys();
    this.protected = true;
    this.#next12 = true;
    this.#met = 0;
  }

  // --- RecordSink

  record(memory: Memory, at: number, size: number, pieces: Pieces): boolean {
    const type = memory.view.getUint8(at);
    const connection = this.#connection;
    if (!this.protected) {
      this.#clear(type, memory, at, size, pieces);
      return true;
    }
    if (connection.tls13 && type !== CONTENT.APPLICATION_DATA) {
      // ChangeCipherSpec for middleboxes (RFC 8446 D.4), an alert before keys, a second ClientHello after early data.
      if (type === CONTENT.HANDSHAKE && pieces.holes === 0) {
        this.#messages.take(memory, at + HEADER_BYTES, size - HEADER_BYTES, pieces.ts[0]!);
      }
      return true;
    }
    if (this.discard) return true;
    if (connection.blocks(this)) return false;
    connection.protectedRecord(this, pieces.ts[0]!);
    return this.#protectedRecord(memory, at, size, pieces);
  }

  #clear(type: number, memory: Memory, at: number, size: number, pieces: Pieces): void {
    const connection = this.#connection;
    if (type === CONTENT.HANDSHAKE) {
      if (pieces.holes > 0) {
        this.#messages.reset();
        connection.handshakeLost(false);
      } else this.#messages.take(memory, at + HEADER_BYTES, size - HEADER_BYTES, pieces.ts[0]!);
    } else if (type === CONTENT.CHANGE_CIPHER_SPEC) connection.changeCipherSpec(this);
    else if (type === CONTENT.APPLICATION_DATA) this.#unread(size, 'handshake_unseen', pieces);
  }

  #protectedRecord(memory: Memory, at: number, size: number, pieces: Pieces): boolean {
    const connection = this.#connection;
    const { shared } = connection;
    const met = pieces.holes > 0 ? this.#meetCut(memory, at, size, pieces) : this.#meet(memory, at, size);
    if (met === STUCK) {
      if (this.#givenUp === null && !connection.gaveUp) {
        this.stuck = true;
        connection.waits(pieces.ts[0]!);
        return false;
      }
      this.#met++;
      this.#unread(size, connection.cause(), pieces);
      return true;
    }
    this.stuck = false;
    this.#latestTried = -1;
    if (met === UNREAD) this.#unread(size, this.#givenUp ?? connection.cause(), pieces);
    if (met !== OPENED) {
      this.#met++;
      return true;
    }
    this.#leftOut = 0;
    const keys = this.#keys!;
    if (keys.type === CONTENT.APPLICATION_DATA) {
      if (this.#epochs[0] === 'CLIENT_EARLY_TRAFFIC_SECRET') {
        const verdict = connection.earlyData;
        if (verdict === null && !connection.gaveUp) {
          this.stuck = true;
          connection.waits(pieces.ts[0]!);
          return false;
        }
        keys.sequence++;
        if (verdict === false) return true;
      } else keys.sequence++;
      shared.counters.records++;
      this.#deliver(keys, size, pieces);
      return true;
    }
    keys.sequence++;
    shared.counters.records++;
    if (pieces.holes > 0) return true;
    if (keys.type === CONTENT.HANDSHAKE)
      this.#messages.take(this.#connection.memory, keys.at, keys.bytes, pieces.ts[0]!);
    else if (keys.type === CONTENT.CHANGE_CIPHER_SPEC) connection.changeCipherSpec(this);
    return true;
  }

  /** Opens a whole record, under the present keys or under those that fit it. */
  #meet(memory: Memory, at: number, size: number): Met {
    if (this.#givenUp !== null && this.#keys === null) return UNREAD;
    const { shared } = this.#connection;
    const keys = this.#keys;
    if (keys === null) return this.#bind(memory, at, size);
    const verify =
      shared.verifyAlways || keys.sequence < VERIFIED_FIRST || this.#epochs.length > 1 || keys.cipher.mode === 'ccm';
    if (keys.open(memory, at, size, verify) && plausible(keys.type)) {
      if (verify) shared.counters.verified++;
      return OPENED;
    }
    if (!verify && keys.open(memory, at, size, true) && plausible(keys.type)) {
      shared.counters.verified++;
      return OPENED;
    }
    // A missing message may have ended the epoch; then the next one's keys open the record.
    if (this.#epochs.length > 1 && this.#bind(memory, at, size) === OPENED) return OPENED;
    shared.counters.refused++;
    if (this.#epochs.length > 1) return this.#skip(size);
    this.#connection.unread('out_of_step');
    shared.losses.lose('desync', 1, size);
    this.#lost(size, 'desync');
    return SKIPPED;
  }

  /**
   * A record of which parts are missing, so that nothing vouches for what is there. Only where the kernel left out its end
   * on purpose is the beginning read, and only under keys that are known to be the right ones; else it is a loss.
   */
  #meetCut(memory: Memory, at: number, size: number, pieces: Pieces): Met {
    const { shared, tls13 } = this.#connection;
    const deliberate = !shared.verifyAlways && pieces.isCut;
    const keys = this.#keys ?? (deliberate ? this.#firstKeys(memory, at, size, pieces) : null);
    if (keys === null) {
      if (this.#givenUp !== null) return UNREAD;
      if (!this.#hasSecret()) return this.#connection.gaveUp ? UNREAD : STUCK;
      return tls13 ? this.#passCut(size, pieces) : SKIPPED;
    }
    if (this.#epochs.length > 1) {
      const met = this.#passCut(size, pieces);
      if (met === SKIPPED) keys.sequence++;
      return met;
    }
    const contentEnd = size - keys.cipher.tagBytes;
    const endsKnown = pieces.holesEnd < contentEnd && pieces.known >= contentEnd;
    let type: number = tls13 ? 0 : memory.view.getUint8(at);
    if (keys.seekable && keys.openPart(memory, at, size, pieces.known, endsKnown)) {
      if (keys.type === 0) keys.type = this.#typeOfCut(keys, pieces);
      if (deliberate && keys.type !== 0) return OPENED;
      type = keys.type;
    }
    // The number of records is known; of this one neither content nor, perhaps, type.
    if (type === 0 || type === CONTENT.APPLICATION_DATA)
      this.#gap(Math.max(0, size - keys.overhead), firstHole(pieces), pieces.ts[pieces.count - 1]!);
    else this.#messages.reset();
    keys.sequence++;
    this.#noteEnd(size);
    return SKIPPED;
  }

  /** Passes over a cut record of TLS 1.3 of which it cannot be known, or not yet, which epoch it is of. */
  #passCut(size: number, pieces: Pieces): Met {
    const connection = this.#connection;
    const early = this.#epochs[0] === 'CLIENT_EARLY_TRAFFIC_SECRET';
    if (early && connection.earlyData === null && !connection.gaveUp) return STUCK;
    this.#messages.reset();
    if (!this.atApplication) connection.handshakeLost(true);
    if (this.atApplication || (early && connection.earlyData !== false)) {
      this.#gap(Math.max(0, size - HEADER_BYTES - 17), firstHole(pieces), pieces.ts[0]!);
      this.#noteEnd(size);
    }
    return SKIPPED;
  }

  /** A secret of what comes next is here, though no record has confirmed it. */
  #hasSecret(): boolean {
    if (this.#connection.tls13) return this.#epochs.some((label) => this.#candidate(label) !== null);
    return this.#next12 && this.#connection.secret('CLIENT_RANDOM') !== null;
  }

  /**
   * The kernel cut the very first record under an epoch's keys, whose tag would have confirmed them. The handshake was read to
   * its end, so which record it is is known; the keys are taken if what they give begins like HTTP, which no wrong key gives.
   */
  #firstKeys(memory: Memory, at: number, size: number, pieces: Pieces): RecordProtection | null {
    const label = this.#epochs[0];
    if (!this.#connection.tls13 || this.#epochs.length !== 1 || label === undefined || this.#met > 0) return null;
    if (this.#givenUp !== null || pieces.whole < HEADER_BYTES + BEGINNING_BYTES) return null;
    const keys = this.#candidate(label);
    if (keys === null || !keys.seekable) return null;
    keys.sequence = 0;
    if (!keys.openPart(memory, at, size, pieces.whole, false)) return null;
    if (!beginsLikeHttp(this.#connection.memory, keys.at, this.direction === this.#connection.client)) return null;
    this.#candidates.delete(label);
    this.#keys = keys;
    this.#skipped = 0;
    this.#keepSecret(label);
    return keys;
  }

  /**
   * The type of a TLS 1.3 record without its end, 0 when it cannot be told: what follows a handshake is content, but for
   * a server's ticket and for key updates, which say their own type and length and fill their record.
   */
  #typeOfCut(keys: RecordProtection, pieces: Pieces): number {
    const start = pieces.whole - keys.prefixBytes;
    if (start < 4) return 0;
    const { view } = this.#connection.memory;
    const first = view.getUint8(keys.at);
    const length = view.getUint32(keys.at) & 0xff_ffff;
    const ticket = first === HANDSHAKE.NEW_SESSION_TICKET && this.direction !== this.#connection.client;
    const message = ticket || (first === HANDSHAKE.KEY_UPDATE && length === 1);
    return message && length + 4 === keys.bytes ? CONTENT.HANDSHAKE : CONTENT.APPLICATION_DATA;
  }

  /** Finds the keys that a record is under; the tag decides. */
  #bind(memory: Memory, at: number, size: number): Met {
    return this.#connection.tls13 ? this.#bind13(memory, at, size) : this.#bind12(memory, at, size);
  }

  #bind13(memory: Memory, at: number, size: number): Met {
    const connection = this.#connection;
    let missing = false;
    const from = this.#keys === null ? 0 : 1;
    for (let e = from; e < this.#epochs.length; e++) {
      const label = this.#epochs[e]!;
      const candidate = this.#candidate(label);
      if (candidate === null) {
        missing = true;
        continue;
      }
      // Without records read before it the number is not known for sure: at most as many as were met.
      const tries = Math.min(this.#met, FIRST_TRIES_MAX);
      for (let back = -1; back < tries; back++) {
        candidate.sequence = back < 0 ? 0 : this.#met - back;
        if (!candidate.open(memory, at, size, true) || !plausible(candidate.type)) continue;
        this.#dropKeys();
        this.#candidates.delete(label);
        for (const passed of this.#epochs.splice(0, e)) this.#dropCandidate(passed);
        this.#bound(candidate, label);
        return OPENED;
      }
      connection.shared.counters.trials += tries + 1;
    }
    if (connection.orphan && this.#tryLatest(memory, at, size)) return this.#bind13(memory, at, size);
    if (!connection.supported && !missing) return UNREAD;
    if (missing && !connection.gaveUp && !connection.hopeless) return STUCK;
    if (missing && this.#candidates.size === 0) return STUCK;
    return this.#skip(size);
  }

  #bind12(memory: Memory, at: number, size: number): Met {
    if (!this.#next12) return UNREAD;
    const connection = this.#connection;
    const candidate = connection.keys12(this) ?? this.#latest12(memory, at, size);
    if (candidate === null) return connection.supported ? STUCK : UNREAD;
    const most = this.#met + 1;
    for (candidate.sequence = 0; candidate.sequence < Math.min(most, FIRST_TRIES_MAX); candidate.sequence++) {
      if (!candidate.open(memory, at, size, true)) continue;
      this.#next12 = false;
      this.#bound(candidate, null);
      return OPENED;
    }
    candidate.close();
    connection.shared.counters.refused++;
    connection.unread('wrong_secret');
    this.#givenUp = 'wrong_secret';
    return UNREAD;
  }

  /**
   * What would name this connection's secrets was lost: tries those that came last. A tag that fits names them; the others
   * are then found by their name.
   */
  #tryLatest(memory: Memory, at: number, size: number): boolean {
    const connection = this.#connection;
    const cipher = connection.cipher13();
    if (cipher === null) return false;
    const { store, counters } = connection.shared;
    const from = this.#latestTried;
    this.#latestTried = store.serial;
    for (const label of this.#epochs) {
      for (const found of store.latest(label, LATEST_TRIED, from)) {
        if (found.bytes !== HASH_BYTES[cipher.hash]) continue;
        const keys = RecordProtection.tls13(store.workspace, cipher, store.memory.address(found.slot));
        let fits = false;
        for (let n = 0; n <= Math.min(this.#met, FIRST_TRIES_MAX) && !fits; n++) {
          if (!this.#mayTry(size)) break;
          counters.trials++;
          keys.sequence = n;
          fits = keys.open(memory, at, size, true) && plausible(keys.type);
        }
        keys.close();
        if (fits) {
          connection.adopt(found.identity);
          return true;
        }
      }
    }
    return false;
  }

  #latest12(memory: Memory, at: number, size: number): RecordProtection | null {
    const connection = this.#connection;
    if (!connection.orphan) return null;
    const { store, counters } = connection.shared;
    const from = this.#latestTried;
    this.#latestTried = store.serial;
    for (const { identity } of store.latest('CLIENT_RANDOM', LATEST_TRIED, from)) {
      const keys = this.#mayTry(size) ? connection.keys12(this, identity) : null;
      if (keys === null) continue;
      counters.trials++;
      const fits = keys.open(memory, at, size, true);
      keys.close();
      if (!fits) continue;
      connection.adopt(identity);
      return connection.keys12(this);
    }
    return null;
  }

  #mayTry(size: number): boolean {
    this.#latestTrials++;
    this.#trialBytes += size;
    return this.#latestTrials <= LATEST_TRIALS_MAX && this.#trialBytes <= TRIAL_BYTES_MAX;
  }

  #bound(keys: RecordProtection, label: SecretLabel | null): void {
    const connection = this.#connection;
    keys.bound = true;
    this.#keys = keys;
    this.#skipped = 0;
    connection.shared.counters.verified++;
    if (label === 'CLIENT_TRAFFIC_SECRET_0' || label === 'SERVER_TRAFFIC_SECRET_0') this.#keepSecret(label);
  }

  /** A copy of the application traffic secret: key updates derive the next one from it. */
  #keepSecret(label: SecretLabel): void {
    const { store } = this.#connection.shared;
    const found = this.#connection.secret(label);
    this.#secret = store.memory.take();
    if (found === null || this.#secret < 0) return;
    const { buf } = store.memory.memory;
    buf.copyWithin(this.#secret * SLOT_BYTES, found.slot * SLOT_BYTES, found.slot * SLOT_BYTES + found.bytes);
  }

  #candidate(label: SecretLabel): RecordProtection | null {
    const made = this.#candidates.get(label);
    if (made !== undefined) return made;
    const connection = this.#connection;
    const cipher = connection.cipher13();
    const found = cipher === null ? null : connection.secret(label);
    if (found === null || cipher === null || found.bytes !== HASH_BYTES[cipher.hash]) return null;
    const { store } = connection.shared;
    const candidate = RecordProtection.tls13(store.workspace, cipher, store.memory.address(found.slot));
    this.#candidates.set(label, candidate);
    return candidate;
  }

  /**
   * Passes over a record that no known keys open, while keys for later ones may fit: a flight of the handshake whose
   * secret did not come, or early data that the server refused.
   */
  #skip(size: number): Met {
    const expected = this.#connection.mayPass(this, this.#epochs) || this.#met > 0;
    this.#skipped += size;
    if (expected && this.#skipped <= SKIPPED_BYTES_MAX) return SKIPPED;
    this.#connection.shared.counters.refused++;
    this.#giveUp(this.#connection.orphan ? 'handshake_unseen' : 'wrong_secret');
    return UNREAD;
  }

  lost(bytes: number, why: LossReason | 'left_out', ts: number): void {
    this.#messages.reset();
    if (!this.atApplication) this.#connection.handshakeLost(this.protected);
    if (!this.protected) {
      // Told before keys were in use: a part of the handshake, which is no content, but perhaps early data.
      if (why === 'left_out') this.#leftOut += bytes;
      this.#lostClear += bytes;
      this.reader.searching = true;
      return;
    }
    if (this.#lostBytes === 0) this.#lostAt = ts;
    this.#lost(bytes, why);
  }

  #lost(bytes: number, why: LossReason | 'left_out'): void {
    this.#lostBytes += bytes;
    this.#lostWhy = why;
    this.#trials = 0;
    this.#trialBytes = 0;
    if (!this.reader.searching) this.reader.searching = true;
  }

  dropped(bytes: number): void {
    if (this.protected) this.#lostBytes += bytes;
    this.#connection.shared.losses.lose('desync', 1, bytes);
  }

  find(memory: Memory, from: number, end: number): number {
    for (let at = from; at + HEADER_BYTES <= end; at++) {
      if (!isHeader(memory, at)) continue;
      const size = HEADER_BYTES + memory.view.getUint16(at + 3);
      if (at + size > end) return -1 - at;
      const keys = this.#keys;
      if (keys !== null ? this.#inStep(keys, memory, at, size) : this.#looksRight(memory, at + size, end)) {
        this.#found(at);
        return at;
      }
      if (this.#givenUp !== null) return -1 - end;
    }
    return -1 - Math.max(from, end - HEADER_BYTES + 1);
  }

  /** Without keys: another header follows, or nothing. */
  #looksRight(memory: Memory, next: number, end: number): boolean {
    return next === end || (next + HEADER_BYTES <= end && isHeader(memory, next));
  }

  /** Tries the sequence numbers that this record can have after what was lost. */
  #inStep(keys: RecordProtection, memory: Memory, at: number, size: number): boolean {
    const { counters } = this.#connection.shared;
    const lost = this.#lostBytes + at;
    const first = keys.sequence;
    const fewest = Math.max(0, Math.ceil((lost - keys.overhead) / RECORD_BYTES_MAX) - 1);
    const most = Math.floor(lost / keys.overhead) + 1;
    for (let n = fewest; n <= most; n++) {
      this.#trials++;
      this.#trialBytes += size;
      if (this.#trials > TRIALS_MAX || this.#trialBytes > TRIAL_BYTES_MAX) {
        this.#giveUp('out_of_step');
        break;
      }
      counters.trials++;
      keys.sequence = first + n;
      if (keys.open(memory, at, size, true)) {
        const before = this.#connection.beforeAsked(this, this.reader.position + at);
        const bytes = before ? 0 : Math.max(0, lost - n * keys.overhead);
        this.#gap(bytes, this.#lostWhy, this.#lostAt);
        return true;
      }
    }
    keys.sequence = first;
    return false;
  }

  #found(skipped: number): void {
    if (this.#keys === null) {
      // How many records were lost is not known; the first one that keys open tells.
      const lost = this.#lostBytes + skipped;
      this.#met += Math.max(1, Math.min(FIRST_TRIES_MAX, Math.ceil(lost / 64)));
      if (this.#lostWhy === 'left_out') this.#leftOut += lost;
      const connection = this.#connection;
      const early = connection.tls13 && connection.facts.resumed === true ? this.#lostClear : 0;
      this.#lostClear = 0;
      if (this.protected && !connection.beforeAsked(this, this.reader.position + skipped))
        this.#gap(lost + early, this.#lostWhy, this.#lostAt);
    }
    this.#lostBytes = 0;
  }

  malformed(): boolean {
    if (this.#keys !== null) return false;
    this.#connection.unread('malformed');
    return !this.protected;
  }

  ignored(bytes: number): void {
    if (!this.ended) this.#connection.unreadBytes(this.#givenUp ?? 'malformed', bytes);
  }

  reserve(bytes: number): boolean {
    return this.#connection.shared.reserve(bytes);
  }

  release(bytes: number): void {
    this.#connection.shared.release(bytes);
  }

  // --- HandshakeSink

  handshake(type: number, memory: Memory, at: number, length: number, whole: number, ts: number): void {
    if (type === HANDSHAKE.KEY_UPDATE && this.#connection.tls13) this.#updateKeys();
    else this.#connection.handshake(this, type, memory, at, length, whole, ts);
  }

  /** RFC 8446 7.2: the next secret out of the present one. */
  #updateKeys(): void {
    const keys = this.#keys;
    const { shared } = this.#connection;
    if (keys === null || this.#secret < 0 || this.#epochs.length > 1) return;
    const { workspace: w, memory } = shared.store;
    const { hash } = keys.cipher;
    const size = HASH_BYTES[hash];
    expandLabel(w, hash, memory.address(this.#secret), 'traffic upd', null, 0, 0, size, NEXT_SECRET_AT);
    w.memory.buf.copy(memory.memory.buf, this.#secret * SLOT_BYTES, NEXT_SECRET_AT, NEXT_SECRET_AT + size);
    const next = RecordProtection.tls13(w, keys.cipher, memory.address(this.#secret));
    keys.close();
    this.#keys = next;
    shared.counters.keyUpdates++;
  }

  // --- content

  #deliver(keys: RecordProtection, size: number, pieces: Pieces): void {
    const { at, bytes } = keys;
    const connection = this.#connection;
    const sink = connection.inner().streams[this.direction];
    if (bytes > 0) connection.delivered(this, pieces.ack[0]!);
    const position = this.plain;
    this.plain += bytes;
    if (pieces.count === 1 && pieces.holes === 0) {
      if (bytes > 0)
        sink.data(connection.memory, at, bytes, position, pieces.ts[0]!, connection.ack(this, pieces.ack[0]!));
    } else {
      const prefix = keys.prefixBytes;
      let from = 0;
      for (let i = 0; i < pieces.count && from < bytes; i++) {
        const last = i === pieces.count - 1;
        const to = last ? bytes : Math.min(bytes, Math.max(from, pieces.end[i]! - prefix));
        if (to <= from) continue;
        const why = pieces.why[i]!;
        if (why === null) {
          sink.data(
            connection.memory,
            at + from,
            to - from,
            position + from,
            pieces.ts[i]!,
            connection.ack(this, pieces.ack[i]!),
          );
        } else sink.gap(position + from, to - from, why, pieces.ts[i]!);
        from = to;
      }
    }
    if (bytes > 0) connection.settled();
    this.#noteEnd(size);
  }

  #noteEnd(size: number): void {
    this.acks.note(this.reader.position + size, this.plain);
  }

  /** Content that will never come; who calls it has counted it. */
  #gap(bytes: number, why: LossReason | 'left_out', ts: number): void {
    if (bytes <= 0) return;
    const position = this.plain;
    this.plain += bytes;
    this.#connection.missing(this, position, bytes, why, ts);
  }

  #unread(size: number, cause: TlsUnreadCause, pieces: Pieces): void {
    // What was never sent of a record cut by the end is none of the connection's bytes.
    this.#connection.unreadBytes(cause, (this.#ending ? pieces.known : size) + this.#leftOut);
    this.#leftOut = 0;
    this.#gap(Math.max(0, size - HEADER_BYTES - 17), 'tls_no_secret', pieces.ts[0]!);
    this.#noteEnd(size);
  }

  #giveUp(cause: TlsUnreadCause): void {
    this.#givenUp = cause;
    this.#connection.unread(cause);
    this.#dropKeys();
  }

  end(how: StreamEnd, ts: number): void {
    if (this.ended) return;
    this.ended = true;
    this.#endReader(how === 'fin' ? 'desync' : 'gap', ts);
    if (this.#skipped > 0 && this.#keys === null) {
      this.#connection.unreadBytes('wrong_secret', this.#skipped);
      this.#gap(this.#skipped, 'tls_no_secret', ts);
    }
    if (this.#lostBytes > 0 && this.protected) this.#gap(this.#lostBytes, this.#lostWhy, this.#lostAt);
    this.close();
  }

  /** What is there of a record that never became whole cannot be vouched for. */
  #endReader(why: LossReason, ts: number): void {
    const { reader } = this;
    const { partial, searching, sized } = reader;
    const connection = this.#connection;
    this.#ending = true;
    if (this.#keys !== null && partial > 0) connection.shared.losses.lose(why, 1, partial);
    reader.end(why, ts);
    if (this.#keys !== null) return;
    const lost = searching && this.#lostWhy === 'left_out' ? this.#lostBytes : 0;
    const rest = this.#leftOut + lost + (searching || !sized ? partial : 0);
    if (rest > 0) connection.unreadBytes(this.#givenUp ?? connection.cause(), rest);
  }

  /** Zeroes and frees keys. */
  close(): void {
    this.#dropKeys();
    for (const label of [...this.#candidates.keys()]) this.#dropCandidate(label);
    this.reader.close();
  }

  #dropCandidate(label: SecretLabel): void {
    this.#candidates.get(label)?.close();
    this.#candidates.delete(label);
  }

  #dropKeys(): void {
    this.#keys?.close();
    this.#keys = null;
    if (this.#secret >= 0) this.#connection.shared.store.memory.give(this.#secret);
    this.#secret = -1;
  }
}

/** Free in the workspace while keys are derived (see schedule.ts). */
const NEXT_SECRET_AT = 1_728;

/** Bytes that tell whether they begin like HTTP. */
const BEGINNING_BYTES = 9;
const METHOD = /^[A-Z]{3,7} |^PRI \* HTTP/;
const STATUS_LINE = /^HTTP\/1\.[01] /;

/** A request or status line, or HTTP/2's preface or a SETTINGS frame (RFC 9113 3.4): under a wrong key 1 in 10^7 at most. */
function beginsLikeHttp(memory: Memory, at: number, client: boolean): boolean {
  const text = memory.buf.latin1Slice(at, at + BEGINNING_BYTES);
  if (client) return METHOD.test(text);
  const { view } = memory;
  const settings = view.getUint16(at) === 0 && view.getUint8(at + 3) === 4 && view.getUint32(at + 5) === 0;
  return STATUS_LINE.test(text) || settings;
}

const plausible = (type: number): boolean => type >= CONTENT.CHANGE_CIPHER_SPEC && type <= 24;

const firstHole = (pieces: Pieces): LossReason | 'left_out' =>
  pieces.why.slice(0, pieces.count).find((w) => w !== null) ?? 'gap';
