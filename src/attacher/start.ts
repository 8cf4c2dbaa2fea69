/**
 * The privileged parent of `headwater run`: takes the socket, loads and attaches, starts the pipeline in its cage, hands
 * over, and then only answers a fixed list of requests. It never reads a byte that came from the network.
 *
 * Order matters: everything that can be refused is tried before anything is attached; the log, the key and the rest go
 * to the pipeline only after /proc shows that its cage is closed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { descriptorPair, errnoName } from '../kernel/posix.ts';
import type { ProgramStatus } from '../model/status.ts';
import { loadInstallationKey } from '../redact/key.ts';
import { type Answer, Channel } from './channel.ts';
import { type Confinement, confinementProblems, readThreads } from './confinement.ts';
import { HostFiles } from './host.ts';
import type { KernelSide, LoadKernel } from './kernel-side.ts';
import { type LogFileOptions, LogFiles } from './log-files.ts';
import { Owners } from './owners.ts';
import { checkCapabilities, dropAfterAttach, hardenSelf, withCapability } from './privileges.ts';
import { readProcess } from './processes.ts';
import type { MapDescriptor, Request, StartMessage } from './protocol.ts';
import { Refusal } from './refusal.ts';
import { claimRuntime, type RuntimeClaim } from './runtime.ts';
import { resolveScope, type Scope } from './scope.ts';
import { findUser } from './users.ts';

export interface AttacherOptions {
  /** Folders given with --cgroup; none: the whole unified hierarchy. */
  readonly cgroups: readonly string[];
  /** User that the pipeline runs as, when this process is root. */
  readonly user: string;
  readonly socketPath: string;
  /** The header log: a file, standard output, or none. */
  readonly log: LogFileOptions | 'stdout' | null;
  /** Installation key for fingerprints; created when it is not there. */
  readonly keyPath: string;
  /** Module that exports `runPipeline: RunPipeline` (child.ts). Absolute path. */
  readonly pipelineEntry: string;
  /** Plain JSON for the pipeline. */
  readonly pipelineConfig: unknown;
  /** Flags of the runtime for the pipeline's process, for example --cpu-prof. */
  readonly runtimeFlags?: readonly string[];
  readonly loadKernel: LoadKernel;
  /** Takes lines for the user (stderr). */
  readonly say: (line: string) => void;
}

export interface RunningAttacher {
  readonly pipelinePid: number;
  /** Exit code of the run. */
  readonly done: Promise<number>;
  /** Detaches, lets the pipeline write what was captured, and ends; a second call ends it at once. */
  stop(reason: string): void;
  /** Opens the log's path again (SIGHUP). */
  reopen(): void;
}

const SOCKET_MODE = 0o600;
/** From spawn to the closed cage. */
const START_MS_MAX = 20_000;
/** From `drain` to the pipeline's end; then it is killed. */
const DRAIN_MS_MAX = 15_000;
const EXIT_BAD = 1;
/** Descriptors that the pipeline inherits: 0 to 2, control, descriptors, listening socket, log, then the maps. */
const SOCKET_FD = 5;
const LOG_FD = 6;
const FIRST_MAP_FD = 7;

