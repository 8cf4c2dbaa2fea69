/**
 * The only file that calls into C. Two halves: what libc gives to anybody (mmap of inherited descriptors, clocks,
 * poll), and libbpf, which only the process that loads programs needs; libbpf.so.1 is opened when it is first asked
 * for, so the unprivileged reader never loads it.
 */
import koffi from 'koffi';

/** What can go wrong here, each with what to do about it in `message`. */
export type KernelErrorReason =
  | 'libbpf_missing'
  | 'object_missing'
  | 'permission'
  | 'rejected'
  | 'not_a_cgroup'
  | 'attach_failed'
  | 'map_failed';

export interface KernelError {
  readonly reason: KernelErrorReason;
  /** One sentence for the user: what failed, and what to do next. */
  readonly message: string;
  /** Last lines of libbpf's or the verifier's own words; "" when there are none. */
  readonly detail: string;
}

export type Outcome<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: KernelError };

export const succeed = <T>(value: T): Outcome<T> => ({ ok: true, value });
export const fail = (reason: KernelErrorReason, message: string, detail = ''): Outcome<never> => ({
  ok: false,
  error: { reason, message, detail },
});

const EPERM = 1;

/** The kernel says EPERM for a missing capability; EACCES is the verifier's word for a program that it refuses. */
export const needsCapabilities = (errno: number): boolean => errno === EPERM;

/** What to do when the kernel says EPERM. */
export const CAPABILITY_HINT =
  'run it as root, or give the attacher CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN (on kernels before 5.11 also raise the memlock limit)';

// --- libc -----------------------------------------------------------------------------------------------------------

const libc = koffi.load(null);
const timespec = koffi.struct({ sec: 'int64_t', nsec: 'int64_t' });
const c = {
  mmap: libc.func('mmap', 'intptr_t', ['uintptr_t', 'size_t', 'int', 'int', 'int', 'int64_t']),
  munmap: libc.func('munmap', 'int', ['intptr_t', 'size_t']),
  clockGettime: libc.func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(timespec))]),
  sysconf: libc.func('sysconf', 'long', ['int']),
  open: libc.func('open', 'int', ['str', 'int']),
  close: libc.func('close', 'int', ['int']),
  epollCreate1: libc.func('epoll_create1', 'int', ['int']),
  epollCtl: libc.func('epoll_ctl', 'int', ['int', 'int', 'int', 'void *']),
  epollWait: libc.func('epoll_wait', 'int', ['int', 'void *', 'int', 'int']),
};

const SC_PAGESIZE = 30;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;

/** Bytes of a memory page. */
export const PAGE = Number(c.sysconf(SC_PAGESIZE));

/** A shared mapping of a descriptor. `release` must be called only when nobody uses `buffer` any more. */
export interface Mapping {
  readonly buffer: ArrayBuffer;
  release(): void;
}

/** Maps `length` bytes of `fd` from `offset` (both multiples of PAGE); returns the errno when the kernel refuses. */
export function mapShared(fd: number, offset: number, length: number, writable: boolean): Mapping | number {
  const at = c.mmap(0, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, offset) as
    | number
    | bigint;
  if (Number(at) === -1) return koffi.errno();
  return {
    buffer: koffi.view(BigInt(at), length),
    release: () => {
      c.munmap(at, length);
    },
  };
}

/** Opens a directory for attaching to it; the errno as a negative number when that fails. */
export function openDirectory(path: string): number {
  const O_DIRECTORY_CLOEXEC = 0o200000 | 0o2000000;
  const fd = c.open(path, process.arch === 'arm64' ? 0o40000 | 0o2000000 : O_DIRECTORY_CLOEXEC) as number;
  return fd < 0 ? -koffi.errno() : fd;
}

export function closeDescriptor(fd: number): void {
  c.close(fd);
}

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;

function readClock(id: number): bigint {
  const ts: { sec?: number | bigint; nsec?: number | bigint } = {};
  c.clockGettime(id, ts);
  return BigInt(ts.sec!) * 1_000_000_000n + BigInt(ts.nsec!);
}

/** CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns. */
export const monotonicNs = (): bigint => readClock(CLOCK_MONOTONIC);
export const realtimeNs = (): bigint => readClock(CLOCK_REALTIME);

export interface Poll {
  /** Calls back once when the descriptor is readable; a second `arm` before that changes nothing. */
  arm(onReadable: () => void): void;
  close(): void;
}

