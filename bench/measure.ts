/** What a process cost: CPU seconds as the kernel accounts them, and the largest resident memory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

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

/** CPU seconds that running processes have used so far, all their threads. */
export function cpuOf(pids: readonly number[]): number {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks / TICKS_PER_S;
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
