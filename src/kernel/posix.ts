/**
 * The few system calls that Node has no name for and that the two processes need: descriptor passing, capabilities, a
 * lock that dies with its holder, a listening socket made with the right mode. Everything is synchronous, acts on the
 * calling (main) thread, and answers a number: the result, or -errno.
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';
import { PAGE } from './libbpf.ts';

// The process's own symbols: glibc and musl alike, whatever their file names.
const libc = koffi.load(null);

const c = {
  socketpair: libc.func('int socketpair(int, int, int, void *)'),
  socket: libc.func('int socket(int, int, int)'),
  bind: libc.func('int bind(int, const void *, uint32_t)'),
  listen: libc.func('int listen(int, int)'),
  sendmsg: libc.func('long sendmsg(int, void *, int)'),
  recvmsg: libc.func('long recvmsg(int, void *, int)'),
  flock: libc.func('int flock(int, int)'),
  prctl: libc.func('int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long)'),
  capset: libc.func('int capset(void *, const void *)'),
  capget: libc.func('int capget(void *, void *)'),
  setrlimit: libc.func('int setrlimit(int, const void *)'),
  memfdCreate: libc.func('int memfd_create(const char *, unsigned int)'),
  fcntl: libc.func('int fcntl(int, int, long)'),
  waitpid: libc.func('int waitpid(int, void *, int)'),
  _exit: libc.func('void _exit(int)'),
  poll: libc.func('int poll(void *, unsigned long, int)'),
  madvise: libc.func('int madvise(uintptr_t, size_t, int)'),
};

/** glibc's alone: musl gives back what is free by itself. */
const mallocTrim = optional('int malloc_trim(size_t)');

function optional(prototype: string): ReturnType<typeof libc.func> | null {
  try {
    return libc.func(prototype);
  } catch {
    return null;
  }
}

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CTRUNC = 0x08;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const LOCK_EX_NB = 2 | 4;
const F_SETFD = 2;
const WNOHANG = 1;
const POLLIN = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const RLIMIT_CORE = 4;
const MADV_DONTNEED = 4;
const CAPABILITY_VERSION_3 = 0x20080522;

/** sun_path of sockaddr_un, its terminating NUL included (unix(7)). */
export const SOCKET_PATH_LENGTH_MAX = 108;
/** Descriptors in one message: far below the kernel's SCM_MAX_FD (253). */
export const DESCRIPTORS_MAX = 8;

const answer = (result: number | bigint): number => (Number(result) < 0 ? -koffi.errno() : Number(result));

/** "EACCES" for 13 or -13; "errno 9999" for what this platform does not name. */
export const errnoName = (errno: number): string => {
  const value = Math.abs(errno);
  return Object.entries(constants.errno).find(([, n]) => n === value)?.[0] ?? `errno ${value}`;
};

const socketPair = (type: number): readonly [number, number] | number => {
  const pair = Buffer.alloc(8);
  const result = answer(c.socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair));
  return result < 0 ? result : [pair.readInt32LE(0), pair.readInt32LE(4)];
};

/** A pair of connected sockets for `sendDescriptors` / `receiveDescriptors`; close-on-exec. Or -errno. */
export const descriptorPair = (): readonly [number, number] | number => socketPair(SOCK_SEQPACKET);

/** A pair of connected stream sockets; close-on-exec. Or -errno. */
export const streamPair = (): readonly [number, number] | number => socketPair(SOCK_STREAM);

/** A file that is nowhere but in memory and gone with its last descriptor; kept across execve. Or -errno. */
export const memoryFile = (): number => answer(c.memfdCreate('headwater', 0));

/** The descriptor stays open across execve. 0 or -errno. */
export const keepAcrossExec = (fd: number): number => answer(c.fcntl(fd, F_SETFD, 0));

/** Blocks until `fd` can be read, its other end is closed, or `ms` have passed. 0 when the time is up, 1, or -errno. */
export const waitReadable = (fd: number, ms: number): number => {
  const wanted = Buffer.alloc(8);
  wanted.writeInt32LE(fd, 0);
  wanted.writeInt16LE(POLLIN, 4);
  return answer(c.poll(wanted, 1, ms));
};

