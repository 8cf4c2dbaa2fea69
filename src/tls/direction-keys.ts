/**
 * The keys of one direction: which come next, which a record fits, and what is derived from them. A tag decides, always: TLS
 * 1.3 goes through epochs (early data, handshake, application), and the tag says which one a record is of, so that a missing
 * handshake secret does not cost the application's bytes. TLS 1.2 changes keys by ChangeCipherSpec.
 */
import type { Memory } from '../base/memory.ts';
import type { Direction } from '../model/segment.ts';
import type { TlsUnreadCause } from '../model/tls.ts';
import type { TlsConnection } from './connection.ts';
import { HASH_BYTES } from './libcrypto.ts';
import { RecordProtection } from './protection.ts';
import { isContentType } from './records.ts';
import { expandLabel } from './schedule.ts';
import { SLOT_BYTES, type Slot } from './secret-memory.ts';
import type { SecretLabel } from './secrets.ts';

/** Sequence numbers tried for the first record that an epoch's keys open, when records before it could not be read. */
export const FIRST_TRIES_MAX = 32;
/** Records behind unknown keys before those that fit come: a handshake's flight, or early data that was refused. */
const SKIPPED_BYTES_MAX = 64 << 10;
/** Secrets tried, newest first, for a record of a connection whose own secret is not known by name; and in all. */
const LATEST_TRIED = 16;
const LATEST_TRIALS_MAX = 1_024;
const LATEST_BYTES_MAX = 4 << 20;

/** How a protected record was met. */
export const OPENED = 0;
export const STUCK = 1;
export const UNREAD = 2;
export const SKIPPED = 3;
export type Met = typeof OPENED | typeof STUCK | typeof UNREAD | typeof SKIPPED;

export class DirectionKeys {
  /** Keys that a tag has confirmed; null: none for the present epoch. */
  current: RecordProtection | null = null;
  /** TLS 1.3: the epochs to come, the present one first. */
  epochs: SecretLabel[] = [];
  /** Protected records met, and bytes passed over, since the epoch's keys are looked for. */
  met = 0;
  skipped = 0;
  /** Nothing more can be read. */
  givenUp: TlsUnreadCause | null = null;
  readonly #connection: TlsConnection;
  readonly #direction: Direction;
  /** Protections made for epochs on trial. */
  readonly #candidates = new Map<SecretLabel, RecordProtection>();
  /** The application traffic secret in use, for key updates; -1: none. */
  #secret: Slot = -1;
  /** TLS 1.2: keys that the next record must fit, from ChangeCipherSpec on. */
  #next12 = false;
  /** Secrets of others that were tried, in all; the latest of them that the present record was tried with. */
  #latestTrials = 0;
  #latestBytes = 0;
  #latestTried = -1;

  constructor(connection: TlsConnection, direction: Direction) {
    this.#connection = connection;
    this.#direction = direction;
  }

  /** An epoch will not come, or not any more (early data refused). */
  without(label: SecretLabel): void {
    const at = this.epochs.indexOf(label);
    if (at < 0) return;
    this.epochs.splice(at, 1);
    if (at === 0) this.drop();
    this.#dropCandidate(label);
  }

  /** The keys of the present epoch have done their work. */
  nextEpoch(): void {
    this.drop();
    const label = this.epochs.shift();
    if (label !== undefined) this.#dropCandidate(label);
    this.met = 0;
  }

  /** From the next record on: TLS 1.2 with the keys of the handshake (RFC 5246 7.1). */
  change12(): void {
    this.drop();
    this.#next12 = true;
    this.met = 0;
  }

  /** The record that waited for keys has been dealt with. */
  proceed(): void {
    this.#latestTried = -1;
  }

