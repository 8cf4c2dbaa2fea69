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

/** Services whose calls in flight are counted apart; the one that was longest without a connection and has no call makes room. */
const SERVICES_MAX = 4_096;
/** Listening ports whose last known owner is remembered. */
const LISTENERS_MAX = 4_096;
/** Connections whose owner the attacher is asked for; further ones stay without. */
const ASKED_MAX = 4_096;
/** The kernel tells of most connections with their first answer; only older ones without an owner are asked for. */
const ASK_AFTER_MS = 1_000;
/** A process that /proc hides is asked for again after this long: pids are reused, processes exec and move. */
const HIDDEN_FRESH_MS = 10_000;
/** Hidden processes whose facts are remembered. */
const HIDDEN_MAX = 4_096;
/** A connection is asked for this often before it stays without an owner. */
const TRIES_MAX = 3;

export interface OwnersOptions {
  readonly client: Pick<AttacherClient, 'listeners' | 'owners' | 'processes'>;
  readonly processes: ProcessCache;
  readonly cgroups: CgroupPaths;
  readonly rules: readonly ServiceRule[];
  /** /proc shows this process no other user's (hidepid): the attacher is asked instead. */
  readonly hidden: boolean;
}

interface HiddenProcess {
  readonly facts: ProcessFacts;
  /** As the kernel told it: another one under the same pid is another process, or has become one. */
  readonly comm: string;
  readonly askedAt: number;
}

export class Owners {
  readonly #options: OwnersOptions;
  readonly #loads = new Map<string, LoadCounter>();
  readonly #listeners = new Map<string, ProcessInfo>();
  /** Listening sockets, by the same keys, that accepted a connection whose owner nobody knows: how often the attacher was asked since. */
  readonly #nameless = new Map<string, number>();
  readonly #cgroupOf = new WeakMap<Connection, number>();
  /** Connections without an owner: since when, and how often the attacher did not know. */
  readonly #ownerless = new Map<Connection, { readonly since: number; tries: number }>();
  readonly #hidden = new Map<number, HiddenProcess>();
  /** Hidden processes that the attacher is to be asked for, with their name as the kernel told it; and open connections of theirs. */
  readonly #wanted = new Map<number, string>();
  readonly #unnamed = new Map<Connection, number>();
  #asking = false;

  constructor(options: OwnersOptions) {
    this.#options = options;
  }

