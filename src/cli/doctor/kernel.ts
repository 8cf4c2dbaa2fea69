/** Checks of the kernel: what it is, what it shows, what it forbids. */
import { findCgroupMount } from '../../attacher/scope.ts';
import { blocks, everywhere, type Finding, ok, warn } from './finding.ts';
import type { Machine } from './machine.ts';

/** Major and minor version, or null. */
export const kernelVersion = (release: string): readonly [number, number] | null => {
  const found = /^(\d+)\.(\d+)/.exec(release);
  return found === null ? null : [Number(found[1]), Number(found[2])];
};

export const atLeast = (release: string, major: number, minor: number): boolean => {
  const version = kernelVersion(release);
  return version !== null && (version[0] > major || (version[0] === major && version[1] >= minor));
};

const NEW_KERNEL = {
  // Debian's name, else Ubuntu's.
  debian:
    'apt-get install -y linux-image-$(dpkg --print-architecture) || apt-get install -y linux-image-generic   # then reboot',
  fedora: 'dnf upgrade -y kernel   # then reboot',
  alpine: 'apk add --upgrade linux-lts   # then reboot',
};

const kernel = ({ release }: Machine): Finding => {
  if (atLeast(release, 5, 10)) return ok('kernel', `Linux ${release}`);
  if (atLeast(release, 5, 8))
    return warn(
      'kernel',
      `Linux ${release}`,
      'Headwater is tested from 5.10 on; the ring buffer is there since 5.8.',
      NEW_KERNEL,
    );
  return blocks(
    'kernel',
    `Linux ${release}`,
    'The ring buffer needs Linux 5.8, and Headwater is tested from 5.10 on.',
    NEW_KERNEL,
  );
};

const architecture = ({ arch }: Machine): Finding =>
  arch === 'x64' || arch === 'arm64'
    ? ok('architecture', arch)
    : blocks(
        'architecture',
        arch,
        'The kernel programs are built for x86-64 and arm64 only: run Headwater on such a machine.',
        null,
      );

const cgroups = ({ host }: Machine): Finding => {
  const mounted = findCgroupMount(host.read('/proc/self/mountinfo') ?? '');
  if (mounted === null) {
    return blocks(
      'cgroup v2',
      'not mounted',
      'Capturing happens at cgroups of the unified hierarchy. It can be mounted beside version 1 at any time.',
      everywhere('mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified'),
    );
  }
  if (!mounted.hybrid) return ok('cgroup v2', `mounted at ${mounted.mount}`);
  return ok(
    'cgroup v2',
    `mounted at ${mounted.mount}, beside version 1 (hybrid)`,
    'Everything is captured; processes that are only in version 1 cgroups all show the path "/".',
  );
};

const btf = ({ host }: Machine): Finding => {
  if (host.exists('/sys/kernel/btf/vmlinux')) return ok('BTF', '/sys/kernel/btf/vmlinux is there');
  return warn(
    'BTF',
    '/sys/kernel/btf/vmlinux is missing',
    'The kernel was built without CONFIG_DEBUG_INFO_BTF, or this container hides /sys/kernel/btf. If the self-probe below fails, this is why.',
    NEW_KERNEL,
  );
};

const jit = ({ host }: Machine): Finding => {
  const value = host.read('/proc/sys/net/core/bpf_jit_enable')?.trim() ?? null;
  const fix = everywhere('sysctl -w net.core.bpf_jit_enable=1');
  if (value === '1' || value === '2') return ok('JIT', 'on');
  // CONFIG_BPF_JIT_ALWAYS_ON keeps the file and the value 1; containers often hide net/core.
  if (value === null)
    return warn(
      'JIT',
      'unknown: net.core.bpf_jit_enable cannot be read',
      'Without the JIT each packet costs several times more.',
      null,
    );
  return warn('JIT', 'off', 'The kernel interprets programs: each packet costs several times more.', fix);
};

