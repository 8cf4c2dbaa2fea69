/**
 * Who is behind a connection: process, cgroup, service, and the service's calls in flight. The kernel says it for most
 * sockets; for the rest (sockets older than the agent, kernels whose packet programs cannot ask) the attacher is asked, a batch a second.
 */
import type { CgroupPaths } from '../attacher/cgroups.ts';
import type { AttacherClient } from '../attacher/client.ts';
import type { ProcessCache, ProcessFacts } from '../attacher/processes.ts';
import { BATCH_MAX } from '../attacher/protocol.ts';
import type { Connection, OwnerEvidence, ProcessInfo } from '../model/connection.ts';
import { LoadCounter } from '../model/load.ts';
import type { SocketEvent } from '../model/segment.ts';
import { nameService, type ServiceRule } from '../model/service.ts';

/** Services counted apart; calls of further ones share one counter. */
const SERVICES_MAX = 4_096;
/** Listening ports whose last known owner is remembered. */
const LISTENERS_MAX = 4_096;
/** Connections whose owner the attacher is asked for; further ones stay without. */
const ASKED_MAX = 4_096;
/** The kernel tells of most connections with their first answer; only older ones without an owner are asked for. */
const ASK_AFTER_MS = 1_000;
/** A connection is asked for this often before it stays without an owner. */
const TRIES_MAX = 3;

export interface OwnersOptions {
  readonly client: Pick<AttacherClient, 'owners'>;
  readonly processes: ProcessCache;
  readonly cgroups: CgroupPaths;
  readonly rules: readonly ServiceRule[];
}

export class Owners {
  readonly #options: OwnersOptions;
  readonly #loads = new Map<string, LoadCounter>();
  readonly #listeners = new Map<string, ProcessInfo>();
  readonly #cgroupOf = new WeakMap<Connection, number>();
  /** Connections without an owner: since when, and how often the attacher did not know. */
  readonly #ownerless = new Map<Connection, { readonly since: number; tries: number }>();
  #asking = false;

  constructor(options: OwnersOptions) {
    this.#options = options;
  }

  /** A new connection, perhaps without an owner event to come. */
  met(connection: Connection): void {
    if (this.#ownerless.size < ASKED_MAX) this.#ownerless.set(connection, { since: performance.now(), tries: 0 });
  }

  /** The connection ended: nobody needs its owner any more. */
  ended(connection: Connection): void {
    this.#ownerless.delete(connection);
  }

  /** The kernel told. `event` is valid during the call only. */
  told(connection: Connection, event: SocketEvent): void {
    if (event.cgroupId !== 0) this.#cgroupOf.set(connection, event.cgroupId);
    if (event.pid !== 0) {
      const now = performance.now();
      const facts = this.#options.processes.get(event.pid, now) ?? this.#gone(event, now);
      this.#set(connection, facts, evidenceOf(event));
    } else if (connection.process === null) {
      const listener = this.#listeners.get(this.#listenerKey(connection));
      if (listener !== undefined) connection.process = { ...listener, evidence: 'listener' };
      else this.#cgroupOnly(connection, event.cgroupId);
    }
    this.named(connection);
  }

  /** Names the service; to be called again when the connection's sides become known. */
  named(connection: Connection): void {
    if (connection.clientDirection < 0) return;
    if (connection.process === null && connection.side === 'server') {
      const listener = this.#listeners.get(this.#listenerKey(connection));
      if (listener !== undefined) connection.process = { ...listener, evidence: 'listener' };
    }
    const { process } = connection;
    const service = nameService(
      { cgroup: process?.cgroup ?? '', process: process?.name ?? '', port: connection.server.port },
      this.#options.rules,
    );
    connection.service = service;
    connection.load = this.#load(`${connection.side} ${service === '' ? `:${connection.server.port}` : service}`);
    if (connection.side === 'server' && process !== null && process.pid !== 0)
      this.#rememberListener(connection, process);
  }

  /** Asks the attacher for some of the owners that are missing. About once a second. */
  tick(): void {
    if (this.#asking || this.#ownerless.size === 0) return;
    const due = performance.now() - ASK_AFTER_MS;
    const batch: Connection[] = [];
    for (const [connection, { since }] of this.#ownerless) {
      if (connection.process !== null && connection.process.pid !== 0) this.#ownerless.delete(connection);
      else if (since <= due && batch.length < BATCH_MAX) batch.push(connection);
    }
    if (batch.length === 0) return;
    this.#asking = true;
    void this.#ask(batch).finally(() => {
      this.#asking = false;
    });
  }

  async #ask(batch: readonly Connection[]): Promise<void> {
    const answer = await this.#options.client.owners(
      batch.map((connection) => ({
        localAddress: connection.local.address,
        localPort: connection.local.port,
        remoteAddress: connection.remote.address,
        remotePort: connection.remote.port,
        cgroupId: this.#cgroupOf.get(connection) ?? 0,
      })),
    );
    for (const [i, connection] of batch.entries()) {
      const info = answer.ok ? answer.value[i] : null;
      if (info !== null && info !== undefined) {
        if (connection.process === null || connection.process.pid === 0) connection.process = info;
        this.named(connection);
        this.#ownerless.delete(connection);
        continue;
      }
      const asked = this.#ownerless.get(connection);
      if (asked !== undefined && ++asked.tries >= TRIES_MAX) this.#ownerless.delete(connection);
    }
  }

  #set(connection: Connection, facts: ProcessFacts, evidence: OwnerEvidence): void {
    this.#ownerless.delete(connection);
    const { process } = connection;
    if (process !== null && process.pid === facts.pid && process.evidence === evidence && process.name === facts.name)
      return;
    connection.process = { ...facts, evidence };
  }

  /** It ended before anybody could look: what the kernel copied is all there is. */
  #gone(event: SocketEvent, now: number): ProcessFacts {
    return {
      pid: event.pid,
      name: event.comm,
      cgroup: this.#options.cgroups.path(event.cgroupId, now),
      container: null,
    };
  }

  /** No process yet, but the cgroup tells the service already. */
  #cgroupOnly(connection: Connection, cgroupId: number): void {
    const cgroup = this.#options.cgroups.path(cgroupId, performance.now());
    if (cgroup !== '') connection.process = { pid: 0, name: '', cgroup, container: null, evidence: 'socket' };
  }

  #listenerKey(connection: Connection): string {
    return `${this.#cgroupOf.get(connection) ?? 0}:${connection.local.port}`;
  }

  #rememberListener(connection: Connection, process: ProcessInfo): void {
    const key = this.#listenerKey(connection);
    if (!this.#listeners.has(key) && this.#listeners.size >= LISTENERS_MAX) {
      this.#listeners.delete(this.#listeners.keys().next().value!);
    }
    this.#listeners.set(key, process);
  }

  #load(key: string): LoadCounter {
    const known = this.#loads.get(key);
    if (known !== undefined) return known;
    const shared = this.#loads.size >= SERVICES_MAX ? this.#loads.get('') : undefined;
    if (shared !== undefined) return shared;
    const counter = new LoadCounter();
    this.#loads.set(this.#loads.size >= SERVICES_MAX ? '' : key, counter);
    return counter;
  }
}

const evidenceOf = (event: SocketEvent): OwnerEvidence =>
  event.evidence === 'writer' ? 'writer' : event.accepted ? 'listener' : 'socket';
