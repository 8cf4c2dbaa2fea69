/** Reads what `why` explains: /proc now, nothing remembered. */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { HostFiles } from '../../attacher/host.ts';
import { socketInode } from '../../attacher/owners.ts';
import { addressOfKey, keyOfAddress, parseTcpTable, TCP_LISTEN, type TcpRow } from '../../attacher/proc-net.ts';
import { readProcess } from '../../attacher/processes.ts';
import type { ProcessReport, SocketFacts, Subject, TlsLibrary } from './facts.ts';
import type { Target } from './target.ts';

/** Processes whose descriptors are read for one question. */
const PIDS_MAX = 32_768;
/** Processes reported for a port. */
const REPORTED_MAX = 16;
const TABLE_BYTES_MAX = 32 << 20;
const MAPS_BYTES_MAX = 4 << 20;

interface Tables {
  readonly tcp: readonly TcpRow[];
  readonly udp: readonly TcpRow[];
  /** UNIX sockets by inode: path, and whether it listens. */
  readonly unix: ReadonlyMap<number, { readonly path: string; readonly listens: boolean }>;
}

/** __SO_ACCEPTCON in the flags column of /proc/net/unix. */
const UNIX_LISTENS = 0x10000;

const parseUnix = (text: string): Tables['unix'] => {
  const sockets = new Map<number, { path: string; listens: boolean }>();
  for (const line of text.split('\n').slice(1)) {
    const fields = line.trim().split(/\s+/);
    const inode = Number(fields[6]);
    if (!Number.isSafeInteger(inode) || fields.length < 7) continue;
    sockets.set(inode, {
      path: fields.slice(7).join(' '),
      listens: (Number.parseInt(fields[3]!, 16) & UNIX_LISTENS) !== 0,
    });
  }
  return sockets;
};

const readTables = (host: HostFiles, pid: number): Tables => {
  const table = (name: string): string => host.read(`/proc/${pid}/net/${name}`, TABLE_BYTES_MAX) ?? '';
  return {
    tcp: [...parseTcpTable(table('tcp')), ...parseTcpTable(table('tcp6'))],
    udp: [...parseTcpTable(table('udp')), ...parseTcpTable(table('udp6'))],
    unix: parseUnix(table('unix')),
  };
};

/** Inodes of the sockets that a process holds; null when they may not be read. */
const socketsOf = (host: HostFiles, pid: number): Set<number> | null => {
  const fds = host.list(`/proc/${pid}/fd`);
  if (fds === null) return null;
  const inodes = new Set<number>();
  for (const fd of fds) {
    const inode = socketInode(host.link(`/proc/${pid}/fd/${fd}`));
    if (inode >= 0) inodes.add(inode);
  }
  return inodes;
};

const LIBRARIES: readonly (readonly [pattern: RegExp, name: string])[] = [
  [/\/lib(?:ssl|crypto)\.so\.3/, 'OpenSSL 3'],
  [/\/lib(?:ssl|crypto)\.so\.1\.1/, 'OpenSSL 1.1'],
  [/\/libgnutls\.so/, 'GnuTLS'],
  [/\/lib(?:ssl3|nss3)\.so/, 'NSS'],
  [/\/libmbedtls\.so/, 'Mbed TLS'],
  [/\/libwolfssl\.so/, 'wolfSSL'],
  [/\/libs2n\.so/, 's2n-tls'],
  [/\/lib(?:boringssl|conscrypt)[^/]*\.so/, 'BoringSSL'],
  [/\/node(?:js)?$/, 'OpenSSL inside node'],
];

const tlsOf = (host: HostFiles, pid: number): TlsLibrary[] | null => {
  const maps = host.read(`/proc/${pid}/maps`, MAPS_BYTES_MAX);
  if (maps === null) return null;
  const found = new Map<string, TlsLibrary>();
  for (const line of maps.split('\n')) {
    const at = line.indexOf('/');
    if (at < 0) continue;
    const path = line.slice(at);
    for (const [pattern, name] of LIBRARIES)
      if (pattern.test(path) && !found.has(name)) found.set(name, { name, path });
  }
  return [...found.values()];
};

const socketFacts = (tables: Tables, inodes: ReadonlySet<number>): SocketFacts => {
  const own = tables.tcp.filter((row) => inodes.has(row.inode));
  const unix = [...tables.unix].filter(([inode]) => inodes.has(inode)).map(([, socket]) => socket);
  return {
    listening: [...new Set(own.filter((row) => row.state === TCP_LISTEN).map((row) => row.localPort))],
    connections: own
      .filter((row) => row.state !== TCP_LISTEN)
      .map((row) => ({
        localAddress: addressOfKey(row.local),
        localPort: row.localPort,
        remoteAddress: addressOfKey(row.remote),
        remotePort: row.remotePort,
      })),
    unixListening: unix.filter((socket) => socket.listens).map((socket) => socket.path),
    unixConnected: unix.filter((socket) => !socket.listens).length,
    udpPorts: [
      ...new Set(
        tables.udp
          .filter((row) => inodes.has(row.inode))
          .flatMap((row) => (row.remotePort === 0 ? [row.localPort] : [row.localPort, row.remotePort])),
      ),
    ],
  };
};

