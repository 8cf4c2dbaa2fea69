/** What a process cost: CPU seconds as the kernel accounts them, and the largest resident memory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Cost {
  readonly user_s: number;
  readonly system_s: number;
  readonly cpu_s: number;
  readonly wall_s: number;
  /** Largest resident set of the process itself, bytes; sampled every 20 ms from VmHWM, which never falls. */
  readonly rss_bytes: number;
  readonly code: number | null;
  readonly stderr: string;
}

const RSS_SAMPLE_MS = 20;
const SETTLE_STEP_MS = 200;
const SETTLE_STEPS_MAX = 50;
/** USER_HZ: the unit of utime and stime in /proc/PID/stat, 100 on every Linux port. */
const TICKS_PER_S = 100;

/** Runs `command` to its end, output thrown away. CPU is bash's `time` (getrusage of the ended child), milliseconds exact. */
export async function cost(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Cost> {
  const script = 'TIMEFORMAT="%U %S %R"; exec 3>&2; time { "$@" >/dev/null 2>&3 & echo "pid $!" >&3; wait $!; }';
  const child: ChildProcess = spawn('bash', ['-c', script, 'bench', ...command], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, ...env },
  });
  let stderr = '';
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  let rss = 0;
  const timer = setInterval(() => {
    const pid = /^pid (\d+)/m.exec(stderr)?.[1];
    if (pid !== undefined) rss = Math.max(rss, rssOf(Number(pid)));
  }, RSS_SAMPLE_MS);
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearInterval(timer);
  const times = /^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+)$/m.exec(stderr.trimEnd().split('\n').at(-1) ?? '');
  if (times === null) throw new Error(`${command.join(' ')}: no times in ${stderr}`);
  const [user, system, wall] = times.slice(1).map(Number) as [number, number, number];
  return { user_s: user, system_s: system, cpu_s: user + system, wall_s: wall, rss_bytes: rss, code, stderr };
}

/** Largest resident set so far; 0 when the process is gone. */
export function rssOf(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** Proportional set size of running processes in bytes: pages that several share count a part for each. */
export function pssOf(pids: readonly number[]): number {
  return pids.reduce(
    (sum, pid) => sum + Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]) * 1024,
    0,
  );
}

/** Resident set now, bytes. */
export function rssNowOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024;
}

/** Waits until the processes use less than a tenth of a core: what piled up under load is worked off. */
export async function settled(pids: readonly number[]): Promise<void> {
  for (let i = 0, before = cpuOf(pids); i < SETTLE_STEPS_MAX; i++) {
    await sleep(SETTLE_STEP_MS);
    const now = cpuOf(pids);
    if (now - before < (SETTLE_STEP_MS / 1000) * 0.1) return;
    before = now;
  }
}

/** Processes that `pid` has started. */
export const childrenOf = (pid: number): number[] =>
  readdirSync(`/proc/${pid}/task`).flatMap((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
  );

/** CPU seconds that running processes have used so far, all their threads; to the nanosecond where the kernel tells. */
export function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (scheduledOf(pid) ?? ticksOf(pid)), 0);
}

/** By /proc/PID/task/TID/schedstat (CONFIG_SCHED_INFO): first field, nanoseconds on a CPU. */
function scheduledOf(pid: number): number | null {
  let ns = 0;
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      ns += Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]);
    } catch {
      return null;
    }
  }
  return ns / 1e9;
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
}

export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** Minimum, median and maximum of the rounds. */
export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { min: at(0), median: at(0.5), max: sorted.at(-1) ?? 0 };
}
