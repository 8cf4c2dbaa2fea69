/**
 * Entry probes on files, by system calls: libbpf 1.1 does not know the uprobe_multi link, and the process that attaches
 * holds only descriptors. Two ways, probed once when the programs are loaded: the uprobe_multi link (Linux 6.6, CAP_BPF
 * and CAP_PERFMON) and a perf event (any kernel; asks for CAP_SYS_ADMIN).
 */
import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import { closeDescriptor } from './libbpf.ts';

const libc = koffi.load(null);
const c = {
  bpf: libc.func('syscall', 'long', ['long', 'int', 'void *', 'uint32_t']),
  perfEventOpen: libc.func('syscall', 'long', ['long', 'void *', 'int', 'int', 'int', 'unsigned long']),
  ioctl: libc.func('ioctl', 'int', ['int', 'unsigned long', 'long']),
};
const ARM = process.arch === 'arm64';
const SYS_BPF = ARM ? 280 : 321;
const SYS_PERF_EVENT_OPEN = ARM ? 241 : 298;
const BPF_LINK_CREATE = 28;
/** Expected attach type of a program for the uprobe_multi link (linux/bpf.h). */
export const UPROBE_MULTI = 48;
const LINK_ATTRIBUTES = 64;
const PERF_ATTRIBUTES = 112;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_SET_BPF = 0x40042408;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PATH_BYTES_MAX = 256;

// One block of C memory for all calls: attributes, then the path, then the offset.
const BLOCK = 512;
const PATH = 128;
const OFFSET = PATH + PATH_BYTES_MAX;
const block = koffi.alloc('uint8_t', BLOCK);
const view = new DataView(koffi.view(block, BLOCK));
const bytes = new Uint8Array(view.buffer, view.byteOffset, BLOCK);
const address = koffi.address(block);

const prepare = (path: string, offset: number): void => {
  bytes.fill(0);
  const name = Buffer.from(path);
  if (name.length >= PATH_BYTES_MAX) throw new RangeError('path too long');
  bytes.set(name, PATH);
  view.setBigUint64(OFFSET, BigInt(offset), true);
};

const answer = (result: number | bigint): number => (Number(result) < 0 ? -koffi.errno() : Number(result));

/**
 * Probes the instruction at `offset` of the file. `multi`: the program was loaded for UPROBE_MULTI. The path is
 * resolved in this process; /proc/self/fd/N names an open file whatever became of its path. Returns the descriptor that
 * keeps the probe attached, or -errno.
 */
export const attachUprobe = (programFd: number, multi: boolean, path: string, offset: number): number => {
  prepare(path, offset);
  return multi ? attachMulti(programFd) : attachPerf(programFd);
};

const attachMulti = (programFd: number): number => {
  view.setUint32(0, programFd, true);
  view.setUint32(8, UPROBE_MULTI, true);
  view.setBigUint64(16, address + BigInt(PATH), true);
  view.setBigUint64(24, address + BigInt(OFFSET), true);
  view.setUint32(48, 1, true);
  return answer(c.bpf(SYS_BPF, BPF_LINK_CREATE, block, LINK_ATTRIBUTES));
};

const attachPerf = (programFd: number): number => {
  const type = perfType();
  if (type < 0) return type;
  view.setUint32(0, type, true);
  view.setUint32(4, PERF_ATTRIBUTES, true);
  // uprobe_path and probe_offset.
  view.setBigUint64(56, address + BigInt(PATH), true);
  view.setBigUint64(64, view.getBigUint64(OFFSET, true), true);
  const fd = answer(c.perfEventOpen(SYS_PERF_EVENT_OPEN, block, -1, 0, -1, PERF_FLAG_FD_CLOEXEC));
  if (fd < 0) return fd;
  const set = answer(c.ioctl(fd, PERF_EVENT_IOC_SET_BPF, programFd));
  const enabled = set < 0 ? set : answer(c.ioctl(fd, PERF_EVENT_IOC_ENABLE, 0));
  if (enabled >= 0) return fd;
  closeDescriptor(fd);
  return enabled;
};

const ENOENT = -2;

/** The number that this boot gave to uprobe events; -ENOENT: the kernel has none. */
const perfType = (): number => {
  try {
    return Number(readFileSync('/sys/bus/event_source/devices/uprobe/type', 'latin1'));
  } catch {
    return ENOENT;
  }
};