/** A process now, or null when there is none. */
export const reportProcess = (host: HostFiles, pid: number): ProcessReport | null => {
  const process = readProcess(host, pid);
  if (process === null) return null;
  const inodes = socketsOf(host, pid);
  return {
    pid,
    name: process.name,
    cgroup: process.cgroup,
    sockets: inodes === null ? null : socketFacts(readTables(host, pid), inodes),
    tls: tlsOf(host, pid),
  };
};

const allPids = (host: HostFiles): number[] =>
  (host.list('/proc') ?? [])
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0)
    .slice(0, PIDS_MAX);

/** A process of each network namespace that can be seen. */
const onePerNamespace = (host: HostFiles, pids: readonly number[]): Map<string, number> => {
  const found = new Map<string, number>();
  for (const pid of pids) {
    const namespace = host.link(`/proc/${pid}/ns/net`);
    if (namespace !== null && !found.has(namespace)) found.set(namespace, pid);
  }
  return found;
};

const sharesAny = (some: ReadonlySet<number>, inodes: ReadonlySet<number>): boolean =>
  [...some].some((inode) => inodes.has(inode));

/** Everything that serves a TCP port or is connected to it, in every network namespace that can be seen. */
const reportPort = (
  host: HostFiles,
  port: number,
  addresses: readonly string[] | null,
): Omit<Extract<Subject, { kind: 'port' }>, 'kind' | 'url'> => {
  const pids = allPids(host);
  const keys = addresses === null ? null : new Set(addresses.map(keyOfAddress));
  const listeners = new Set<number>();
  const clientSockets = new Set<number>();
  let udp = false;
  for (const pid of onePerNamespace(host, pids).values()) {
    const tables = readTables(host, pid);
    const served = new Set(tables.tcp.filter(({ state }) => state === TCP_LISTEN).map(({ localPort }) => localPort));
    for (const row of tables.tcp) {
      if (row.state === TCP_LISTEN) {
        if (row.localPort === port) listeners.add(row.inode);
      } else if (
        row.remotePort === port &&
        // What was accepted has the port of its client there.
        !served.has(row.localPort) &&
        row.inode !== 0 &&
        (keys === null || keys.has(row.remote))
      )
        clientSockets.add(row.inode);
    }
    udp ||= tables.udp.some((row) => row.localPort === port);
  }
  const servers: ProcessReport[] = [];
  const clients: ProcessReport[] = [];
  if (listeners.size + clientSockets.size > 0) {
    for (const pid of pids) {
      const inodes = socketsOf(host, pid);
      if (inodes === null) continue;
      const serves = sharesAny(listeners, inodes);
      const uses = sharesAny(clientSockets, inodes);
      if (!serves && !uses) continue;
      const report = reportProcess(host, pid);
      if (report === null) continue;
      if (serves && servers.length < REPORTED_MAX) servers.push(report);
      if (uses && clients.length < REPORTED_MAX) clients.push(report);
    }
  }
  return { port, servers, clients, hiddenListener: listeners.size > 0 && servers.length === 0, udp };
};

const resolveHost = async (host: string): Promise<string[]> => {
  if (isIP(host) !== 0) return [host];
  try {
    return (await lookup(host, { all: true })).map((answer) => answer.address);
  } catch {
    return [];
  }
};

const isLocal = (address: string): boolean =>
  address.startsWith('127.') ||
  address === '::1' ||
  Object.values(networkInterfaces()).some((own) => own?.some((one) => one.address === address));

/** What the target is on this machine, right now. A bare number may be a process and a port at once: both are answered. */
export const gather = async (host: HostFiles, target: Target): Promise<Subject[]> => {
  switch (target.kind) {
    case 'pid':
      return [{ kind: 'pid', pid: target.pid, process: reportProcess(host, target.pid) }];
    case 'port':
      return [{ kind: 'port', url: null, ...reportPort(host, target.port, null) }];
    case 'number': {
      const process = reportProcess(host, target.number);
      const asProcess: Subject[] = process === null ? [] : [{ kind: 'pid', pid: target.number, process }];
      if (target.number > 65_535)
        return asProcess.length > 0 ? asProcess : [{ kind: 'pid', pid: target.number, process: null }];
      const asPort: Subject = { kind: 'port', url: null, ...reportPort(host, target.number, null) };
      const used = asPort.servers.length + asPort.clients.length > 0 || asPort.hiddenListener || asPort.udp;
      if (used) return [...asProcess, asPort];
      // Neither: what was meant is not known.
      return asProcess.length > 0 ? asProcess : [{ kind: 'pid', pid: target.number, process: null }, asPort];
    }
    case 'url': {
      const { scheme, host: name, port } = target;
      const addresses = await resolveHost(name);
      const local = addresses.some(isLocal);
      const report = reportPort(host, port, addresses);
      // Listeners here have nothing to do with a server elsewhere.
      return [
        {
          kind: 'port',
          url: { scheme, host: name, addresses, local },
          ...report,
          ...(local ? {} : { servers: [], hiddenListener: false, udp: false }),
        },
      ];
    }
  }
};