/** Readiness of any descriptor that epoll takes, through the event loop's own epoll. Does not keep the process alive. */
export function pollReadable(fd: number): Poll {
  let handle: ReturnType<typeof koffi.node.poll> | null = null;
  const stop = (): void => {
    handle?.stop();
    handle?.close();
    handle = null;
  };
  return {
    arm: (onReadable) => {
      if (handle !== null) return;
      handle = koffi.node.poll(fd, { readable: true }, () => {
        stop();
        onReadable();
      });
      handle.unref();
    },
    close: stop,
  };
}

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLIN_ET = 1 | (1 << 31);
/** struct epoll_event, which x86-64 packs: whatever follows the flags stays 0. */
const EPOLL_EVENT_BYTES = 16;

/**
 * Calls back each time somebody wakes who waits for `fd`: what could be read before, or comes without waking anybody, is no reason. The event
 * loop's own epoll asks whether there is something to read, so another one, edge-triggered, lies between (epoll(7)). Does not
 * keep the process alive. An errno when the kernel refuses.
 */
export function onWake(fd: number, woken: () => void): { close(): void } | number {
  const between = c.epollCreate1(EPOLL_CLOEXEC) as number;
  if (between < 0) return koffi.errno();
  const event = Buffer.alloc(EPOLL_EVENT_BYTES);
  event.writeInt32LE(EPOLLIN_ET);
  if ((c.epollCtl(between, EPOLL_CTL_ADD, fd, event) as number) < 0) {
    const errno = koffi.errno();
    c.close(between);
    return errno;
  }
  // Adding it tells what is there by now.
  c.epollWait(between, event, 1, 0);
  const handle = koffi.node.poll(between, { readable: true }, () => {
    c.epollWait(between, event, 1, 0);
    woken();
  });
  handle.unref();
  return {
    close: () => {
      handle.stop();
      handle.close();
      c.close(between);
    },
  };
}

// --- libbpf ---------------------------------------------------------------------------------------------------------

/** Opaque C pointers. */
export type Pointer = bigint;

export interface Libbpf {
  readonly version: string;
  readonly open: (path: string, opts: null) => Pointer;
  readonly load: (object: Pointer) => number;
  readonly closeObject: (object: Pointer) => void;
  readonly nextProgram: (object: Pointer, previous: Pointer | null) => Pointer;
  readonly programName: (program: Pointer) => string;
  readonly programFd: (program: Pointer) => number;
  readonly setAutoload: (program: Pointer, yes: boolean) => number;
  readonly setExpectedAttachType: (program: Pointer, attachType: number) => number;
  readonly findMap: (object: Pointer, name: string) => Pointer;
  readonly nextMap: (object: Pointer, previous: Pointer | null) => Pointer;
  readonly mapName: (map: Pointer) => string;
  readonly mapFd: (map: Pointer) => number;
  readonly setMaxEntries: (map: Pointer, entries: number) => number;
  readonly setInitialValue: (map: Pointer, data: Uint8Array, size: number) => number;
  readonly setAutocreate: (map: Pointer, yes: boolean) => number;
  readonly linkCreate: (programFd: number, targetFd: number, attachType: number, opts: null) => number;
  readonly mapUpdate: (map: number, key: Uint8Array, value: Uint8Array, flags: number) => number;
  /** Descriptor that keeps the program attached, or -errno. */
  readonly rawTracepoint: (name: string, programFd: number) => number;
  readonly enableStats: (kind: number) => number;
  readonly infoByFd: (fd: number, info: Uint8Array, length: [number]) => number;
  readonly possibleCpus: () => number;
  readonly probeHelper: (programType: number, helper: number, opts: null) => number;
  readonly loadProgram: (
    programType: number,
    name: string,
    license: string,
    instructions: Uint8Array,
    count: number,
    opts: null,
  ) => number;
  readonly probeProgramType: (programType: number, opts: null) => number;
  readonly probeMapType: (mapType: number, opts: null) => number;
  /** Everything libbpf has printed since the last call, newest 16 KiB. */
  readonly takeLog: () => string;
}

const LOG_BYTES_MAX = 16 * 1024;
const LINE_BYTES_MAX = 1024 * 1024;
const INSTALL_HINT =
  'install it: apt-get install libbpf1 (Debian 12, Ubuntu 24.04), dnf install libbpf (Fedora), apk add libbpf (Alpine)';

