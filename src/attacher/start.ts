/**
 * The privileged start of `headwater run`: takes the socket, loads and attaches, starts the pipeline, and then starts
 * itself anew as resident.ts, with few capabilities and without the code that is not needed any more. The links, the lock and
 * the control channel are descriptors and stay open across that.
 *
 * Order matters: everything that can be refused is tried before anything is attached, and the pipeline is ready by then:
 * what passes while it starts would fill the ring and be lost.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';
import { flushCompileCache, getCompileCacheDir } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { makeFolders } from '../base/make-folders.ts';
import { descriptorPair, keepAcrossExec, memoryFile, streamPair, waitReadable } from '../kernel/posix.ts';
import type { LoadedTaps } from '../kernel/secrets.ts';
import { loadInstallationKey } from '../redact/key.ts';
import type { Prospect } from './child.ts';
import type { Confinement } from './confinement.ts';
import { openDataFolder } from './data-folder.ts';
import { HostFiles } from './host.ts';
import type { LoadKernel } from './kernel-side.ts';
import { type LogFileOptions, LogFiles } from './log-files.ts';
import { checkCapabilities, hardenSelf, prepareResident } from './privileges.ts';
import type { MapDescriptor } from './protocol.ts';
import { Refusal } from './refusal.ts';
import { claimRuntime, removeRuntime } from './runtime.ts';
import { resolveScope } from './scope.ts';
import type { ResidentState } from './state.ts';
import { UnusedPages } from './unused-pages.ts';
import { findUser } from './users.ts';

export interface AttacherOptions {
  /** Folders given with --cgroup; none: the whole unified hierarchy. */
  readonly cgroups: readonly string[];
  /** User that the pipeline runs as, when this process is root. */
  readonly user: string;
  readonly socketPath: string;
  /** The header log: a file, standard output, or none. */
  readonly log: LogFileOptions | 'stdout' | null;
  /** Absolute path of the data folder; null: nothing is stored. */
  readonly dataPath: string | null;
  /** Installation key for fingerprints; created when it is not there. */
  readonly keyPath: string;
  /** Module that is a PipelineEntry (child.ts). Absolute path. */
  readonly pipelineEntry: string;
  /** Plain JSON for the pipeline. */
  readonly pipelineConfig: unknown;
  /** Flags of the runtime for the pipeline's process, for example --cpu-prof. */
  readonly runtimeFlags?: readonly string[];
  readonly loadKernel: LoadKernel;
  /** Takes lines for the user (stderr). */
  readonly say: (line: string) => void;
}

const SOCKET_MODE = 0o600;
/** From spawn to the first word; then it is attached all the same, and the resident attacher says what is wrong. */
const READY_MS_MAX = 10_000;
/**
 * Nothing else of the user's environment goes on: no NODE_OPTIONS, no credentials. With the compile cache a process
 * neither strips types nor compiles: a third less memory, and half of the start.
 */
const ENVIRONMENT = {
  PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
  // glibc gives every thread a heap of its own, of which most stays taken: 20 MB of what V8's compiling and collecting threads once needed.
  MALLOC_ARENA_MAX: '1',
  // Left alone, it puts blocks of megabytes (batches, lines of the log) between the small ones, and what is freed there stays taken.
  MALLOC_MMAP_THRESHOLD_: String(1 << 20),
  ...(getCompileCacheDir() === undefined ? {} : { NODE_COMPILE_CACHE: dirname(getCompileCacheDir()!) }),
};
/**
 * What is parsed dies young, so small halves of the young generation do; helpers would cost more than they save there. Left
 * alone, V8 lets the old one grow to several times what lives before it looks; marking stays concurrent, because a pause
 * fills the ring.
 */
const PIPELINE_FLAGS = [
  '--max-semi-space-size=2',
  '--heap-growing-percent=25',
  '--no-parallel-scavenge',
  // For agent/quiet-heap.ts.
  '--expose-gc',
];
/** No helper threads that have nothing to do, no inspector. */
const RESIDENT_FLAGS = [
  '--v8-pool-size=0',
  '--max-semi-space-size=1',
  '--heap-growing-percent=20',
  '--disable-sigusr1',
];

/** A module beside this one: source or compiled, whichever runs. */
const sibling = (name: string): string => join(import.meta.dirname, `${name}${extname(import.meta.filename)}`);
/** Descriptors that the pipeline inherits: 0 to 2, control, descriptors, listening socket, log, data folder, then the maps. */
const SOCKET_FD = 5;
const LOG_FD = 6;
const DATA_FD = 7;
const FIRST_MAP_FD = 8;

