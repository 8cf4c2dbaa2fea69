/**
 * Which process has a TCP connection, from /proc: for sockets older than the agent, and for kernels whose packet programs
 * cannot ask who runs. A connection's row in /proc/PID/net/tcp names the socket's inode, /proc/PID/fd names who holds it.
 *
 * What this can and cannot tell, and so the evidence it gives: one process that holds the socket is its owner (`socket`).
 * Where several hold it (a fork that has not closed it) or none does yet (not accepted), the processes that share the
 * listening socket are the answer, named by the oldest of them (`listener`).
 */
import type { ProcessInfo } from '../model/connection.ts';
import type { HostFiles } from './host.ts';
import {
  ANY_IPV4,
  ANY_IPV6,
  endsAsPrinted,
  endsOfLine,
  keyOfAddress,
  parseTcpRow,
  TCP_LISTEN,
  type TcpRow,
} from './proc-net.ts';
import { readProcess, startTime } from './processes.ts';
import { LISTENERS_MAX, type ListenerOwner, type SocketTuple } from './protocol.ts';
import { scopePids } from './scope-pids.ts';

/** A look at /proc happens at most this often; between, what the last one did not look for is not known. Requests come once a second. */
export const LOOK_INTERVAL_MS = 500;
/** Descriptors read in one look: about half a second. */
const DESCRIPTORS_MAX = 200_000;
/** Network namespaces looked at. */
const NAMESPACES_MAX = 256;
/** Processes of a namespace that are tried for its tables. */
const PIDS_TRIED = 4;
/** One socket table. */
const TABLE_BYTES_MAX = 32 << 20;

interface Namespace {
  /** Socket inode of each connection that was looked for, by its ends as printed: of 10,000 others nothing is kept. */
  readonly inodes: ReadonlyMap<string, number>;
  readonly listeners: readonly TcpRow[];
  readonly pids: readonly number[];
}

interface Look {
  readonly at: number;
  /** Ends, as printed, that were looked for. */
  readonly wanted: ReadonlySet<string>;
  readonly namespaces: readonly Namespace[];
  /** Socket inode -> pids that hold it, of connections looked for and of listening sockets. */
  readonly holders: ReadonlyMap<number, readonly number[]>;
}

/** The ends of a connection as socket tables print them; empty when its addresses are none. */
const endsOf = ({ localAddress, localPort, remoteAddress, remotePort }: SocketTuple): string[] => {
  const local = keyOfAddress(localAddress);
  const remote = keyOfAddress(remoteAddress);
  return local === null || remote === null ? [] : endsAsPrinted(local, localPort, remote, remotePort);
};

export class Owners {
  readonly #host: HostFiles;
  readonly #mount: string;
  readonly #cgroups: readonly string[];
  #look: Look | null = null;

  /**
   * @param mount where the unified hierarchy is mounted.
   * @param cgroups folders of the observed cgroups: only processes inside them are looked at.
   */
  constructor(host: HostFiles, mount: string, cgroups: readonly string[]) {
    this.#host = host;
    this.#mount = mount;
    this.#cgroups = cgroups;
  }

  /**
   * Owners of connections, null where /proc does not tell (closed, outside the observed cgroups, or ambiguous).
   *
   * @param nowMs any monotonic clock, milliseconds.
   */
  resolve(tuples: readonly SocketTuple[], nowMs: number): (ProcessInfo | null)[] {
    if (tuples.length === 0) return [];
    if (this.#look === null || nowMs - this.#look.at >= LOOK_INTERVAL_MS) this.#look = this.#lookFor(tuples, nowMs);
    const look = this.#look;
    return tuples.map((tuple) => this.#owner(tuple, look));
  }

  /** Who listens in the observed cgroups; a look of its own. */
  listeners(nowMs: number): ListenerOwner[] {
    const { namespaces, holders } = this.#lookFor([], nowMs);
    const found: ListenerOwner[] = [];
    for (const { localPort, inode } of namespaces.flatMap(({ listeners }) => listeners)) {
      const pids = holders.get(inode);
      if (pids === undefined || found.length >= LISTENERS_MAX) continue;
      const pid = this.#oldest(pids);
      const process = this.#describe(pid, 'listener');
      if (process !== null) found.push({ port: localPort, cgroupId: this.#cgroupId(pid), process });
    }
    return found;
  }

  #owner(tuple: SocketTuple, look: Look): ProcessInfo | null {
    const local = keyOfAddress(tuple.localAddress);
    const ends = endsOf(tuple);
    // Not looked for: its listener would be an answer, and perhaps a wrong one.
    if (local === null || !ends.some((printed) => look.wanted.has(printed))) return null;
    const holders = this.#one(tuple, look, ({ inodes }) => {
      const found = ends.find((printed) => inodes.has(printed));
      return found === undefined ? -1 : inodes.get(found)!;
    });
    if (holders === 'ambiguous') return null;
    if (holders !== null) return this.#describe(this.#oldest(holders), holders.length === 1 ? 'socket' : 'listener');
    const group = this.#one(
      tuple,
      look,
      (namespace) => findListener(namespace.listeners, local, tuple.localPort)?.inode ?? -1,
    );
    return group === null || group === 'ambiguous' ? null : this.#describe(this.#oldest(group), 'listener');
  }

