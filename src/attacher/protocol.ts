/**
 * The control channel between the two processes: one JSON object a line over a stream socket, descriptors over a second
 * socket beside it (sent before the line that announces them). The pipeline parses hostile bytes and is not trusted: what
 * it can ask for is a fixed list, without a path in it, bounded in size and rate.
 */
import type { ProcessInfo } from '../model/connection.ts';

/** Longest line the attacher takes from the pipeline. */
export const REQUEST_LENGTH_MAX = 16 * 1024;
/** Longest line the pipeline takes from the attacher (the configuration is in it). */
export const MESSAGE_LENGTH_MAX = 4 * 1024 * 1024;
/** Tuples or pids in one request. */
export const BATCH_MAX = 64;
/** Listening sockets in one answer: the longest paths of cgroups fit. */
export const LISTENERS_MAX = 512;
/** Requests that the attacher answers a second; more are answered with `busy`, unread beyond twice that. */
export const REQUESTS_PER_S_MAX = 200;
/** Answers that the pipeline has not read yet, in bytes, before it is taken for hung and ended. */
export const UNREAD_ANSWERS_MAX = 4 * 1024 * 1024;

/** One end of a TCP connection, as that end sees it. */
export interface SocketTuple {
  /** Dotted IPv4 or RFC 5952 IPv6. */
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Inode number of the socket's cgroup folder, 0 when not known: tells network namespaces with equal addresses apart. */
  readonly cgroupId: number;
}

/** Who listens on a port: of processes that share the socket the oldest. */
export interface ListenerOwner {
  readonly port: number;
  /** Inode number of the process's cgroup folder. */
  readonly cgroupId: number;
  readonly process: ProcessInfo;
}

/** What the pipeline asks for. */
export type Operation =
  /** Set the log aside and open a new one. Answer: descriptors [log] or [log, source, archive]. */
  | { readonly op: 'rotate' }
  /** The archive of the last rotation is written (`ok`) or given up: remove the source or the archive. */
  | { readonly op: 'archived'; readonly ok: boolean }
  /** Open the log's path again. Answer: descriptors [log]. */
  | { readonly op: 'reopen' }
  | { readonly op: 'owners'; readonly tuples: readonly SocketTuple[] }
  /** Who listens in the observed cgroups. Answer: ListenerOwner[], at most LISTENERS_MAX. */
  | { readonly op: 'listeners' }
  | { readonly op: 'processes'; readonly pids: readonly number[] }
  /** Look at the TLS implementations that these processes run, now. */
  | { readonly op: 'tls'; readonly pids: readonly number[] }
  /** What is tapped. */
  | { readonly op: 'taps' }
  /** Measure the kernel programs (BPF_ENABLE_STATS) for a moment. */
  | { readonly op: 'programs' }
  /** The attacher's own CPU time and memory. */
  | { readonly op: 'usage' };

export type Request = { readonly type: 'request'; readonly id: number } & Operation;

/** Pipeline to attacher. */
export type FromPipeline =
  | Request
  /** Its cage is closed: the attacher checks that and sends `start`. */
  | { readonly type: 'confined' }
  /** It could not close it; it ends by itself. */
  | { readonly type: 'failed'; readonly why: string };

/** Attacher to pipeline. */
export type FromAttacher =
  | { readonly type: 'start'; readonly start: StartMessage }
  | { readonly type: 'answer'; readonly id: number; readonly result: unknown; readonly descriptors: number }
  | { readonly type: 'refused'; readonly id: number; readonly why: string }
  /** SIGHUP: the log was opened again. */
  | { readonly type: 'reopened'; readonly descriptors: number }
  /** Write what was captured, then end. */
  | { readonly type: 'drain'; readonly reason: string };

/** A map of the kernel program that the pipeline reads, by the descriptor it inherited. */
export interface MapDescriptor {
  readonly name: string;
  readonly fd: number;
}

