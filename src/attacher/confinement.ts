/**
 * The pipeline's cage: another uid, no group but its own, no capability, no way to get one back. The child closes it after
 * its code is loaded (an installation below /root is unreadable to anybody else) and before it reads anything. The parent
 * checks it from /proc before it hands anything over.
 */
import {
  clearAmbientCapabilities,
  errnoName,
  forbidCoreFiles,
  setNoNewPrivileges,
  setNotDumpable,
  writeCapabilities,
} from '../kernel/posix.ts';
import type { HostFiles } from './host.ts';

/** What one thread's /proc/PID/task/TID/status says. */
export interface ThreadCredentials {
  /** Real, effective, saved and file system ids. */
  readonly uids: readonly number[];
  readonly gids: readonly number[];
  readonly groups: readonly number[];
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly ambient: bigint;
  readonly noNewPrivileges: boolean;
}

const field = (text: string, name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim() ?? '';
const numbers = (text: string): number[] => (text === '' ? [] : text.split(/\s+/).map(Number));
const mask = (text: string): bigint => (/^[0-9a-f]{1,16}$/.test(text) ? BigInt(`0x${text}`) : -1n);

/** Parses /proc/PID/status (proc(5)). Masks that are not there are -1: never taken for empty. */
export const parseCredentials = (status: string): ThreadCredentials => ({
  uids: numbers(field(status, 'Uid')),
  gids: numbers(field(status, 'Gid')),
  groups: numbers(field(status, 'Groups')),
  inheritable: mask(field(status, 'CapInh')),
  permitted: mask(field(status, 'CapPrm')),
  effective: mask(field(status, 'CapEff')),
  ambient: mask(field(status, 'CapAmb')),
  noNewPrivileges: field(status, 'NoNewPrivs') === '1',
});

/** Who the child must be; null: the parent is not root, the child stays who it is. */
export interface Confinement {
  readonly uid: number;
  readonly gid: number;
}

/** What is wrong with the credentials of a confined process, one line each; empty: it is confined. */
export const confinementProblems = (threads: readonly ThreadCredentials[], wanted: Confinement | null): string[] => {
  if (threads.length === 0) return ['no thread can be read'];
  const problems = new Set<string>();
  for (const thread of threads) {
    if (wanted !== null && (thread.uids.length !== 4 || thread.uids.some((uid) => uid !== wanted.uid)))
      problems.add(`uid ${thread.uids.join(' ')}`);
    if (wanted !== null && (thread.gids.length !== 4 || thread.gids.some((gid) => gid !== wanted.gid)))
      problems.add(`gid ${thread.gids.join(' ')}`);
    if (wanted !== null && thread.groups.length > 0) problems.add(`groups ${thread.groups.join(' ')}`);
    for (const set of ['inheritable', 'permitted', 'effective', 'ambient'] as const) {
      if (thread[set] !== 0n) problems.add(`${set} capabilities ${thread[set].toString(16)}`);
    }
    if (!thread.noNewPrivileges) problems.add('no_new_privs is off');
  }
  return [...problems];
};

/** Credentials of every thread of a process. */
export const readThreads = (host: HostFiles, pid: number | 'self'): ThreadCredentials[] =>
  (host.list(`/proc/${pid}/task`) ?? []).flatMap((tid) => {
    const status = host.read(`/proc/${pid}/task/${tid}/status`);
    return status === null ? [] : [parseCredentials(status)];
  });

/**
 * Closes the cage around the calling process. glibc carries set*id to every thread, and a change from root to another uid
 * clears the capabilities of each (capabilities(7)). Without root the parent has already emptied what execve inherits.
 *
 * @returns what failed, or null.
 */
export const confine = (wanted: Confinement | null): string | null => {
  try {
    if (wanted !== null) {
      process.setgroups?.([]);
      process.setgid?.(wanted.gid);
      process.setuid?.(wanted.uid);
    }
  } catch (error) {
    return String((error as Error).message);
  }
  const steps: readonly (readonly [string, () => number])[] = [
    ['ambient capabilities', clearAmbientCapabilities],
    ['capabilities', () => writeCapabilities({ effective: 0n, permitted: 0n, inheritable: 0n })],
    ['no_new_privs', setNoNewPrivileges],
    ['RLIMIT_CORE', forbidCoreFiles],
    // After the change of uid, which resets it.
    ['PR_SET_DUMPABLE', setNotDumpable],
  ];
  for (const [name, step] of steps) {
    const result = step();
    if (result < 0) return `${name}: ${errnoName(result)}`;
  }
  return null;
};