  /** Who holds the socket that `inodeIn` names. Several namespaces may have the same addresses: then the cgroup decides, or nobody. */
  #one(
    tuple: SocketTuple,
    look: Look,
    inodeIn: (namespace: Namespace) => number,
  ): readonly number[] | 'ambiguous' | null {
    const found = look.namespaces.flatMap((namespace) => {
      const pids = look.holders.get(inodeIn(namespace));
      return pids === undefined ? [] : [pids];
    });
    const inCgroup =
      tuple.cgroupId === 0 ? [] : found.filter((pids) => pids.some((pid) => this.#cgroupId(pid) === tuple.cgroupId));
    const candidates = inCgroup.length > 0 ? inCgroup : found;
    return candidates.length > 1 ? 'ambiguous' : (candidates[0] ?? null);
  }

  #oldest(pids: readonly number[]): number {
    return pids
      .map((pid) => ({ pid, started: startTime(this.#host, pid) }))
      .filter((process) => process.started >= 0)
      .reduce((a, b) => (b.started < a.started || (b.started === a.started && b.pid < a.pid) ? b : a), {
        pid: pids[0]!,
        started: Number.POSITIVE_INFINITY,
      }).pid;
  }

  #describe(pid: number, evidence: ProcessInfo['evidence']): ProcessInfo | null {
    const facts = readProcess(this.#host, pid);
    return facts === null ? null : { ...facts, evidence };
  }

  #cgroupId(pid: number): number {
    const path = readProcess(this.#host, pid)?.cgroup ?? '';
    return path === '' ? -1 : this.#host.inode(this.#mount + path);
  }

  #lookFor(tuples: readonly SocketTuple[], now: number): Look {
    const wanted = new Set(tuples.flatMap(endsOf));
    const byNamespace = new Map<string, number[]>();
    for (const pid of scopePids(this.#host, this.#cgroups)) {
      const namespace = this.#host.link(`/proc/${pid}/ns/net`);
      if (namespace === null) continue;
      const known = byNamespace.get(namespace);
      if (known !== undefined) known.push(pid);
      else if (byNamespace.size < NAMESPACES_MAX) byNamespace.set(namespace, [pid]);
    }
    const namespaces = [...byNamespace.values()].map((pids) => this.#readNamespace(pids, wanted));
    return { at: now, wanted, namespaces, holders: this.#readHolders(namespaces) };
  }

  #readNamespace(pids: readonly number[], wanted: ReadonlySet<string>): Namespace {
    const inodes = new Map<string, number>();
    const listeners: TcpRow[] = [];
    // Any of them shows the namespace's tables; the first may just have ended.
    const pid = pids.slice(0, PIDS_TRIED).find((one) => this.#host.exists(`/proc/${one}/net/tcp`)) ?? pids[0]!;
    for (const table of ['tcp', 'tcp6']) {
      for (const line of this.#host.lines(`/proc/${pid}/net/${table}`, TABLE_BYTES_MAX)) {
        const { ends, listens } = endsOfLine(line);
        if (!listens && !wanted.has(ends)) continue;
        const row = parseTcpRow(line);
        if (row === null) continue;
        if (row.state === TCP_LISTEN) listeners.push(row);
        // A copy of the ends: a slice would keep a piece of the table.
        else if (row.inode !== 0)
          inodes.set(
            endsAsPrinted(row.local, row.localPort, row.remote, row.remotePort).at(table === 'tcp' ? -1 : 0)!,
            row.inode,
          );
      }
    }
    return { inodes, listeners, pids };
  }

  #readHolders(namespaces: readonly Namespace[]): Map<number, number[]> {
    const holders = new Map<number, number[]>();
    const wanted = new Set(
      namespaces.flatMap(({ inodes, listeners }) => [...inodes.values(), ...listeners.map(({ inode }) => inode)]),
    );
    let left = DESCRIPTORS_MAX;
    for (const { pids } of namespaces) {
      for (const pid of pids) {
        for (const fd of this.#host.list(`/proc/${pid}/fd`) ?? []) {
          if (left-- <= 0) return holders;
          const inode = socketInode(this.#host.link(`/proc/${pid}/fd/${fd}`));
          if (!wanted.has(inode)) continue;
          const pidsOfSocket = holders.get(inode);
          if (pidsOfSocket === undefined) holders.set(inode, [pid]);
          else if (pidsOfSocket.at(-1) !== pid) pidsOfSocket.push(pid);
        }
      }
    }
    return holders;
  }
}

/** Inode of "socket:[12345]", or -1. */
export const socketInode = (target: string | null): number => {
  if (target === null || !target.startsWith('socket:[')) return -1;
  const inode = Number(target.slice(8, -1));
  return Number.isSafeInteger(inode) ? inode : -1;
};

/** The listening socket that takes connections to an address and port: the exact address before "any". */
export const findListener = (listeners: readonly TcpRow[], local: string, port: number): TcpRow | null => {
  const onPort = listeners.filter((row) => row.localPort === port);
  return (
    onPort.find((row) => row.local === local) ??
    onPort.find((row) => row.local === ANY_IPV4 && local.startsWith(ANY_IPV4.slice(0, 24))) ??
    onPort.find((row) => row.local === ANY_IPV6) ??
    null
  );
};