let loaded: Outcome<Libbpf> | null = null;

/** libbpf 1.x of the system; opened once. */
export function libbpf(): Outcome<Libbpf> {
  loaded ??= openLibbpf();
  return loaded;
}

function openLibbpf(): Outcome<Libbpf> {
  let lib: ReturnType<typeof koffi.load>;
  try {
    lib = koffi.load('libbpf.so.1');
  } catch (e) {
    return fail(
      'libbpf_missing',
      `Cannot load libbpf.so.1: ${INSTALL_HINT}`,
      e instanceof Error ? e.message : String(e),
    );
  }
  return succeed({
    version: lib.func('libbpf_version_string', 'str', [])() as string,
    open: lib.func('bpf_object__open_file', 'void *', ['str', 'void *']),
    load: lib.func('bpf_object__load', 'int', ['void *']),
    closeObject: lib.func('bpf_object__close', 'void', ['void *']),
    nextProgram: lib.func('bpf_object__next_program', 'void *', ['void *', 'void *']),
    programName: lib.func('bpf_program__name', 'str', ['void *']),
    programFd: lib.func('bpf_program__fd', 'int', ['void *']),
    setAutoload: lib.func('bpf_program__set_autoload', 'int', ['void *', 'bool']),
    setExpectedAttachType: lib.func('bpf_program__set_expected_attach_type', 'int', ['void *', 'int']),
    findMap: lib.func('bpf_object__find_map_by_name', 'void *', ['void *', 'str']),
    nextMap: lib.func('bpf_object__next_map', 'void *', ['void *', 'void *']),
    mapName: lib.func('bpf_map__name', 'str', ['void *']),
    mapFd: lib.func('bpf_map__fd', 'int', ['void *']),
    setMaxEntries: lib.func('bpf_map__set_max_entries', 'int', ['void *', 'uint32_t']),
    setInitialValue: lib.func('bpf_map__set_initial_value', 'int', ['void *', 'void *', 'size_t']),
    setAutocreate: lib.func('bpf_map__set_autocreate', 'int', ['void *', 'bool']),
    linkCreate: lib.func('bpf_link_create', 'int', ['int', 'int', 'int', 'void *']),
    mapUpdate: lib.func('bpf_map_update_elem', 'int', ['int', 'void *', 'void *', 'uint64_t']),
    rawTracepoint: lib.func('bpf_raw_tracepoint_open', 'int', ['str', 'int']),
    enableStats: lib.func('bpf_enable_stats', 'int', ['int']),
    infoByFd: lib.func('bpf_obj_get_info_by_fd', 'int', ['int', 'void *', koffi.inout('uint32_t *')]),
    possibleCpus: lib.func('libbpf_num_possible_cpus', 'int', []),
    probeHelper: lib.func('libbpf_probe_bpf_helper', 'int', ['int', 'int', 'void *']),
    loadProgram: lib.func('bpf_prog_load', 'int', ['int', 'str', 'str', 'void *', 'size_t', 'void *']),
    probeProgramType: lib.func('libbpf_probe_bpf_prog_type', 'int', ['int', 'void *']),
    probeMapType: lib.func('libbpf_probe_bpf_map_type', 'int', ['int', 'void *']),
    takeLog: captureLog(lib),
  });
}

/** Replaces libbpf's printing to stderr; its va_list is formatted by vsnprintf (it is passed as a pointer on x86-64 and arm64). */
function captureLog(lib: ReturnType<typeof koffi.load>): () => string {
  const vsnprintf = libc.func('vsnprintf', 'int', ['void *', 'size_t', 'void *', 'void *']);
  const print = koffi.proto('int (int level, void *format, void *args)');
  // A refused program's whole log is one line to libbpf.
  const line = Buffer.alloc(LINE_BYTES_MAX);
  const LEVEL_DEBUG = 2;
  let log = '';
  const callback = koffi.register((level: number, format: Pointer, args: Pointer) => {
    if (level >= LEVEL_DEBUG) return 0;
    const length = vsnprintf(line, line.length, format, args) as number;
    log = (log + line.latin1Slice(0, Math.min(length, line.length - 1))).slice(-LOG_BYTES_MAX);
    return length;
  }, koffi.pointer(print));
  lib.func('libbpf_set_print', 'void *', [koffi.pointer(print)])(callback);
  return () => {
    const text = log;
    log = '';
    return text;
  };
}
