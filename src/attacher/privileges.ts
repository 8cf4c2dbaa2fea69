/**
 * What the attacher may do, and when. Loading and attaching need the wide set; afterwards the process starts anew with what
 * the control channel's fixed operations need (docs/decisions/0020-privileges.md says which and why).
 */
import {
  CAPABILITY,
  clearAmbientCapabilities,
  errnoName,
  forbidCoreFiles,
  raiseAmbientCapability,
  readCapabilities,
  setNoNewPrivileges,
  setNotDumpable,
  writeCapabilities,
} from '../kernel/posix.ts';
import { Refusal } from './refusal.ts';

export type CapabilityName = keyof typeof CAPABILITY;

const bit = (name: CapabilityName): bigint => 1n << BigInt(CAPABILITY[name]);
const bits = (names: readonly CapabilityName[]): bigint => names.reduce((set, name) => set | bit(name), 0n);

/** Kept effective after attaching. */
export const KEPT_EFFECTIVE: readonly CapabilityName[] = [
  /** Reading the counters of programs and maps where unprivileged bpf() is off altogether (kernels < 5.19). */
  'BPF',
  /** /proc/PID/fd of other users: which process holds a socket. */
  'SYS_PTRACE',
  'DAC_READ_SEARCH',
  /** Ending the pipeline, which runs as another user. */
  'KILL',
];

/** Kept permitted and raised for one call only. */
export const KEPT_PERMITTED: readonly CapabilityName[] = [
  /** BPF_ENABLE_STATS asks for it (kernel/bpf/syscall.c); only while `status` measures the programs. */
  'SYS_ADMIN',
  /** Probing a library of a process that starts later; CAP_SYS_ADMIN implies it where that is kept. */
  'PERFMON',
  /** Rotating a log in a folder of another user, as opening it there was allowed. */
  'DAC_OVERRIDE',
];

/**
 * Capability names (lower case, as setpriv and setcap write them) missing from the effective set for loading and attaching packet
 * programs. Without CAP_PERFMON the verifier holds them to its rules against Spectre v1 (bypass_spec_v1 in kernel/bpf/verifier.c):
 * no offset into a record or onto the stack that was computed.
 */
export const missingForPackets = (effective: bigint): string[] =>
  // Before 5.8 CAP_SYS_ADMIN was all of it, and it still implies CAP_BPF and CAP_PERFMON (linux/capability.h).
  [
    ...((effective & (bit('BPF') | bit('SYS_ADMIN'))) === 0n ? ['cap_bpf'] : []),
    ...((effective & (bit('PERFMON') | bit('SYS_ADMIN'))) === 0n ? ['cap_perfmon'] : []),
    ...((effective & bit('NET_ADMIN')) === 0n ? ['cap_net_admin'] : []),
  ];

/** How a user gets just these. */
export const RUN_WITH_CAPABILITIES =
  'sudo setpriv --reuid USER --init-groups --inh-caps +bpf,+perfmon,+net_admin --ambient-caps +bpf,+perfmon,+net_admin headwater run';

/** Refuses when this process cannot load and attach; says how to get there. */
export const checkCapabilities = (): Refusal | null => {
  const missing = missingForPackets(readCapabilities().effective);
  if (missing.length === 0) return null;
  return new Refusal(
    `Cannot attach to cgroups: ${missing.join(', ')} ${missing.length > 1 ? 'are' : 'is'} missing.`,
    `Run it as root (sudo headwater run), or give a user just these: ${RUN_WITH_CAPABILITIES}`,
  );
};

/**
 * Before anything is started: no core file, no memory read by others of the same uid, nothing granted by a later execve,
 * nothing inherited through the ambient set. Returns what failed, or null.
 */
export const hardenSelf = (): string | null => {
  const steps: readonly (readonly [string, () => number])[] = [
    ['no_new_privs', setNoNewPrivileges],
    ['RLIMIT_CORE', forbidCoreFiles],
    ['PR_SET_DUMPABLE', setNotDumpable],
    ['ambient capabilities', clearAmbientCapabilities],
  ];
  for (const [name, step] of steps) {
    const result = step();
    if (result < 0) return `${name}: ${errnoName(result)}`;
  }
  const sets = readCapabilities();
  const result = writeCapabilities({ ...sets, inheritable: 0n });
  return result < 0 ? `inheritable capabilities: ${errnoName(result)}` : null;
};

const KEPT = bits([...KEPT_EFFECTIVE, ...KEPT_PERMITTED]);

/**
 * Before the process starts anew as the resident attacher: gives up for good, in every thread that will be, what is not
 * kept. Root gets its permitted set back at execve, no more than it has now (no_new_privs); others need the ambient set.
 * Returns what failed, or null.
 */
export const prepareResident = (): string | null => {
  const kept = readCapabilities().permitted & KEPT;
  const root = process.geteuid?.() === 0;
  const result = writeCapabilities({ effective: kept, permitted: kept, inheritable: root ? 0n : kept });
  if (result < 0) return `capset: ${errnoName(result)}`;
  if (root) return null;
  for (const name of [...KEPT_EFFECTIVE, ...KEPT_PERMITTED]) {
    if ((kept & bit(name)) === 0n) continue;
    const raised = raiseAmbientCapability(CAPABILITY[name]);
    if (raised < 0) return `ambient ${name}: ${errnoName(raised)}`;
  }
  return null;
};

/** In the resident attacher: effective is only what every request may need. Returns what failed, or null. */
export const settleResident = (): string | null => {
  const { permitted } = readCapabilities();
  const result = writeCapabilities({
    effective: permitted & bits(KEPT_EFFECTIVE),
    permitted: permitted & KEPT,
    inheritable: 0n,
  });
  return result < 0 ? `capset: ${errnoName(result)}` : null;
};

/** Runs `action` (synchronous, on this thread) with one more capability, when it is permitted; without it otherwise. */
export const withCapability = <T>(name: CapabilityName, action: () => T): T => {
  const before = readCapabilities();
  const raised = before.effective | (before.permitted & bit(name));
  if (raised === before.effective) return action();
  writeCapabilities({ ...before, effective: raised });
  try {
    return action();
  } finally {
    writeCapabilities(before);
  }
};