  /** Asks who listens: connections that end before their server has written anything have no other owner. */
  async learnListeners(): Promise<void> {
    const answer = await this.#options.client.listeners();
    if (!answer.ok) return;
    for (const { cgroupId, port, process } of answer.value) {
      const key = `${cgroupId}:${port}`;
      if (!this.#listeners.has(key)) this.#remember(key, process);
    }
  }

  /** A new connection, perhaps without an owner event to come. */
  met(connection: Connection): void {
    if (this.#ownerless.size < ASKED_MAX) this.#ownerless.set(connection, { since: performance.now(), tries: 0 });
  }

  /** The connection ended: nobody needs its owner any more. */
  ended(connection: Connection): void {
    this.#ownerless.delete(connection);
    this.#unnamed.delete(connection);
  }

  /** The kernel told. `event` is valid during the call only. */
  told(connection: Connection, event: SocketEvent): void {
    if (event.cgroupId !== 0) this.#cgroupOf.set(connection, event.cgroupId);
    if (event.pid !== 0) {
      const now = performance.now();
      const facts =
        this.#options.processes.get(event.pid, now) ??
        (this.#options.hidden ? this.#hiddenProcess(connection, event, now) : this.#gone(event, now));
      this.#set(connection, facts, evidenceOf(event));
    } else if (connection.process === null) {
      if (!this.#byListener(connection)) this.#cgroupOnly(connection, event.cgroupId);
    }
    this.named(connection);
  }

  /**
   * The kernel told who listens from now on: the attacher, asked later, may know nobody any more, nor be in time for a client that is gone
   * before its server has written anything. `event` is valid during the call only.
   */
  listens(event: SocketEvent): void {
    const now = performance.now();
    const facts = this.#options.processes.get(event.pid, now) ?? this.#gone(event, now);
    this.#remember(`${event.cgroupId}:${event.localPort}`, { ...facts, evidence: 'listener' });
  }

  /** Names the service; to be called again when the connection's sides become known. */
  named(connection: Connection): void {
    if (connection.clientDirection < 0) return;
    if (connection.process === null) this.#byListener(connection);
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

  /** Whoever listens has accepted it, or will. */
  #byListener(connection: Connection): boolean {
    if (connection.side !== 'server') return false;
    const key = this.#listenerKey(connection);
    const listener = this.#listeners.get(key);
    if (listener !== undefined) connection.process = { ...listener, evidence: 'listener' };
    else if (this.#cgroupOf.has(connection) && !this.#nameless.has(key)) {
      if (this.#nameless.size >= LISTENERS_MAX) forgetFirst(this.#nameless);
      this.#nameless.set(key, 0);
    }
    return listener !== undefined;
  }

  /** Asks the attacher for some of the owners and processes that are not known. About once a second. */
  tick(): void {
    this.#learnNameless();
    if (this.#asking || this.#ownerless.size + this.#wanted.size === 0) return;
    const due = performance.now() - ASK_AFTER_MS;
    const batch: Connection[] = [];
    for (const [connection, { since }] of this.#ownerless) {
      if (connection.process !== null && connection.process.pid !== 0) this.#ownerless.delete(connection);
      else if (since <= due && batch.length < BATCH_MAX) batch.push(connection);
    }
    const hidden = [...this.#wanted].slice(0, BATCH_MAX);
    if (batch.length + hidden.length === 0) return;
    this.#asking = true;
    void Promise.all([
      batch.length === 0 ? null : this.#ask(batch),
      hidden.length === 0 ? null : this.#askProcesses(hidden),
    ]).finally(() => {
      this.#asking = false;
    });
  }

  #learnNameless(): void {
    let due = false;
    for (const [key, tries] of this.#nameless) {
      if (tries >= TRIES_MAX) continue;
      this.#nameless.set(key, tries + 1);
      due = true;
    }
    if (due) void this.learnListeners();
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

  async #askProcesses(hidden: readonly (readonly [pid: number, comm: string])[]): Promise<void> {
    const answer = await this.#options.client.processes(hidden.map(([pid]) => pid));
    const askedAt = performance.now();
    for (const [i, [pid, comm]] of hidden.entries()) {
      this.#wanted.delete(pid);
      const facts = answer.ok ? answer.value[i] : null;
      // Ended meanwhile: what the kernel told is all there is.
      if (facts === null || facts === undefined) continue;
      this.#hidden.delete(pid);
      if (this.#hidden.size >= HIDDEN_MAX) forgetFirst(this.#hidden);
      this.#hidden.set(pid, { facts, comm, askedAt });
    }
    for (const [connection, pid] of this.#unnamed) {
      if (this.#wanted.has(pid)) continue;
      this.#unnamed.delete(connection);
      const known = this.#hidden.get(pid);
      if (known === undefined || connection.process?.pid !== pid) continue;
      connection.process = { ...known.facts, evidence: connection.process.evidence };
      this.named(connection);
    }
  }

  #set(connection: Connection, facts: ProcessFacts, evidence: OwnerEvidence): void {
    this.#ownerless.delete(connection);
    const { process } = connection;
    if (process !== null && process.pid === facts.pid && process.evidence === evidence && process.name === facts.name)
      return;
    connection.process = { ...facts, evidence };
  }

  /** What the attacher has said of it, or the kernel until then. */
  #hiddenProcess(connection: Connection, event: SocketEvent, now: number): ProcessFacts {
    const { pid, comm } = event;
    const known = this.#hidden.get(pid);
    const same = known?.comm === comm;
    if (!same || now - known.askedAt > HIDDEN_FRESH_MS) {
      if (this.#wanted.has(pid) || this.#wanted.size < ASKED_MAX) this.#wanted.set(pid, comm);
      if (this.#unnamed.size < ASKED_MAX) this.#unnamed.set(connection, pid);
    }
    return same ? known.facts : this.#gone(event, now);
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
    this.#remember(this.#listenerKey(connection), process);
  }

  #remember(key: string, process: ProcessInfo): void {
    if (!this.#listeners.has(key) && this.#listeners.size >= LISTENERS_MAX) forgetFirst(this.#listeners);
    this.#listeners.set(key, process);
    this.#nameless.delete(key);
  }

  /** Those that have connections come last in the map. */
  #load(key: string): LoadCounter {
    const known = this.#loads.get(key);
    if (known !== undefined) this.#loads.delete(key);
    else if (this.#loads.size >= SERVICES_MAX) this.#forgetIdle();
    const counter = known ?? new LoadCounter();
    this.#loads.set(key, counter);
    return counter;
  }

  #forgetIdle(): void {
    for (const [key, { inFlight }] of this.#loads) {
      if (inFlight > 0) continue;
      this.#loads.delete(key);
      return;
    }
    forgetFirst(this.#loads);
  }
}

const forgetFirst = <K, V>(map: Map<K, V>): boolean => map.delete(map.keys().next().value!);

const evidenceOf = (event: SocketEvent): OwnerEvidence =>
  event.evidence === 'writer' ? 'writer' : event.accepted ? 'listener' : 'socket';