/** Becomes the running attacher (and never returns), or says why not (exit code 3) with nothing left behind. */
export const startAttacher = (options: AttacherOptions): Refusal => {
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

  // Undone in reverse when something is refused further on; what the process holds goes when it ends.
  const claim = claimRuntime(options.socketPath, SOCKET_MODE);
  if (claim instanceof Refusal) return claim;
  const refuse = (refusal: Refusal): Refusal => {
    claim.closeSocket();
    removeRuntime(claim.socketPath, claim.lockFd);
    return refusal;
  };
  const log = options.log === 'stdout' ? null : options.log;
  const logFd = log === null ? -1 : new LogFiles(log).open();
  if (logFd instanceof Refusal) return refuse(logFd);
  const identity: Confinement | null = user === null ? null : { uid: user.uid, gid: user.gid };
  const dataFd = options.dataPath === null ? -1 : openDataFolder(options.dataPath, identity);
  if (dataFd instanceof Refusal) return refuse(dataFd);
  const hardened = hardenSelf();
  if (hardened !== null) {
    return refuse(
      new Refusal(
        `Cannot harden this process: ${hardened}.`,
        'This kernel is older than 4.3, or a seccomp filter forbids prctl: see headwater doctor.',
      ),
    );
  }
  const kernel = options.loadKernel(scope);
  if (kernel instanceof Refusal) return refuse(kernel);
  const control = streamPair();
  const descriptors = descriptorPair();
  const stateFd = memoryFile();
  if (typeof control === 'number' || typeof descriptors === 'number' || stateFd < 0) {
    return refuse(
      new Refusal(
        'Cannot make the control channel: no descriptors are left.',
        'Raise the limit on open files: ulimit -n.',
      ),
    );
  }

  // Both processes are at their largest while the pipeline starts: what this one does not need beside it goes before.
  const unused = new UnusedPages(host);
  unused.giveBack();
  const prospect = { logged: options.log !== null, stored: options.dataPath !== null, secrets: kernel.taps !== null };
  const child = spawnPipeline(options, identity, prospect, [
    control[1],
    descriptors[1],
    claim.socketFd,
    logFd >= 0 ? logFd : 'ignore',
    dataFd >= 0 ? dataFd : 'ignore',
    ...kernel.maps.map((map) => map.fd),
  ]);
  if (child.pid === undefined) {
    child.on('error', () => undefined);
    return refuse(
      new Refusal(
        `Cannot start the pipeline with ${process.execPath}.`,
        'See that the file is there and that processes are left: ulimit -u.',
      ),
    );
  }
  // With this end of it, the channel would outlive the pipeline.
  closeSync(control[1]);
  // It only waits now, so without what spawning touched.
  unused.giveBack();
  waitReadable(control[0], READY_MS_MAX);
  const links = kernel.attach();
  if (links instanceof Refusal) {
    child.kill('SIGKILL');
    return refuse(links);
  }
  const state: ResidentState = {
    pipelinePid: child.pid,
    controlFd: control[0],
    descriptorFd: descriptors[0],
    lockFd: claim.lockFd,
    links,
    programs: kernel.programs,
    variant: kernel.variant,
    taps: kernel.taps,
    identity,
    log,
    folders: scope.cgroups.map(({ folder }) => folder),
    start: {
      kernel: kernel.description,
      maps: kernel.maps.map(({ name }, i): MapDescriptor => ({ name, fd: FIRST_MAP_FD + i })),
      socketFd: SOCKET_FD,
      socketPath: options.socketPath,
      logFd: options.log === 'stdout' ? 1 : logFd >= 0 ? LOG_FD : -1,
      dataFd: dataFd >= 0 ? DATA_FD : -1,
      dataPath: options.dataPath ?? '',
      archive: log !== null && log.compress !== 'none',
      key: key.toString('hex'),
      attacherPid: process.pid,
      mount: scope.mount,
      cgroups: scope.cgroups.map(({ path, id }) => ({ path, id })),
      config: options.pipelineConfig,
    },
  };
  return (
    becomeResident(state, stateFd, child) ??
    refuse(new Refusal('Cannot start anew as the resident attacher.', 'See headwater doctor.'))
  );
};

const tapDescriptors = ({ programs, births, counters, exec }: LoadedTaps): number[] => [
  ...Object.values(programs),
  births,
  counters,
  exec,
];

/** Returns only when it fails, null then; the pipeline is ended. */
const becomeResident = (state: ResidentState, stateFd: number, child: ChildProcess): null => {
  writeSync(stateFd, JSON.stringify(state));
  for (const fd of [
    state.controlFd,
    state.descriptorFd,
    state.lockFd,
    ...state.links,
    ...state.programs.map((program) => program.fd),
    ...(state.taps === null ? [] : tapDescriptors(state.taps)),
  ]) {
    keepAcrossExec(fd);
  }
  const unprepared = prepareResident();
  try {
    if (unprepared !== null) throw new Error(unprepared);
    flushCompileCache();
    process.execve?.(
      process.execPath,
      [process.execPath, ...RESIDENT_FLAGS, sibling('resident'), String(stateFd)],
      ENVIRONMENT,
    );
  } catch {
    child.kill('SIGKILL');
  }
  return null;
};

const installationKey = (path: string): Buffer | Refusal => {
  try {
    makeFolders(dirname(path), 0o700);
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
  prospect: Prospect,
  inherited: (number | 'ignore')[],
): ChildProcess => {
  return spawn(
    process.execPath,
    [
      // SIGUSR1 must not open the inspector in the process that holds everybody's headers.
      '--disable-sigusr1',
      ...PIPELINE_FLAGS,
      ...(options.runtimeFlags ?? []),
      sibling('child'),
      options.pipelineEntry,
      JSON.stringify(identity),
      JSON.stringify(prospect),
    ],
    {
      cwd: '/',
      env: ENVIRONMENT,
      stdio: ['ignore', 'inherit', 'inherit', ...inherited],
    },
  );
};
