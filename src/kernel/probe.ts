/** What this kernel can do, asked by trying: version numbers lie on distribution kernels. */
import { existsSync, readFileSync } from 'node:fs';
import { closeDescriptor, type Libbpf, libbpf, type Outcome, succeed } from './libbpf.ts';

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

/** struct bpf_insn: operation, registers (target, source), offset, constant. */
type Instruction = readonly [code: number, registers: number, constant: number];
const call = (helper: number): Instruction => [0x85, 0, helper];
/** Asks all that the kernel side asks of a writer; its name goes to 16 bytes of the stack. */
const ASK_WRITER: readonly Instruction[] = [
  call(HELPER_CURRENT_PID_TGID),
  call(HELPER_CURRENT_CGROUP_ID),
  [0xbf, 0xa1, 0], // r1 = r10
  [0x07, 0x01, -16], // r1 += -16
  [0xb7, 0x02, 16], // r2 = 16
  call(HELPER_CURRENT_COMM),
  [0xb7, 0x00, 1], // r0 = 1
  [0x95, 0, 0], // exit
];

/**
 * May a cgroup_skb program ask which process is running, and its name? Tried with a program that does: libbpf's own probe
 * knows the verifier's words, which have changed, and says yes of Linux 6.12, which gives the process but not its name.
 */
export function writerIsKnown(lib: Libbpf): boolean {
  const code = Buffer.alloc(8 * ASK_WRITER.length);
  ASK_WRITER.forEach(([operation, registers, constant], i) => {
    code.writeUInt8(operation, 8 * i);
    code.writeUInt8(registers, 8 * i + 1);
    code.writeInt32LE(constant, 8 * i + 4);
  });
  const fd = lib.loadProgram(PROG_CGROUP_SKB, 'headwater_probe', 'Dual BSD/GPL', code, ASK_WRITER.length, null);
  if (fd < 0) return false;
  closeDescriptor(fd);
  return true;
}

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
        'tells which process writes to a socket (newer than Linux 6.12); without it the process that made the socket is taken',
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

/** What a kernel that refuses the programs lacks, and what to do; null: nothing that they need. */
export function whatLacks(features: readonly KernelFeature[], release: string): string | null {
  const lacking = features.filter(({ needed, present }) => needed && !present);
  if (lacking.length === 0) return null;
  const each = lacking.map(({ name, purpose }) => `${name.replaceAll('_', ' ')}, which ${purpose}`);
  return `Linux ${release} lacks ${each.join('; ')}. Boot Linux 5.10 or newer; headwater doctor says how`;
}

function jitIsOn(): boolean {
  try {
    return readFileSync('/proc/sys/net/core/bpf_jit_enable', 'latin1').trim() !== '0';
  } catch {
    return false;
  }
}
