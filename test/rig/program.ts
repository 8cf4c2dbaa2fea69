import { type ChildProcessByStdio, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cgroup } from './cgroup.ts';
import { disown, own } from './registry.ts';

/** Output kept of one program; a test that needs more writes to a file. */
const OUTPUT_MAX = 8 << 20;
/** Bounds for what never comes, on a slow machine that others use too. */
const READY_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 120_000;
/** Nobody looks at how it ends. */
const DISPOSE_TIMEOUT_MS = 5_000;

export interface ProgramOptions {
  /** Runs inside: it is there before its first instruction. A path names a cgroup below one of ours. */
  readonly cgroup?: Cgroup | string;
  /** Runs in this network namespace (of a NetnsPair). */
  readonly netns?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly uid?: number;
  readonly gid?: number;
}

export interface Ended {
  /** null when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line that puts itself into the cgroup and the namespace and then becomes `command`, all under one pid. */
function placed(command: readonly string[], { cgroup, netns }: ProgramOptions): readonly string[] {
  const inner = netns === undefined ? command : ['nsenter', `--net=/run/netns/${netns}`, '--', ...command];
  if (cgroup === undefined) return inner;
  const path = typeof cgroup === 'string' ? cgroup : cgroup.path;
  return ['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', path, ...inner];
}

/** A child process in a process group of its own. Leaving the scope ends it and what it has started. */
export class Program implements AsyncDisposable {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #name: string;
  readonly pid: number;
  /** Settles when it has ended and its output was read; never rejects. */
  readonly ended: Promise<Ended>;
  /** Settles when the process itself is gone; what it has started may hold its output still. */
  readonly #exited: Promise<void>;
  #stdout = '';
  #stderr = '';
  #running = true;

  constructor(command: readonly string[], options: ProgramOptions = {}) {
    const [file, ...args] = placed(command, options);
    this.#name = command.join(' ');
    this.#child = spawn(file!, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.uid === undefined ? {} : { uid: options.uid }),
      ...(options.gid === undefined ? {} : { gid: options.gid }),
    });
    this.#child.stdout.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-OUTPUT_MAX);
    });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-OUTPUT_MAX);
    });
    // A program that ends early does not read what it is given.
    this.#child.stdin.on('error', () => {});
    this.#exited = new Promise((resolve) => {
      this.#child.once('error', () => resolve()).once('exit', () => resolve());
    });
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.#running = false;
        resolve({ code: 127, signal: null, stdout: '', stderr: error.message });
      });
      this.#child.once('close', (code, signal) => {
        this.#running = false;
        resolve({ code, signal, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
    this.pid = this.#child.pid ?? 0;
    own(this, () => this.#signalGroup('SIGKILL'));
  }

  get running(): boolean {
    return this.#running;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get stdin(): Writable {
    return this.#child.stdin;
  }

  /** To the process itself. */
  signal(signal: NodeJS.Signals): void {
    if (!this.#running || this.pid === 0) return;
    try {
      process.kill(this.pid, signal);
    } catch (error) {
      // It has just ended, and its end was not told yet.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #signalGroup(signal: NodeJS.Signals): void {
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, signal);
    } catch {
      // ESRCH: all gone.
    }
  }

  /** Waits until `ready` is true; fails with the program's output when it ends before, or after `timeoutMs`. */
  async until(what: string, ready: () => boolean | Promise<boolean>, timeoutMs = READY_TIMEOUT_MS): Promise<void> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      if (await ready()) return;
      if (!this.#running) throw new Error(`${this.#name} ended before ${what}:\n${this.#stdout}${this.#stderr}`);
      if (performance.now() > end) {
        throw new Error(`${this.#name}: no ${what} within ${timeoutMs} ms:\n${this.#stdout}${this.#stderr}`);
      }
      await sleep(10);
    }
  }

  /** Asks it to end with `signal` and waits; kills its whole group when that takes too long. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', timeoutMs = STOP_TIMEOUT_MS): Promise<Ended> {
    this.signal(signal);
    return this.wait(timeoutMs);
  }

  /** Waits for its end; kills its whole group when that takes longer than `timeoutMs`. */
  async wait(timeoutMs: number): Promise<Ended> {
    const timer = setTimeout(() => this.#signalGroup('SIGKILL'), timeoutMs);
    const ended = await this.ended;
    clearTimeout(timer);
    return ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#running) {
      const timer = setTimeout(() => this.#signalGroup('SIGKILL'), DISPOSE_TIMEOUT_MS);
      this.signal('SIGTERM');
      await this.#exited;
      clearTimeout(timer);
    }
    this.#signalGroup('SIGKILL');
    await this.ended;
    disown(this);
  }
}

export interface RunOptions extends ProgramOptions {
  readonly input?: string | Uint8Array;
  /** Default 120 s; then the program is killed and `signal` says so. */
  readonly timeoutMs?: number;
}

/** Runs a program to its end. Never rejects: `code` and `signal` say how it went. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<Ended> {
  await using program = new Program(command, options);
  program.stdin.end(options.input ?? '');
  return await program.wait(options.timeoutMs ?? RUN_TIMEOUT_MS);
}

/** `run`, for commands whose failure is the rig's own. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const ended = await run(command, options);
  if (ended.code !== 0) throw new Error(`Cannot ${command.join(' ')}: ${ended.stderr || ended.stdout}`);
  return ended.stdout;
}
