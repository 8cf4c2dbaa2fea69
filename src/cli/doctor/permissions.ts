/** Checks of what this process may do and where it runs. */
import { missingForPackets, RUN_WITH_CAPABILITIES } from '../../attacher/privileges.ts';
import { blocks, everywhere, type Finding, ok, warn } from './finding.ts';
import { atLeast } from './kernel.ts';
import type { Machine } from './machine.ts';

const permissions = ({ uid, capabilities, release }: Machine): Finding => {
  const missing = missingForPackets(capabilities);
  const who = uid === 0 ? 'root' : `uid ${uid}`;
  if (missing.length === 0) return ok('permissions', `${who}, with cap_bpf, cap_perfmon and cap_net_admin`);
  const meaning =
    uid === 0
      ? 'This root is confined (a container, or a service with a bounding set): grant the capabilities where it is started.'
      : `Loading and attaching need them; root is not needed otherwise${release.startsWith('5.') ? '' : ' (or, as root, for a user: see fix)'}.`;
  return blocks(
    'permissions',
    `${who}, without ${missing.join(', ')}`,
    meaning,
    everywhere(`sudo headwater run   # or: ${RUN_WITH_CAPABILITIES}`),
  );
};

/** capabilities(7) */
const CAP_SYS_PTRACE = 19n;
const CAP_SYS_ADMIN = 21n;
const CAP_PERFMON = 38n;
const MULTI_SINCE = [6, 6] as const;

/** What taking TLS secrets needs beyond packets (docs/tls.md). */
const tls = ({ capabilities, release, host }: Machine): Finding => {
  const has = (bit: bigint): boolean => ((capabilities >> bit) & 1n) === 1n;
  const multi = atLeast(release, ...MULTI_SINCE);
  const missing = [
    ...(has(CAP_PERFMON) || has(CAP_SYS_ADMIN) ? [] : ['cap_perfmon']),
    // Probes by perf event, where there is no link for them.
    ...(multi || has(CAP_SYS_ADMIN) ? [] : ['cap_sys_admin']),
    // Also root's, when it is confined: processes with more capabilities than its own are closed to it (ptrace(2)).
    ...(has(CAP_SYS_PTRACE) ? [] : ['cap_sys_ptrace']),
  ];
  const meaning = 'TLS connections are named and counted, their calls are not read (docs/tls.md).';
  if (missing.length > 0) {
    const added = missing.map((name) => `+${name.slice(4)}`).join(',');
    return warn(
      'TLS',
      `secrets cannot be taken: without ${missing.join(' and ')}`,
      meaning,
      everywhere(`sudo headwater run   # or add ${added} to the capabilities that it is started with`),
    );
  }
  if (!multi && !host.exists('/sys/bus/event_source/devices/uprobe/type'))
    return warn('TLS', 'secrets cannot be taken: the kernel has no uprobes', meaning, null);
  return ok('TLS', `secrets can be taken, ${multi ? 'by uprobe_multi links' : 'by perf events'}`);
};

/** Words that runtimes leave behind, and what starts a container that may capture. */
const CONTAINER_RUN =
  'docker run --privileged --pid host --network host --cgroupns host -v /sys/fs/cgroup:/sys/fs/cgroup ...';

/** The machine's own, always (PROC_PID_INIT_INO of include/linux/proc_ns.h). */
const HOST_PIDS = 'pid:[4026531836]';

const container = ({ host }: Machine): Finding => {
  const pids = host.link('/proc/self/ns/pid');
  const kind = host.exists('/.dockerenv')
    ? 'docker'
    : host.exists('/run/.containerenv')
      ? 'podman'
      : (/(?:^|\0)container=([a-z-]+)/.exec(host.read('/proc/1/environ') ?? '')?.[1] ?? null);
  if (kind === null && pids !== null && pids !== HOST_PIDS)
    return warn(
      'container',
      'a pid namespace of its own',
      'Calls are captured and their processes named, but processes outside the namespace cannot be looked at: their TLS is not read.',
      everywhere(CONTAINER_RUN),
    );
  if (kind === null) return ok('container', 'none');
  // Files of an image prove nothing: a machine made from one shows the kernel's own threads, a container does not.
  if (host.read('/proc/2/comm')?.trim() === 'kthreadd')
    return ok('container', `none (made from a ${kind} image, but the host's processes are visible)`);
  const seccomp = /^Seccomp:\s*2$/m.test(host.read('/proc/self/status') ?? '');
  return warn(
    'container',
    `${kind}${seccomp ? ', with a seccomp filter' : ''}`,
    `Only what the container's cgroup and pid namespaces show is seen${seccomp ? ', and the filter may forbid bpf()' : ''}.`,
    everywhere(CONTAINER_RUN.replace('docker', kind === 'podman' ? 'podman' : 'docker')),
  );
};

const hidepid = ({ host, uid }: Machine): Finding => {
  const mount = (host.read('/proc/self/mountinfo') ?? '')
    .split('\n')
    .find((line) => line.includes(' - proc ') && line.split(' ')[4] === '/proc');
  const hidden = /hidepid=(?:1|2|4|noaccess|invisible|ptraceable)/.test(mount ?? '');
  if (!hidden || uid === 0)
    return ok('/proc', hidden ? 'hides processes from other users (hidepid), not from root' : 'shows all processes');
  return warn(
    '/proc',
    'hides processes (hidepid)',
    "Names and cgroups of other users' processes stay unknown.",
    everywhere('mount -o remount,hidepid=0 /proc'),
  );
};

const runtime = ({ nodeVersion }: Machine): Finding => {
  const major = Number(nodeVersion.split('.')[0]);
  return major >= 24
    ? ok('Node', nodeVersion)
    : blocks(
        'Node',
        nodeVersion,
        'Headwater needs Node 24; the npm package brings its own when it is installed with its dependencies.',
        everywhere('npm ci   # in the folder of headwater'),
      );
};

export const PERMISSION_CHECKS: readonly ((machine: Machine) => Finding)[] = [
  permissions,
  tls,
  container,
  hidepid,
  runtime,
];