  /** A secret of what comes next is here, though no record has confirmed it. */
  get hasSecret(): boolean {
    if (this.#connection.negotiation.tls13) return this.epochs.some((label) => this.#candidate(label) !== null);
    return this.#next12 && this.#connection.secret('CLIENT_RANDOM') !== null;
  }

  /** Finds the keys that a whole record is under. */
  bind(memory: Memory, at: number, size: number): Met {
    return this.#connection.negotiation.tls13 ? this.#bind13(memory, at, size) : this.#bind12(memory, at, size);
  }

  #bind13(memory: Memory, at: number, size: number): Met {
    const connection = this.#connection;
    let missing = false;
    const from = this.current === null ? 0 : 1;
    for (let e = from; e < this.epochs.length; e++) {
      const label = this.epochs[e]!;
      const candidate = this.#candidate(label);
      if (candidate === null) {
        missing = true;
        continue;
      }
      // Without records read before it the number is not known for sure: at most as many as were met.
      const tries = Math.min(this.met, FIRST_TRIES_MAX);
      for (let back = -1; back < tries; back++) {
        candidate.sequence = back < 0 ? 0 : this.met - back;
        if (!candidate.open(memory, at, size, true) || !isContentType(candidate.type)) continue;
        this.drop();
        this.#candidates.delete(label);
        for (const passed of this.epochs.splice(0, e)) this.#dropCandidate(passed);
        this.#bound(candidate, label);
        return OPENED;
      }
      connection.shared.counters.trials += tries + 1;
    }
    if (connection.orphan && this.#tryLatest(memory, at, size)) return this.#bind13(memory, at, size);
    if (!connection.negotiation.supported && !missing) return UNREAD;
    if (missing && !connection.gaveUp && !connection.hopeless) return STUCK;
    if (missing && this.#candidates.size === 0) return STUCK;
    return this.skip(size);
  }

  #bind12(memory: Memory, at: number, size: number): Met {
    if (!this.#next12) return UNREAD;
    const connection = this.#connection;
    const candidate = connection.keys12(this.#direction) ?? this.#latest12(memory, at, size);
    if (candidate === null) return connection.negotiation.supported ? STUCK : UNREAD;
    const most = this.met + 1;
    for (candidate.sequence = 0; candidate.sequence < Math.min(most, FIRST_TRIES_MAX); candidate.sequence++) {
      if (!candidate.open(memory, at, size, true)) continue;
      this.#next12 = false;
      this.#bound(candidate, null);
      return OPENED;
    }
    candidate.close();
    connection.shared.counters.refused++;
    connection.unread('wrong_secret');
    this.givenUp = 'wrong_secret';
    return UNREAD;
  }

  /**
   * What would name this connection's secrets was lost: tries those that came last. A tag that fits names them; the others
   * are then found by their name.
   */
  #tryLatest(memory: Memory, at: number, size: number): boolean {
    const connection = this.#connection;
    const cipher = connection.negotiation.cipher13();
    if (cipher === null) return false;
    const { store, counters } = connection.shared;
    const from = this.#latestTried;
    this.#latestTried = store.serial;
    for (const label of this.epochs) {
      for (const found of store.latest(label, LATEST_TRIED, from)) {
        if (found.bytes !== HASH_BYTES[cipher.hash]) continue;
        const keys = RecordProtection.tls13(store.workspace, cipher, store.memory.address(found.slot));
        let fits = false;
        for (let n = 0; n <= Math.min(this.met, FIRST_TRIES_MAX) && !fits; n++) {
          if (!this.#mayTry(size)) break;
          counters.trials++;
          keys.sequence = n;
          fits = keys.open(memory, at, size, true) && isContentType(keys.type);
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
      const keys = this.#mayTry(size) ? connection.keys12(this.#direction, identity) : null;
      if (keys === null) continue;
      counters.trials++;
      const fits = keys.open(memory, at, size, true);
      keys.close();
      if (!fits) continue;
      connection.adopt(identity);
      return connection.keys12(this.#direction);
    }
    return null;
  }

  #mayTry(size: number): boolean {
    this.#latestTrials++;
    this.#latestBytes += size;
    return this.#latestTrials <= LATEST_TRIALS_MAX && this.#latestBytes <= LATEST_BYTES_MAX;
  }

  #bound(keys: RecordProtection, label: SecretLabel | null): void {
    keys.bound = true;
    this.current = keys;
    this.skipped = 0;
    this.#connection.shared.counters.verified++;
    if (label === 'CLIENT_TRAFFIC_SECRET_0' || label === 'SERVER_TRAFFIC_SECRET_0') this.#keepSecret(label);
  }

  /** Keys of the only epoch that is left, before any tag has confirmed them; null: there are none. */
  unconfirmed(): RecordProtection | null {
    const label = this.epochs[0];
    if (!this.#connection.negotiation.tls13 || this.epochs.length !== 1 || label === undefined || this.met > 0)
      return null;
    return this.givenUp === null ? this.#candidate(label) : null;
  }

  /** Takes what `unconfirmed` gave: something else than a tag vouches for it. */
  take(keys: RecordProtection): void {
    const label = this.epochs[0]!;
    this.#candidates.delete(label);
    this.current = keys;
    this.skipped = 0;
    this.#keepSecret(label);
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
    const cipher = connection.negotiation.cipher13();
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
  skip(size: number): Met {
    const expected = this.#connection.mayPass(this.#direction, this.epochs) || this.met > 0;
    this.skipped += size;
    if (expected && this.skipped <= SKIPPED_BYTES_MAX) return SKIPPED;
    this.#connection.shared.counters.refused++;
    this.giveUp(this.#connection.orphan ? 'handshake_unseen' : 'wrong_secret');
    return UNREAD;
  }

  giveUp(cause: TlsUnreadCause): void {
    this.givenUp = cause;
    this.#connection.unread(cause);
    this.drop();
  }

  /** RFC 8446 7.2: the next secret out of the present one. */
  update(): void {
    const keys = this.current;
    const { shared } = this.#connection;
    if (keys === null || this.#secret < 0 || this.epochs.length > 1) return;
    const { workspace: w, memory } = shared.store;
    const { hash } = keys.cipher;
    const size = HASH_BYTES[hash];
    expandLabel(w, hash, memory.address(this.#secret), 'traffic upd', null, 0, 0, size, NEXT_SECRET_AT);
    w.memory.buf.copy(memory.memory.buf, this.#secret * SLOT_BYTES, NEXT_SECRET_AT, NEXT_SECRET_AT + size);
    const next = RecordProtection.tls13(w, keys.cipher, memory.address(this.#secret));
    keys.close();
    this.current = next;
    shared.counters.keyUpdates++;
  }

  /** Zeroes and frees the present keys. */
  drop(): void {
    this.current?.close();
    this.current = null;
    if (this.#secret >= 0) this.#connection.shared.store.memory.give(this.#secret);
    this.#secret = -1;
  }

  #dropCandidate(label: SecretLabel): void {
    this.#candidates.get(label)?.close();
    this.#candidates.delete(label);
  }

  /** Zeroes and frees all keys. */
  close(): void {
    this.drop();
    for (const label of [...this.#candidates.keys()]) this.#dropCandidate(label);
  }
}

/** Free in the workspace while keys are derived (see schedule.ts). */
const NEXT_SECRET_AT = 1_728;