/** Starts everything, or says why not (exit code 3) with nothing left behind. */
export const startAttacher = (options: AttacherOptions): RunningAttacher | Refusal => {
  const host = new HostFiles();
  const root = process.geteuid?.() === 0;
  const user = root ? findUser(options.user, host.read('/etc/passwd') ?? '') : null;
  if (user instanceof Refusal) return user;
  const scope = resolveScope(host, options.cgroups);
  if (scope instanceof Refusal) return scope;
  for (const covered of scope.covered) options.say(`${covered} is inside another observed cgroup: observed once`);
  const lacking = checkCapabilities();
  if (lacking !== null) return lacking;
  const key = installationKey(options.keyPath);
  if (key instanceof Refusal) return key;

  // Undone in reverse when something is refused further on.
  const undo: (() => void)[] = [];
  const refuse = (refusal: Refusal): Refusal => {
    for (const step of undo.reverse()) step();
    return refusal;
  };
  const claim = claimRuntime(options.socketPath, SOCKET_MODE);
  if (claim instanceof Refusal) return claim;
  undo.push(() => claim.release());
  const files = options.log === null || options.log === 'stdout' ? null : new LogFiles(options.log);
  const logFd = files?.open() ?? -1;
  if (logFd instanceof Refusal) return refuse(logFd);
  if (logFd >= 0) undo.push(() => closeSync(logFd));
  const hardened = hardenSelf();
  if (hardened !== null)
    return refuse(
      new Refusal(
        `Cannot harden this process: ${hardened}.`,
        'This kernel is older than 4.3, or a seccomp filter forbids prctl: see headwater doctor.',
      ),
    );
  const kernel = options.loadKernel(scope);
  if (kernel instanceof Refusal) return refuse(kernel);
  undo.push(() => kernel.detach());
  const pair = descriptorPair();
  if (typeof pair === 'number')
    return refuse(
      new Refusal(`Cannot make a socket pair: ${errnoName(pair)}.`, 'Raise the limit on open files: ulimit -n.'),
    );

  const identity: Confinement | null = user === null ? null : { uid: user.uid, gid: user.gid };
  const child = spawnPipeline(options, identity, [
    pair[1],
    claim.socketFd,
    logFd >= 0 ? logFd : 'ignore',
    ...kernel.maps.map((map) => map.fd),
  ]);
  closeSync(pair[1]);
  claim.closeSocket();
  if (logFd >= 0) closeSync(logFd);
  const dropped = dropAfterAttach();
  if (dropped !== null) options.say(`warning: capabilities were not given up (${dropped})`);

  const start: StartMessage = {
    kernel: kernel.description,
    maps: kernel.maps.map(({ name }, i): MapDescriptor => ({ name, fd: FIRST_MAP_FD + i })),
    socketFd: SOCKET_FD,
    socketPath: options.socketPath,
    logFd: options.log === 'stdout' ? 1 : logFd >= 0 ? LOG_FD : -1,
    archive: files !== null && (options.log as LogFileOptions).compress !== 'none',
    key: key.toString('hex'),
    attacherPid: process.pid,
    mount: scope.mount,
    cgroups: scope.cgroups.map(({ path, id }) => ({ path, id })),
    config: options.pipelineConfig,
  };
  key.fill(0);
  return new Attacher({
    options,
    host,
    scope,
    kernel,
    claim,
    files,
    child,
    descriptorSocket: pair[0],
    identity,
    start,
  });
};

const installationKey = (path: string): Buffer | Refusal => {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch {
    // The reason is in the key's own message.
  }
  const loaded = loadInstallationKey(path);
  if (loaded.ok) return loaded.key;
  const [what, ...fix] = loaded.problem.split('. ');
  return new Refusal(`${what!.replace(/\.$/, '')}.`, fix.join('. ') || 'Name another key file.');
};

const spawnPipeline = (
  options: AttacherOptions,
  identity: Confinement | null,
  inherited: (number | 'ignore')[],
): ChildProcess => {
  const own = import.meta.filename;
  return spawn(
    process.execPath,
    [
      // SIGUSR1 must not open the inspector in the process that holds everybody's headers.
      '--disable-sigusr1',
      ...(options.runtimeFlags ?? []),
      join(dirname(own), `child${extname(own)}`),
      options.pipelineEntry,
      JSON.stringify(identity),
    ],
    {
      cwd: '/',
      // Nothing of the user's environment reaches it: no NODE_OPTIONS, no credentials.
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      stdio: ['ignore', 'inherit', 'inherit', 'pipe', ...inherited],
    },
  );
};

interface Parts {
  readonly options: AttacherOptions;
  readonly host: HostFiles;
  readonly scope: Scope;
  readonly kernel: KernelSide;
  readonly claim: RuntimeClaim;
  readonly files: LogFiles | null;
  readonly child: ChildProcess;
  readonly descriptorSocket: number;
  readonly identity: Confinement | null;
  readonly start: StartMessage;
}

