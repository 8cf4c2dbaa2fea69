/** What the TLS stage of one pipeline shares: secrets, bounds, counters. */
import type { Memory } from '../base/memory.ts';
import type { Connection } from '../model/connection.ts';
import type { LossSink } from '../model/loss.ts';
import { TLS_UNREAD_CAUSES, type TlsAlert, type TlsUnreadCause } from '../model/tls.ts';
import type { SecretStore } from './secrets.ts';
import { Sessions } from './sessions.ts';
import { Slabs } from './slabs.ts';

export interface TlsLimits {
  /** Nanoseconds for which records wait for a secret; 0 where none can come later. */
  readonly waitNs: number;
  /** Encrypted bytes of one connection that wait for a secret. */
  readonly waitBytes: number;
  /** Memory for records that wait or are not complete, all connections together. */
  readonly totalBytes: number;
}
export const TLS_LIMITS: TlsLimits = { waitNs: 2e9, waitBytes: 256 << 10, totalBytes: 32 << 20 };

export interface TlsCounters {
  /** Connections that began as TLS, and of these: decrypted in at least one direction. */
  connections: number;
  decrypted: number;
  /** Protected records opened, and of these: with their tag checked. */
  records: number;
  verified: number;
  /** Tags that did not fit, trials after a loss apart. */
  refused: number;
  /** Records tried again and again to find the step after a loss. */
  trials: number;
  keyUpdates: number;
  resumed: number;
  /** Connections, and protected bytes of them, that were not read, by cause. */
  readonly unread: Record<TlsUnreadCause, { connections: number; bytes: number }>;
  /** Connections that a fatal alert ended, by its name and by who sent it. */
  readonly alerts: Map<string, TlsAlert & { connections: number }>;
  /** Turns that the kernel left out or lost, as far as they were told, by what is inside and by whose message they would be. */
  readonly turns: Record<'http1' | 'http2' | 'unread', Record<'request' | 'response', number>>;
}

/** A connection that waits for a secret. */
export interface Expiring {
  /** Nanoseconds since the anchor. */
  readonly deadline: number;
  expire(): void;
}

export interface TlsOptions {
  readonly store: SecretStore;
  readonly losses: LossSink;
  /** 'always': every record's tag. 'bound': the first records under a key and those after a loss. */
  readonly verify: 'always' | 'bound';
  /** Told of protected bytes that gave nothing, beside the ledger. */
  readonly unread?: (bytes: number) => void;
  /** Told once of every connection, when its handshake is over: content comes, or it is known that none can be read. */
  readonly settled?: (connection: Connection) => void;
  readonly limits?: TlsLimits;
}

export class TlsShared {
  readonly store: SecretStore;
  readonly losses: LossSink;
  readonly sessions = new Sessions();
  readonly verifyAlways: boolean;
  readonly limits: TlsLimits;
  readonly counters: TlsCounters = {
    connections: 0,
    decrypted: 0,
    records: 0,
    verified: 0,
    refused: 0,
    trials: 0,
    keyUpdates: 0,
    resumed: 0,
    unread: Object.fromEntries(
      TLS_UNREAD_CAUSES.map((cause) => [cause, { connections: 0, bytes: 0 }]),
    ) as TlsCounters['unread'],
    alerts: new Map(),
    turns: {
      http1: { request: 0, response: 0 },
      http2: { request: 0, response: 0 },
      unread: { request: 0, response: 0 },
    },
  };
  /** Memory that holds records now, in bytes. */
  held = 0;
  readonly waiting = new Set<Expiring>();
  readonly settled: (connection: Connection) => void;
  readonly #unread: (bytes: number) => void;
  readonly #slabs = new Slabs();
  #ticked = 0;

  constructor(options: TlsOptions) {
    this.store = options.store;
    this.losses = options.losses;
    this.verifyAlways = options.verify === 'always';
    this.limits = options.limits ?? TLS_LIMITS;
    this.settled = options.settled ?? (() => {});
    this.#unread = options.unread ?? (() => {});
  }

  reserve(bytes: number): boolean {
    if (this.held + bytes > this.limits.totalBytes) return false;
    this.held += bytes;
    return true;
  }

  release(bytes: number): void {
    this.held -= bytes;
  }

  /** Memory in which a record is collected, `bytes` at least; null: the bound is reached. */
  take(bytes: number): Memory | null {
    return this.reserve(Slabs.sizeOf(bytes)) ? this.#slabs.take(bytes) : null;
  }

  /** What `take` gave; `again`: nobody looks at it any more. */
  give(slab: Memory, again: boolean): void {
    this.release(slab.size);
    if (again) this.#slabs.give(slab);
  }

  /** A protected record that could not be read. */
  unread(cause: TlsUnreadCause, bytes: number): void {
    this.counters.unread[cause].bytes += bytes;
    this.losses.lose('tls_no_secret', 1, bytes);
    this.#unread(bytes);
  }

  /** A connection ended with this alert; there are some 250 of them. */
  alerted(alert: TlsAlert): void {
    const { alerts } = this.counters;
    const key = `${alert.alert} ${alert.by}`;
    const known = alerts.get(key);
    if (known === undefined) alerts.set(key, { ...alert, connections: 1 });
    else known.connections++;
  }

  /** Time passes: connections that waited too long go on without. */
  tick(now: number): void {
    if (now < this.#ticked + TICK_NS) return;
    this.#ticked = now;
    this.store.tick(now);
    for (const one of this.waiting) if (one.deadline <= now) one.expire();
  }

  /** The capture is over: nobody waits any more. */
  finish(): void {
    for (const one of this.waiting) one.expire();
  }
}

const TICK_NS = 0.5e9;
