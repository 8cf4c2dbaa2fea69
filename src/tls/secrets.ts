/**
 * Secrets that wait for their connection, and connections that wait for their secret. A secret is known by the client
 * random of its handshake (key logs, Go's writeKeyLog, TLS 1.2 everywhere), or by the transcript hash it was derived with
 * (what OpenSSL's EVP_KDF_derive shows in TLS 1.3: RFC 8446 7.1); both lead to one connection without trying. Where
 * neither can be had because records of the handshake were lost, the latest ones are tried: a tag decides.
 *
 * A secret stays after its use: with both ends of a connection in scope it is needed twice. It goes by age or number.
 */
import type { Memory } from '../base/memory.ts';
import { HASH_BYTES, type HashName } from './libcrypto.ts';
import { expandLabel } from './schedule.ts';
import { SECRET_BYTES_MAX, SecretMemory, SLOT_BYTES, type Slot } from './secret-memory.ts';
import { Workspace } from './workspace.ts';

/** As key logs name them (draft-ietf-tls-keylogfile). CLIENT_RANDOM: the master secret of TLS 1.2. */
export const SECRET_LABELS = [
  'CLIENT_RANDOM',
  'CLIENT_EARLY_TRAFFIC_SECRET',
  'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'CLIENT_TRAFFIC_SECRET_0',
  'SERVER_TRAFFIC_SECRET_0',
] as const;
export type SecretLabel = (typeof SECRET_LABELS)[number];

/** TLS 1.3's own labels of the traffic secrets (RFC 8446 7.1). */
export const TRAFFIC_LABELS: Readonly<Record<string, SecretLabel>> = {
  'c e traffic': 'CLIENT_EARLY_TRAFFIC_SECRET',
  'c hs traffic': 'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
  's hs traffic': 'SERVER_HANDSHAKE_TRAFFIC_SECRET',
  'c ap traffic': 'CLIENT_TRAFFIC_SECRET_0',
  's ap traffic': 'SERVER_TRAFFIC_SECRET_0',
};

export const RANDOM_BYTES = 32;

export interface SecretLimits {
  /** Secrets kept; the oldest makes room. */
  readonly secrets: number;
  /** Nanoseconds for which a secret is kept. */
  readonly ageNs: number;
}
/** Live: a handshake is over in seconds, and its two legs see it at once. */
export const LIVE_SECRET_LIMITS: SecretLimits = { secrets: 65_536, ageNs: 60e9 };
/** A key log is read before its capture. */
export const FILE_SECRET_LIMITS: SecretLimits = { secrets: 1_000_000, ageNs: Number.POSITIVE_INFINITY };

/** A connection that cannot go on without a secret. */
export interface SecretWaiter {
  /** A secret came under one of the keys that it waits for. */
  secretCame(): void;
}

/** Names kept of each label's latest secrets. */
const RECENT_KEPT = 16;

export interface SecretCounters {
  /** Taken in; `repeated` of them were there already. */
  added: number;
  repeated: number;
  /** Refused: a length that no TLS secret has. */
  malformed: number;
  /** Gone before anybody asked for them: by age or to make room, and which were never used. */
  unused: number;
}

interface Entry {
  readonly slot: Slot;
  readonly bytes: number;
  readonly at: number;
  /** Rises with each that comes. */
  readonly serial: number;
  used: boolean;
}

/** A secret where it lies: `bytes` of it in `slot`. Valid until the store's next change. */
export interface FoundSecret {
  readonly slot: Slot;
  readonly bytes: number;
}

/** A secret that is not known by its name. */
export interface NamedSecret extends FoundSecret {
  readonly identity: string;
}

/** To be waited for by who does not know the name of its secret: woken by each that comes. */
export const ANY_IDENTITY = '';

export class SecretStore {
  readonly memory: SecretMemory;
  readonly workspace = new Workspace();
  readonly counters: SecretCounters = { added: 0, repeated: 0, malformed: 0, unused: 0 };
  /** Secrets may come that are known by their transcript hash only: connections have to compute theirs. */
  readonly transcripts: boolean;
  readonly #limits: SecretLimits;
  /** By label: identity (client random or transcript hash, as latin1; both are public) to secret, oldest first. */
  readonly #byLabel = new Map<SecretLabel, Map<string, Entry>>();
  /** The names of each label's latest, oldest first. */
  readonly #recent = new Map<SecretLabel, string[]>();
  readonly #waiting = new Map<string, Set<SecretWaiter>>();
  #size = 0;
  #serial = 0;

  constructor(limits: SecretLimits, transcripts: boolean, memory = new SecretMemory()) {
    this.#limits = limits;
    this.transcripts = transcripts;
    this.memory = memory;
  }

  /** Maps all memory now, not with the first secret: for a process that may load nothing later. */
  prepare(): void {
    this.memory.map();
    this.workspace.map();
  }

  /** Of the secret that came last. */
  get serial(): number {
    return this.#serial;
  }

  /** Secrets kept now. */
  get size(): number {
    return this.#size;
  }