class Attacher implements RunningAttacher {
  readonly done: Promise<number>;
  readonly #parts: Parts;
  readonly #channel: Channel;
  readonly #owners: Owners;
  #startMessage: StartMessage | null;
  #deadline: NodeJS.Timeout;
  #stopping = false;
  #measuring: Promise<readonly ProgramStatus[]> | null = null;
  /** Why the pipeline was killed here; null: it was not. */
  #killed: string | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#startMessage = parts.start;
    this.#owners = new Owners(
      parts.host,
      parts.scope.mount,
      parts.scope.cgroups.map((cgroup) => cgroup.folder),
    );
    this.#channel = new Channel(parts.child.stdio[3] as Socket, parts.descriptorSocket, {
      confined: () => this.#confined(),
      failed: (why) => parts.options.say(`Cannot confine the pipeline: ${why}`),
      request: (request) => this.#request(request),
      broken: (why) => this.#kill(`the pipeline broke the control protocol: ${why}`),
    });
    this.#deadline = setTimeout(() => this.#kill('the pipeline did not start in time'), START_MS_MAX);
    const { promise, resolve } = Promise.withResolvers<number>();
    this.done = promise;
    parts.child.once('error', (error) => {
      parts.options.say(`Cannot start the pipeline: ${error.message}`);
      if (parts.child.pid === undefined) resolve(this.#finish(EXIT_BAD, null));
    });
    parts.child.once('exit', (code, signal) => resolve(this.#finish(code, signal)));
  }

  get pipelinePid(): number {
    return this.#parts.child.pid ?? -1;
  }

  stop(reason: string): void {
    if (this.#stopping) {
      this.#kill(`ended at once (${reason})`);
      return;
    }
    this.#stopping = true;
    this.#parts.kernel.detach();
    this.#channel.send({ type: 'drain', reason });
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#kill('the pipeline did not finish in time'), DRAIN_MS_MAX);
  }

  reopen(): void {
    const { files, options } = this.#parts;
    if (files === null) return;
    const log = withCapability('DAC_OVERRIDE', () => files.open());
    if (log instanceof Refusal) options.say(`${log}`);
    else this.#channel.sendWithDescriptors({ type: 'reopened', descriptors: 1 }, [log]);
  }

  #confined(): void {
    const message = this.#startMessage;
    this.#startMessage = null;
    if (message === null) {
      this.#kill('the pipeline broke the control protocol: it started twice');
      return;
    }
    const problems = confinementProblems(readThreads(this.#parts.host, this.pipelinePid), this.#parts.identity);
    if (problems.length > 0) {
      this.#kill(`the pipeline is not confined: ${problems.join(', ')}`);
      return;
    }
    clearTimeout(this.#deadline);
    this.#channel.send({ type: 'start', start: message });
    if (this.#stopping) this.#channel.send({ type: 'drain', reason: 'ended while starting' });
  }

  #request(request: Request): Answer | Refusal | Promise<Answer | Refusal> {
    const { files, host } = this.#parts;
    switch (request.op) {
      case 'reopen':
      case 'rotate': {
        if (files === null) return new Refusal('Cannot open the log: there is none.', 'Give one: --log FILE.');
        const opened = withCapability('DAC_OVERRIDE', () =>
          request.op === 'reopen' ? files.open() : files.rotate(new Date()),
        );
        if (opened instanceof Refusal) return opened;
        if (typeof opened === 'number') return { result: null, descriptors: [opened] };
        const { log, archive } = opened;
        return { result: null, descriptors: archive === null ? [log] : [log, archive.source, archive.target] };
      }
      case 'archived':
        withCapability('DAC_OVERRIDE', () => files?.archived(request.ok));
        return { result: null };
      case 'owners':
        return { result: this.#owners.resolve(request.tuples, performance.now()) };
      case 'processes':
        return { result: request.pids.map((pid) => this.#observedProcess(host, pid)) };
      case 'programs':
        return this.#measure().then((result) => ({ result }));
      case 'usage': {
        const { user, system } = process.cpuUsage();
        return { result: { pid: process.pid, cpu_s: (user + system) / 1e6, rss_bytes: process.memoryUsage.rss() } };
      }
    }
  }

  /** One measurement at a time, however often it is asked for. The capability is needed only to switch the statistics on. */
  #measure(): Promise<readonly ProgramStatus[]> {
    this.#measuring ??= withCapability('SYS_ADMIN', () => this.#parts.kernel.measure()).finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  /** Only processes inside the observed cgroups: the pipeline learns nothing about others. */
  #observedProcess(host: HostFiles, pid: number): ReturnType<typeof readProcess> {
    const facts = readProcess(host, pid);
    const inside = this.#parts.scope.cgroups.some(
      ({ path }) => path === '/' || facts?.cgroup === path || facts?.cgroup.startsWith(`${path}/`),
    );
    return inside ? facts : null;
  }

  #kill(why: string): void {
    this.#killed ??= why;
    this.#parts.child.kill('SIGKILL');
  }

  #finish(code: number | null, signal: NodeJS.Signals | null): number {
    const { kernel, claim, options, descriptorSocket } = this.#parts;
    clearTimeout(this.#deadline);
    kernel.detach();
    this.#channel.close();
    closeSync(descriptorSocket);
    claim.release();
    if (this.#killed !== null) options.say(`headwater: ${this.#killed}`);
    else if (signal !== null)
      options.say(
        `headwater: the pipeline was ended by ${signal}; nothing is attached any more, traffic was not touched`,
      );
    else if (code !== 0) options.say(`headwater: the pipeline ended with code ${code}; nothing is attached any more`);
    return this.#killed !== null || signal !== null ? EXIT_BAD : (code ?? EXIT_BAD);
  }
}

/** SIGINT and SIGTERM end the run (a second one at once), SIGHUP opens the log again. Returns the exit code. */
export const runUntilSignalled = async (attacher: RunningAttacher): Promise<number> => {
  const stop = (signal: NodeJS.Signals): void => attacher.stop(signal);
  const reopen = (): void => attacher.reopen();
  process.on('SIGINT', stop).on('SIGTERM', stop).on('SIGHUP', reopen);
  try {
    return await attacher.done;
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop).off('SIGHUP', reopen);
  }
};