/**
 * Unmaps pages until they are touched again (madvise(2), MADV_DONTNEED): of a file's private mapping without changed pages nothing is lost.
 * 0 or -errno.
 */
export const adviseUnused = (from: bigint, bytes: bigint): number => answer(c.madvise(from, bytes, MADV_DONTNEED));

/** Gives back the pages that lie wholly in `bytes`, which become zeros. 0 or -errno. */
export const adviseZero = (bytes: Uint8Array): number => {
  const page = BigInt(PAGE);
  const address = koffi.address(bytes);
  const from = (address + page - 1n) & -page;
  const to = (address + BigInt(bytes.length)) & -page;
  return to <= from ? 0 : adviseUnused(from, to - from);
};

/** Gives the kernel back the pages in which nothing that malloc(3) gave out lies (malloc_trim(3)): left alone, glibc keeps them below whatever is still used. */
export const trimHeap = (): void => void mallocTrim?.(0);

/** Ends the process at once (_exit(2)): exit(3) joins Node's thread pool, where a write to a pipe that nobody reads never returns. */
export const endNow = (code: number): never => {
  c._exit(code);
  throw new Error('_exit returned');
};

/** How a child ended: code or signal number; null while it runs. A child that is not ours (any more) counts as ended with code 1. */
export const reap = (pid: number): { readonly code: number } | { readonly signal: number } | null => {
  const status = Buffer.alloc(4);
  const result = answer(c.waitpid(pid, status, WNOHANG));
  if (result === 0) return null;
  if (result < 0) return { code: 1 };
  // The encoding of wait(2): low seven bits a signal, else the second byte the code.
  const value = status.readInt32LE(0);
  return (value & 0x7f) === 0 ? { code: (value >> 8) & 0xff } : { signal: value & 0x7f };
};

// One message block for both directions: the layouts of LP64 (x86-64 and arm64 agree), recvmsg(2), cmsg(3).
const IOVEC = 56;
const DATA = 72;
const CONTROL = 80;
const CONTROL_HEADER = 16;
const BLOCK_SIZE = CONTROL + CONTROL_HEADER + 4 * DESCRIPTORS_MAX;
const block = koffi.alloc('uint8_t', BLOCK_SIZE);
const blockView = new DataView(koffi.view(block, BLOCK_SIZE));
const blockAddress = koffi.address(block);

const prepareMessage = (controlLength: number): void => {
  for (let i = 0; i < BLOCK_SIZE; i++) blockView.setUint8(i, 0);
  blockView.setBigUint64(16, blockAddress + BigInt(IOVEC), true);
  blockView.setBigUint64(24, 1n, true);
  blockView.setBigUint64(32, blockAddress + BigInt(CONTROL), true);
  blockView.setBigUint64(40, BigInt(controlLength), true);
  blockView.setBigUint64(IOVEC, blockAddress + BigInt(DATA), true);
  blockView.setBigUint64(IOVEC + 8, 1n, true);
};

/** Sends 1 to DESCRIPTORS_MAX descriptors as one message; the receiver gets its own copies. Never waits. 0 or -errno. */
export const sendDescriptors = (socket: number, descriptors: readonly number[]): number => {
  if (descriptors.length < 1 || descriptors.length > DESCRIPTORS_MAX) throw new RangeError('1 to 8 descriptors');
  const length = CONTROL_HEADER + 4 * descriptors.length;
  prepareMessage(length);
  blockView.setUint8(DATA, descriptors.length);
  blockView.setBigUint64(CONTROL, BigInt(length), true);
  blockView.setInt32(CONTROL + 8, SOL_SOCKET, true);
  blockView.setInt32(CONTROL + 12, SCM_RIGHTS, true);
  descriptors.forEach((fd, i) => {
    blockView.setInt32(CONTROL + CONTROL_HEADER + 4 * i, fd, true);
  });
  const sent = answer(c.sendmsg(socket, block, MSG_DONTWAIT | MSG_NOSIGNAL));
  return Math.min(sent, 0);
};

/**
 * Takes one message's descriptors (close-on-exec). Never waits: -EAGAIN when there is none, an empty list when the other
 * end is gone, else -errno.
 */