  /**
   * Takes in a secret: `identity` (client random, or transcript hash) is `identityBytes` at `from[identityAt]`, the secret
   * `bytes` at `from[secretAt]`, copied. `now` in nanoseconds. The caller zeroes its own copy. False: refused and counted.
   */
  add(
    label: SecretLabel,
    from: Memory,
    identityAt: number,
    identityBytes: number,
    secretAt: number,
    bytes: number,
    now: number,
  ): boolean {
    const fits = label === 'CLIENT_RANDOM' ? bytes === SECRET_BYTES_MAX : bytes === 32 || bytes === 48;
    if (!fits || (identityBytes !== 32 && identityBytes !== 48)) {
      this.counters.malformed++;
      return false;
    }
    const identity = from.buf.latin1Slice(identityAt, identityAt + identityBytes);
    const entries = this.#byLabel.get(label) ?? new Map<string, Entry>();
    this.#byLabel.set(label, entries);
    this.counters.added++;
    const known = entries.get(identity);
    if (known !== undefined) {
      // A key log written by both ends names everything twice; another secret for the same handshake replaces the first.
      const at = known.slot * SLOT_BYTES;
      if (
        known.bytes === bytes &&
        from.buf.compare(this.memory.memory.buf, at, at + bytes, secretAt, secretAt + bytes) === 0
      ) {
        this.counters.repeated++;
        return true;
      }
      this.#drop(entries, identity, known);
    }
    if (this.#size >= this.#limits.secrets) this.#dropOldest();
    let slot = this.memory.take();
    if (slot < 0) {
      this.#dropOldest();
      slot = this.memory.take();
      if (slot < 0) return false;
    }
    from.buf.copy(this.memory.memory.buf, slot * SLOT_BYTES, secretAt, secretAt + bytes);
    entries.set(identity, { slot, bytes, at: now, serial: ++this.#serial, used: false });
    this.#size++;
    const recent = this.#recent.get(label) ?? [];
    this.#recent.set(label, recent);
    recent.push(identity);
    if (recent.length > RECENT_KEPT) recent.shift();
    for (const name of [identity, ANY_IDENTITY]) {
      const waiters = this.#waiting.get(name);
      if (waiters !== undefined) for (const waiter of [...waiters]) waiter.secretCame();
    }
    return true;
  }

  /**
   * Takes in what OpenSSL's TLS13-KDF is called with (EVP_KDF_derive, mode EXPAND_ONLY): the input secret, `bytes` at
   * `from[secretAt]`, and the transcript hash it is expanded with, at `from[hashAt]`. The traffic secret is derived here.
   */
  addExpansion(
    label: SecretLabel,
    hash: HashName,
    from: Memory,
    secretAt: number,
    bytes: number,
    hashAt: number,
    now: number,
  ): boolean {
    const size = HASH_BYTES[hash];
    const name = Object.keys(TRAFFIC_LABELS).find((key) => TRAFFIC_LABELS[key] === label);
    if (bytes !== size || name === undefined) {
      this.counters.malformed++;
      return false;
    }
    const { workspace: w } = this;
    from.buf.copy(w.memory.buf, INPUT_AT, secretAt, secretAt + bytes);
    expandLabel(w, hash, w.address + INPUT_AT, name, from, hashAt, size, size, OUTPUT_AT);
    from.buf.copy(w.memory.buf, IDENTITY_AT, hashAt, hashAt + size);
    const added = this.add(label, w.memory, IDENTITY_AT, size, OUTPUT_AT, size, now);
    w.clean();
    return added;
  }

  /** The secret of one handshake; null when it is not here. */
  find(label: SecretLabel, identity: string): FoundSecret | null {
    const entry = this.#byLabel.get(label)?.get(identity);
    if (entry === undefined) return null;
    entry.used = true;
    return entry;
  }

  /**
   * The latest secrets of a label, newest first, at most `most`, of those that came after the one with serial number `after`:
   * to be tried where nothing leads to one.
   */
  latest(label: SecretLabel, most: number, after: number): NamedSecret[] {
    const found: NamedSecret[] = [];
    const recent = this.#recent.get(label) ?? [];
    for (let i = recent.length - 1; i >= 0 && found.length < most; i--) {
      const identity = recent[i]!;
      const entry = this.#byLabel.get(label)?.get(identity);
      if (entry === undefined) continue;
      if (entry.serial <= after) break;
      found.push({ identity, slot: entry.slot, bytes: entry.bytes });
    }
    return found;
  }

  /** Wakes `waiter` when a secret comes under `identity`. */
  wait(identity: string, waiter: SecretWaiter): void {
    const waiters = this.#waiting.get(identity);
    if (waiters === undefined) this.#waiting.set(identity, new Set([waiter]));
    else waiters.add(waiter);
  }

  unwait(identity: string, waiter: SecretWaiter): void {
    const waiters = this.#waiting.get(identity);
    if (waiters === undefined) return;
    waiters.delete(waiter);
    if (waiters.size === 0) this.#waiting.delete(identity);
  }

  /** Lets go of what is too old; about once a second. */
  tick(now: number): void {
    const { ageNs } = this.#limits;
    for (const entries of this.#byLabel.values()) {
      for (const [identity, entry] of entries) {
        if (entry.at + ageNs > now) break;
        this.#drop(entries, identity, entry);
      }
    }
  }

  #dropOldest(): void {
    let oldest: { entries: Map<string, Entry>; identity: string; entry: Entry } | null = null;
    for (const entries of this.#byLabel.values()) {
      for (const [identity, entry] of entries) {
        if (oldest === null || entry.at < oldest.entry.at) oldest = { entries, identity, entry };
        break;
      }
    }
    if (oldest !== null) this.#drop(oldest.entries, oldest.identity, oldest.entry);
  }

  #drop(entries: Map<string, Entry>, identity: string, entry: Entry): void {
    entries.delete(identity);
    this.memory.give(entry.slot);
    this.#size--;
    if (!entry.used) this.counters.unused++;
  }

  /** Zeroes every secret; nothing of this may be used afterwards. */
  close(): void {
    this.#byLabel.clear();
    this.memory.close();
    this.workspace.close();
  }
}

// Places in the workspace that key derivation itself does not use (schedule.ts).
const INPUT_AT = 1_536;
const OUTPUT_AT = 1_600;
const IDENTITY_AT = 1_664;
