/** What /proc says of one process. Files vanish between two reads: then the answer is null, never half of one. */
import { CGROUP_PATH_LENGTH_MAX, identifyCgroup } from '../model/service.ts';
import type { HostFiles } from './host.ts';

export interface ProcessFacts {
  readonly pid: number;
  /** `comm`: at most 15 bytes, as the program or the kernel set it. */
  readonly name: string;
  /** Path below the unified mount; "" when the process is in no unified hierarchy that we can see. */
  readonly cgroup: string;
  /** 64 hex digits, or null. */
  readonly container: string | null;
}

/** Path in the unified hierarchy, from the text of /proc/PID/cgroup. */
export const unifiedPath = (text: string): string => {
  for (const line of text.split('\n')) {
    // A removed cgroup keeps its path with this mark behind it (cgroup-v2.rst).
    if (line.startsWith('0::'))
      return line
        .slice(3)
        .replace(/ \(deleted\)$/, '')
        .slice(0, CGROUP_PATH_LENGTH_MAX);
  }
  return '';
};

/** Names that a runtime gives to its first thread: they hide what the program is. Node since 23. */
const THREAD_NAMES: ReadonlySet<string> = new Set(['MainThread']);
/** As long as `comm` can be. */
const NAME_LENGTH_MAX = 15;

/** File name of the program as it was started; null when /proc does not tell. */
const programName = (host: HostFiles, pid: number): string | null => {
  const program = host.read(`/proc/${pid}/cmdline`, 4096)?.split('\0')[0] ?? '';
  const name = program.slice(program.lastIndexOf('/') + 1).slice(0, NAME_LENGTH_MAX);
  return name === '' ? null : name;
};

export const readProcess = (host: HostFiles, pid: number): ProcessFacts | null => {
  const comm = host.read(`/proc/${pid}/comm`, 64);
  const cgroupText = host.read(`/proc/${pid}/cgroup`, 65536);
  if (comm === null || cgroupText === null) return null;
  const cgroup = unifiedPath(cgroupText);
  const thread = comm.replace(/\n$/, '');
  const name = THREAD_NAMES.has(thread) ? (programName(host, pid) ?? thread) : thread;
  return { pid, name, cgroup, container: identifyCgroup(cgroup).container };
};

/** Start time in clock ticks since boot (field 22 of /proc/PID/stat): tells a reused pid. -1 when the process is gone. */
export const startTime = (host: HostFiles, pid: number): number => {
  const stat = host.read(`/proc/${pid}/stat`, 4096);
  if (stat === null) return -1;
  // The name may hold spaces and parentheses: fields count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[19]);
  return Number.isFinite(ticks) ? ticks : -1;
};

interface CachedProcess {
  readonly facts: ProcessFacts;
  readonly checkedAt: number;
}

/** Processes remembered; the least recently read goes first. */
const PROCESSES_MAX = 4_096;
/** Name and cgroup are read again after this long: pids are reused, processes exec and move. */
const FRESH_MS = 2_000;
/** What was read of a process is believed so long after its end: then its pid may be another's, which is gone as well. */
const GONE_MS = 60_000;

/** Remembers processes, so that a connection costs no file reads. */
export class ProcessCache {
  readonly #host: HostFiles;
  readonly #known = new Map<number, CachedProcess>();

  constructor(host: HostFiles) {
    this.#host = host;
  }

  /**
   * Facts of a process, or null when it is gone (what was read just before it ended is kept, so a short-lived client still has a name) or
   * /proc hides it.
   *
   * @param nowMs any monotonic clock, milliseconds.
   */
  get(pid: number, nowMs: number): ProcessFacts | null {
    const cached = this.#known.get(pid);
    if (cached !== undefined && nowMs - cached.checkedAt < FRESH_MS) return cached.facts;
    const facts = readProcess(this.#host, pid);
    if (facts === null) return cached !== undefined && nowMs - cached.checkedAt < GONE_MS ? cached.facts : null;
    this.#known.delete(pid);
    this.#remember(pid, { facts, checkedAt: nowMs });
    return facts;
  }

  #remember(pid: number, process: CachedProcess): void {
    if (this.#known.size >= PROCESSES_MAX) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(pid, process);
  }
}
