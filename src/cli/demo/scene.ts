/** Everything that the demo puts on this machine for a few seconds: a cgroup, the processes in it, a folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, fail } from '../../base/failure.ts';

const STOP_TIMEOUT_MS = 15_000;
const REMOVE_TIMEOUT_MS = 5_000;
/** Output kept of one process, for the message when it fails. */
const OUTPUT_MAX = 65_536;

/** Where cgroup v2 is mounted, also on hybrid hosts; null when it is not. */
function unifiedMount(): string | null {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before, after] = line.split(' - ');
    if (after?.startsWith('cgroup2 ') === true) return before!.split(' ')[4]!;
  }
  return null;
}

export interface Actor {
  readonly pid: number;
  /** What it has printed so far. */
  output(): string;
  /** Exit code, or null when a signal ended it. */
  readonly ended: Promise<number | null>;
  running(): boolean;
  stop(signal: NodeJS.Signals): Promise<number | null>;
}

export class Scene implements AsyncDisposable {
  readonly folder: string;
  readonly cgroup: string;
  readonly #children: ChildProcess[] = [];

  constructor() {
    const mount = unifiedMount();
    if (mount === null) fail(EXIT.MACHINE, 'cgroup v2 is not mounted', 'as root: mount -t cgroup2 none /sys/fs/cgroup');
    this.cgroup = join(mount, `headwater-demo-${process.pid}`);
    try {
      mkdirSync(this.cgroup);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      fail(EXIT.MACHINE, `cannot make the cgroup ${this.cgroup}: ${code}`, 'run the demo as root: sudo npm run demo');
    }
    this.folder = mkdtempSync(join(tmpdir(), 'headwater-demo-'));
  }

  /** Starts a process; `inside`: in the cgroup, before its first instruction. `onLine` gets each line of its stdout. */
  start(
    command: readonly string[],
    options: { inside: boolean; env?: Record<string, string>; onLine?: (line: string) => void },
  ): Actor {
    const enter = ['/bin/sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.cgroup];
    const [file, ...args] = options.inside ? [...enter, ...command] : command;
    const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } });
    this.#children.push(child);
    let output = '';
    let line = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output = (output + text).slice(-OUTPUT_MAX);
        if (stream !== child.stdout || options.onLine === undefined) return;
        const lines = (line + text).split('\n');
        line = lines.pop()!;
        for (const whole of lines) options.onLine(whole);
      });
    }
    const ended = new Promise<number | null>((resolve) => {
      child.once('error', (error) => {
        output += error.message;
        resolve(127);
      });
      child.once('close', resolve);
    });
    const running = (): boolean => child.exitCode === null && child.signalCode === null;
    return {
      pid: child.pid ?? 0,
      output: () => output,
      ended,
      running,
      stop: async (signal) => {
        if (running()) child.kill(signal);
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
        const code = await ended;
        clearTimeout(timer);
        return code;
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    for (let waited = 0; existsSync(this.cgroup); waited += 20) {
      this.#killMembers();
      try {
        rmdirSync(this.cgroup);
      } catch (error) {
        // EBUSY: processes take a moment to die.
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || waited > REMOVE_TIMEOUT_MS) throw error;
        await sleep(20);
      }
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  #killMembers(): void {
    // cgroup.kill: Linux 5.14 and newer.
    const kill = join(this.cgroup, 'cgroup.kill');
    if (existsSync(kill)) {
      writeFileSync(kill, '1');
      return;
    }
    for (const pid of readFileSync(join(this.cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended meanwhile.
      }
    }
  }
}