const unprivileged = ({ host }: Machine): Finding => {
  const value = host.read('/proc/sys/kernel/unprivileged_bpf_disabled')?.trim() ?? null;
  if (value === '1' || value === '2') return ok('unprivileged BPF', `off (kernel.unprivileged_bpf_disabled=${value})`);
  return warn(
    'unprivileged BPF',
    value === null
      ? 'unknown: kernel.unprivileged_bpf_disabled cannot be read'
      : 'on (kernel.unprivileged_bpf_disabled=0)',
    'Headwater does not need it, and any user may load programs. Distributions turn it off.',
    everywhere('sysctl -w kernel.unprivileged_bpf_disabled=2'),
  );
};

const lockdown = ({ host }: Machine): Finding => {
  const text = host.read('/sys/kernel/security/lockdown');
  if (text === null) return ok('lockdown', 'no sign of it (no /sys/kernel/security/lockdown)');
  const mode = /\[(\w+)\]/.exec(text)?.[1] ?? 'unknown';
  if (mode === 'none') return ok('lockdown', 'none');
  if (mode === 'integrity') return ok('lockdown', 'integrity', 'Packet programs are not affected.');
  return warn(
    'lockdown',
    mode,
    'Programs may not read kernel memory: owners of sockets may stay unknown. It follows from Secure Boot or lockdown=confidentiality on the kernel command line, and ends with a reboot without it.',
    null,
  );
};

const memlock = ({ host, release, capabilities }: Machine): Finding => {
  // Since 5.11 BPF memory is charged to the cgroup (commit d5299b67dd59).
  if (atLeast(release, 5, 11))
    return ok('memlock', 'not limiting (BPF memory is charged to the cgroup since Linux 5.11)');
  const limit = /^Max locked memory\s+(\S+)/m.exec(host.read('/proc/self/limits') ?? '')?.[1] ?? 'unknown';
  const CAP_SYS_RESOURCE = 24n;
  if (limit === 'unlimited' || Number(limit) >= 64 << 20)
    return ok('memlock', limit === 'unlimited' ? limit : `${limit} bytes`);
  if (((capabilities >> CAP_SYS_RESOURCE) & 1n) === 1n)
    return ok('memlock', `${limit} bytes, raised when programs are loaded`);
  return blocks(
    'memlock',
    `${limit} bytes`,
    'Before Linux 5.11 the ring counts as locked memory, and this process may not raise the limit.',
    everywhere('ulimit -l unlimited   # as root, in the shell that starts headwater'),
  );
};

const tracefs = ({ host }: Machine): Finding => {
  for (const folder of ['/sys/kernel/tracing', '/sys/kernel/debug/tracing']) {
    if (host.exists(`${folder}/available_events`) || host.exists(`${folder}/trace`))
      return ok('tracefs', `mounted at ${folder}`);
  }
  return warn(
    'tracefs',
    'not mounted (or not visible to this user)',
    'Packets do not need it; bpftrace and tracepoints do.',
    everywhere('mount -t tracefs tracefs /sys/kernel/tracing'),
  );
};

const uprobes = ({ host }: Machine): Finding =>
  host.exists('/sys/bus/event_source/devices/uprobe/type')
    ? ok('uprobes', 'available')
    : warn(
        'uprobes',
        'not available',
        'Packets do not need them; reading TLS does. The kernel was built without CONFIG_UPROBE_EVENTS.',
        NEW_KERNEL,
      );

const bpffs = ({ host }: Machine): Finding => {
  const mounted = (host.read('/proc/self/mountinfo') ?? '').split('\n').find((line) => line.includes(' - bpf '));
  return mounted === undefined
    ? ok('bpffs', 'not mounted, and not needed', 'Headwater pins nothing: what it attaches is gone when it ends.')
    : ok('bpffs', `mounted at ${mounted.split(' ')[4]}`);
};

export const KERNEL_CHECKS: readonly ((machine: Machine) => Finding)[] = [
  kernel,
  architecture,
  cgroups,
  btf,
  jit,
  unprivileged,
  lockdown,
  memlock,
  tracefs,
  uprobes,
  bpffs,
];