export interface StartMessage {
  /** What src/kernel says of the loaded programs: which map is which and how big. Opaque to the channel. */
  readonly kernel: unknown;
  readonly maps: readonly MapDescriptor[];
  /** Listening UNIX socket for commands. */
  readonly socketFd: number;
  readonly socketPath: string;
  /** Log file, 1 for stdout, -1 for none. */
  readonly logFd: number;
  /** The data folder, -1 for none, and what the user calls it. */
  readonly dataFd: number;
  readonly dataPath: string;
  /** Rotations come with an archive descriptor. */
  readonly archive: boolean;
  /** Installation key, hexadecimal. */
  readonly key: string;
  readonly attacherPid: number;
  /** Unified mount, and the observed cgroups. */
  readonly mount: string;
  readonly cgroups: readonly { readonly path: string; readonly id: number }[];
  /** The pipeline's own configuration, as it was given to startAttacher. */
  readonly config: unknown;
}

const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 65535;
const isAddress = (value: unknown): value is string =>
  typeof value === 'string' && value.length >= 2 && value.length <= 45 && /^[0-9a-fA-F:.]+$/.test(value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const tupleOf = (value: unknown): SocketTuple | null => {
  if (!Array.isArray(value) || value.length !== 5) return null;
  const [localAddress, localPort, remoteAddress, remotePort, cgroupId] = value as unknown[];
  if (
    !isAddress(localAddress) ||
    !isPort(localPort) ||
    !isAddress(remoteAddress) ||
    !isPort(remotePort) ||
    !isCount(cgroupId)
  )
    return null;
  return { localAddress, localPort, remoteAddress, remotePort, cgroupId };
};

const batchOf = <T>(value: unknown, read: (item: unknown) => T | null): T[] | null => {
  if (!Array.isArray(value) || value.length > BATCH_MAX) return null;
  const items = value.map(read);
  return items.includes(null) ? null : (items as T[]);
};

const pidOf = (value: unknown): number | null =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) <= 4_194_304 ? (value as number) : null;

const operationOf = (body: Record<string, unknown>): Operation | null => {
  const { op, tuples: tupleList, pids: pidList, ok } = body;
  switch (op) {
    case 'rotate':
    case 'reopen':
    case 'programs':
    case 'taps':
    case 'usage':
    case 'listeners':
      return { op };
    case 'archived':
      return typeof ok === 'boolean' ? { op, ok } : null;
    case 'owners': {
      const tuples = batchOf(tupleList, tupleOf);
      return tuples === null ? null : { op, tuples };
    }
    case 'processes':
    case 'tls': {
      const pids = batchOf(pidList, pidOf);
      return pids === null ? null : { op, pids };
    }
    default:
      return null;
  }
};

/** How a tuple is written in a request. */
export const tupleToWire = (tuple: SocketTuple): readonly unknown[] => [
  tuple.localAddress,
  tuple.localPort,
  tuple.remoteAddress,
  tuple.remotePort,
  tuple.cgroupId,
];

/** Reads one line from the pipeline; null: not in the protocol. Only the fields named above are taken over. */
export const parseFromPipeline = (line: string): FromPipeline | null => {
  if (line.length > REQUEST_LENGTH_MAX) return null;
  let body: unknown;
  try {
    body = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return null;
  const { type, id, why } = body as Record<string, unknown>;
  if (type === 'confined') return { type };
  if (type === 'failed')
    return { type, why: typeof why === 'string' ? why.slice(0, 500).replace(/[^\x20-\x7e]/g, '?') : '' };
  if (type !== 'request' || !isCount(id)) return null;
  const operation = operationOf(body as Record<string, unknown>);
  return operation === null ? null : { type, id, ...operation };
};

/**
 * Splits a byte stream into lines of bounded length. Remembers how far it has searched, so byte-by-byte delivery stays
 * linear.
 */
export class LineReader {
  readonly #lengthMax: number;
  #pieces: Buffer[] = [];
  #length = 0;

  constructor(lengthMax: number) {
    this.#lengthMax = lengthMax;
  }

  /** Calls `line` for each complete one; false when a line is longer than the bound (nothing more may be pushed). */
  push(chunk: Buffer, line: (text: string) => void): boolean {
    let from = 0;
    for (;;) {
      const end = chunk.indexOf(10, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (this.#length + piece.length > this.#lengthMax) return false;
      if (end < 0) {
        if (piece.length > 0) this.#pieces.push(Buffer.from(piece));
        this.#length += piece.length;
        return true;
      }
      const text = this.#pieces.length === 0 ? piece.toString() : Buffer.concat([...this.#pieces, piece]).toString();
      this.#pieces = [];
      this.#length = 0;
      from = end + 1;
      line(text);
    }
  }
}
