/** What this kernel can do, asked by trying: version numbers lie on distribution kernels. */
import { existsSync, readFileSync } from 'node:fs';
import { type Libbpf, libbpf, type Outcome, succeed } from './libbpf.ts';

/** enum bpf_prog_type, bpf_map_type and bpf_func_id of linux/bpf.h. */
const PROG_CGROUP_SKB = 8;
const PROG_CGROUP_SOCK = 9;
const PROG_SOCK_OPS = 13;
const MAP_SK_STORAGE = 24;
const MAP_RINGBUF = 27;
const HELPER_CURRENT_PID_TGID = 14;
const HELPER_CURRENT_COMM = 16;
const HELPER_CURRENT_CGROUP_ID = 80;
const HELPER_SK_STORAGE_GET = 107;
const HELPER_RINGBUF_RESERVE = 131;

const YES = 1;

export interface KernelFeature {
  readonly name:
    | 'cgroup_skb'
    | 'sock_ops'
    | 'ring_buffer'
    | 'socket_storage'
    | 'sock_create'
    | 'writer'
    | 'vmlinux_btf'
    | 'jit';
  readonly present: boolean;
  /** Capture does not work without it. */
  readonly needed: boolean;
  /** What it is for, and since which Linux version it exists. */
  readonly purpose: string;
}

/** May a cgroup_skb program ask which process is running (Linux >= 6.10)? */
export const writerIsKnown = (lib: Libbpf): boolean =>
  [HELPER_CURRENT_PID_TGID, HELPER_CURRENT_COMM, HELPER_CURRENT_CGROUP_ID].every(
    (helper) => lib.probeHelper(PROG_CGROUP_SKB, helper, null) === YES,
  );

/** Tries each feature. Needs CAP_BPF and CAP_NET_ADMIN: without them everything looks absent. */
export function probeKernel(): Outcome<KernelFeature[]> {
  const found = libbpf();
  if (!found.ok) return found;
  const lib = found.value;
  const helper = (type: number, id: number): boolean => lib.probeHelper(type, id, null) === YES;
  const features: KernelFeature[] = [
    {
      name: 'cgroup_skb',
      present: lib.probeProgramType(PROG_CGROUP_SKB, null) === YES,
      needed: true,
      purpose: 'sees the packets of a cgroup (Linux 4.10, CONFIG_CGROUP_BPF)',
    },
    {
      name: 'sock_ops',
      present: lib.probeProgramType(PROG_SOCK_OPS, null) === YES,
      needed: true,
      purpose: 'sees connections open and close (Linux 4.13, CONFIG_CGROUP_BPF)',
    },
    {
      name: 'ring_buffer',
      present: lib.probeMapType(MAP_RINGBUF, null) === YES && helper(PROG_CGROUP_SKB, HELPER_RINGBUF_RESERVE),
      needed: true,
      purpose: 'carries records to user space (Linux 5.8)',
    },
    {
      name: 'socket_storage',
      present: lib.probeMapType(MAP_SK_STORAGE, null) === YES && helper(PROG_CGROUP_SKB, HELPER_SK_STORAGE_GET),
      needed: true,
      purpose: 'keeps the state of each connection (Linux 5.2)',
    },
    {
      name: 'writer',
      present: writerIsKnown(lib),
      needed: false,
      purpose:
        'tells which process writes to a socket (Linux 6.10); without it the process that made the socket is taken',
    },
    {
      name: 'sock_create',
      present: helper(PROG_CGROUP_SOCK, HELPER_CURRENT_PID_TGID) && helper(PROG_CGROUP_SOCK, HELPER_SK_STORAGE_GET),
      needed: false,
      purpose: 'tells which process makes a socket (Linux 5.9); without it processes are looked up in /proc',
    },
    {
      name: 'vmlinux_btf',
      present: existsSync('/sys/kernel/btf/vmlinux'),
      needed: false,
      purpose: 'kernel types (CONFIG_DEBUG_INFO_BTF): not needed for packets',
    },
    {
      name: 'jit',
      present: jitIsOn(),
      needed: false,
      purpose: 'compiles the programs; without it they cost several times more',
    },
  ];
  lib.takeLog();
  return succeed(features);
}

function jitIsOn(): boolean {
  try {
    return readFileSync('/proc/sys/net/core/bpf_jit_enable', 'latin1').trim() !== '0';
  } catch {
    return false;
  }
}