export const receiveDescriptors = (socket: number): number[] | number => {
  prepareMessage(CONTROL_HEADER + 4 * DESCRIPTORS_MAX);
  const received = answer(c.recvmsg(socket, block, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (received < 0) return received;
  if (received === 0 || (blockView.getInt32(48, true) & MSG_CTRUNC) !== 0) return [];
  const length = Number(blockView.getBigUint64(CONTROL, true));
  if (blockView.getInt32(CONTROL + 8, true) !== SOL_SOCKET || blockView.getInt32(CONTROL + 12, true) !== SCM_RIGHTS)
    return [];
  const count = (length - CONTROL_HEADER) / 4;
  return Array.from({ length: count }, (_, i) => blockView.getInt32(CONTROL + CONTROL_HEADER + 4 * i, true));
};

/**
 * A listening UNIX socket at `path`, created with `mode` (no moment at which it is wider). The path must be free and
 * shorter than SOCKET_PATH_LENGTH_MAX bytes. Returns the descriptor (non-blocking, close-on-exec) or -errno.
 */
export const listenUnix = (path: string, mode: number, backlog: number): number => {
  const name = Buffer.from(path);
  if (name.length >= SOCKET_PATH_LENGTH_MAX) return -constants.errno.ENAMETOOLONG;
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  const fd = answer(c.socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const before = process.umask(0o777 & ~mode);
  let result = answer(c.bind(fd, address, address.length));
  process.umask(before);
  if (result >= 0) result = answer(c.listen(fd, backlog));
  if (result >= 0) return fd;
  closeSync(fd);
  return result;
};

/** Takes an exclusive lock on an open file without waiting: 0, or -EWOULDBLOCK when another process has it. It ends with the process. */
export const lockFile = (fd: number): number => answer(c.flock(fd, LOCK_EX_NB));

/** execve grants nothing any more: neither set-user-ID nor file capabilities (no_new_privs). Inherited. 0 or -errno. */
export const setNoNewPrivileges = (): number => answer(c.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));

/** No core dump of this process, no ptrace and no /proc/PID/mem by its own uid. 0 or -errno. */
export const setNotDumpable = (): number => answer(c.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));

/** No core file is written for this process and those that it starts. 0 or -errno. */
export const forbidCoreFiles = (): number => answer(c.setrlimit(RLIMIT_CORE, Buffer.alloc(16)));

/** Numbers of capabilities(7) that Headwater names. */
export const CAPABILITY = {
  CHOWN: 0,
  DAC_OVERRIDE: 1,
  DAC_READ_SEARCH: 2,
  KILL: 5,
  SETGID: 6,
  SETUID: 7,
  NET_ADMIN: 12,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
  SYS_RESOURCE: 24,
  PERFMON: 38,
  BPF: 39,
} as const;

export interface CapabilitySets {
  /** Bit n is capability n. */
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
}

const capabilityHeader = (): Buffer => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(CAPABILITY_VERSION_3, 0);
  return header;
};

/** The calling thread's capability sets. */
export const readCapabilities = (): CapabilitySets => {
  const data = Buffer.alloc(24);
  const result = answer(c.capget(capabilityHeader(), data));
  if (result < 0) throw new Error(`capget: ${errnoName(result)}`);
  const set = (at: number): bigint => BigInt(data.readUInt32LE(at)) | (BigInt(data.readUInt32LE(at + 12)) << 32n);
  return { effective: set(0), permitted: set(4), inheritable: set(8) };
};

/** Sets the calling thread's sets; can only take from `permitted`. Lowering `permitted` or `inheritable` lowers the ambient set. 0 or -errno. */
export const writeCapabilities = (sets: CapabilitySets): number => {
  const data = Buffer.alloc(24);
  [sets.effective, sets.permitted, sets.inheritable].forEach((bits, i) => {
    data.writeUInt32LE(Number(bits & 0xffff_ffffn), 4 * i);
    data.writeUInt32LE(Number(bits >> 32n), 4 * i + 12);
  });
  return answer(c.capset(capabilityHeader(), data));
};

/** Nothing is handed to a program by execve through the ambient set. 0 or -errno (EINVAL before Linux 4.3). */
export const clearAmbientCapabilities = (): number =>
  answer(c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));

/** Hands one capability, which must be permitted and inheritable, on to the program that execve starts. 0 or -errno. */
export const raiseAmbientCapability = (capability: number): number =>
  answer(c.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0));
