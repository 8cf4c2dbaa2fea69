/**
 * The attacher for the rest of the run: the same process, started anew by execve with few capabilities in every thread
 * and none of the code that loaded the programs. Holds the links (when it ends, nothing is attached), answers the
 * pipeline's fixed list of requests, and never reads a byte that came from the network.
 */
import { closeSync, readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { reap } from '../kernel/posix.ts';
import type { ProgramStatus } from '../model/status.ts';
import type { TlsProcess } from '../model/why.ts';
import { type Answer, Channel } from './channel.ts';
import { confinementProblems, readThreads } from './confinement.ts';
import { HostFiles } from './host.ts';
import { LogFiles } from './log-files.ts';
import { Owners } from './owners.ts';
import { hardenSelf, settleResident, withCapability } from './privileges.ts';
import { type ProcessFacts, readProcess } from './processes.ts';
import { measurePrograms } from './programs.ts';
import type { Request, StartMessage } from './protocol.ts';
import { Refusal } from './refusal.ts';
import { removeRuntime } from './runtime.ts';
import type { ResidentState } from './state.ts';
import { Taps } from './taps/taps.ts';
import { UnusedPages } from './unused-pages.ts';

/** From spawn to the closed cage. */
const START_MS_MAX = 60_000;
/** From `drain`, or from the end of the control channel, to the pipeline's end; then it is killed. */
const DRAIN_MS_MAX = 15_000;
const REAP_INTERVAL_MS = 10;
/** From the pipeline's start, or from an answer, to the moment when what it needed is over; not after each of many. */
const SETTLED_MS = 1_000;
const EXIT_BAD = 1;

const say = (line: string): void => {
  process.stderr.write(`headwater: ${line}\n`);
};

class Resident {
  /** Exit code of the run. */
  readonly done: Promise<number>;
  readonly #state: ResidentState;
  readonly #host = new HostFiles();
  readonly #unused = new UnusedPages(this.#host);
  readonly #channel: Channel;
  readonly #owners: Owners;
  readonly #files: LogFiles | null;
  readonly #taps: Taps | null;
  readonly #finished: (code: number) => void;
  #start: StartMessage | null;
  #deadline: NodeJS.Timeout;
  #settling: NodeJS.Timeout | null = null;
  #reaper: NodeJS.Timeout | null = null;
  #attached = true;
  #stopping = false;
  #measuring: Promise<readonly ProgramStatus[]> | null = null;
  /** Why the pipeline was killed here; null: it was not. */
  #killed: string | null = null;

  constructor(state: ResidentState) {
    this.#state = state;
    this.#start = state.start;
    this.#files = state.log === null ? null : new LogFiles(state.log);
    this.#owners = new Owners(this.#host, state.start.mount, state.folders);
    this.#taps = state.taps === null ? null : Taps.start(this.#host, state.taps, state.folders, say);
    const { promise, resolve } = Promise.withResolvers<number>();
    this.done = promise;
    this.#finished = resolve;
    const socket = new Socket({ fd: state.controlFd, readable: true, writable: true });
    // Its end of the channel closes when the pipeline ends, however it ends.
    socket.on('close', () => this.#await());
    this.#channel = new Channel(socket, state.descriptorFd, {
      confined: () => this.#confined(),
      failed: (why) => say(`Cannot confine the pipeline: ${why}`),
      request: (request) => this.#request(request),
      broken: (why) => this.#kill(`the pipeline broke the control protocol: ${why}`),
    });
    this.#deadline = setTimeout(() => this.#kill('the pipeline did not start in time'), START_MS_MAX);
    // The pipeline is at its largest now.
    this.#unused.giveBack();
  }

  /** Detaches, lets the pipeline write what was captured, and ends; a second call ends it at once. */
  stop(reason: string): void {
    if (this.#stopping) {
      this.#kill(`ended at once (${reason})`);
      return;
    }
    this.#stopping = true;
    this.#detach();
    this.#channel.send({ type: 'drain', reason });
    this.#killAfter(DRAIN_MS_MAX, 'the pipeline did not finish in time');
  }

  /** Opens the log's path again (SIGHUP). */
  reopen(): void {
    const files = this.#files;
    if (files === null) return;
    const log = withCapability('DAC_OVERRIDE', () => files.open());
    if (log instanceof Refusal) say(String(log));
    else this.#channel.sendWithDescriptors({ type: 'reopened', descriptors: 1 }, [log]);
  }

  #detach(): void {
    if (!this.#attached) return;
    this.#attached = false;
    for (const link of this.#state.links) closeSync(link);
    this.#taps?.close();
  }

  #confined(): void {
    const message = this.#start;
    this.#start = null;
    if (message === null) {
      this.#kill('the pipeline broke the control protocol: it started twice');
      return;
    }
    const problems = confinementProblems(readThreads(this.#host, this.#state.pipelinePid), this.#state.identity);
    if (problems.length > 0) {
      this.#kill(`the pipeline is not confined: ${problems.join(', ')}`);
      return;
    }
    if (!this.#stopping) clearTimeout(this.#deadline);
    this.#channel.send({ type: 'start', start: message });
    if (this.#stopping) this.#channel.send({ type: 'drain', reason: 'ended while starting' });
    this.#giveBackSoon();
  }

  /** What a start or an answer needed goes back a while later, and what further answers need until then with it. */
  #giveBackSoon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = null;
      this.#unused.giveBack();
    }, SETTLED_MS).unref();
  }

  #request(request: Request): Answer | Refusal | Promise<Answer | Refusal> {
    const files = this.#files;
    // Sockets of ten thousand connections, the programs of a process, another log: all of it at once, and seldom. These two are small and frequent.
    if (request.op !== 'usage' && request.op !== 'taps') this.#giveBackSoon();
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
      case 'listeners':
        return { result: this.#owners.listeners(performance.now()) };
      case 'owners':
        return { result: this.#owners.resolve(request.tuples, performance.now()) };
      case 'processes':
        return { result: request.pids.map((pid) => this.#observedProcess(pid)) };
      case 'tls':
        return { result: request.pids.map((pid) => this.#tlsOf(pid)) };
      case 'taps':
        return { result: this.#taps?.status() ?? null };
      case 'programs':
        return this.#measure().then((result) => ({ result }));
      case 'usage': {
        const { user, system } = process.cpuUsage();
        return {
          result: { pid: process.pid, cpu_s: (user + system) / 1e6, rss_bytes: process.memoryUsage.rss() },
        };
      }
    }
  }

  /** One measurement at a time, however often it is asked for. The capability is needed only to switch the statistics on. */
  #measure(): Promise<readonly ProgramStatus[]> {
    const { programs, variant } = this.#state;
    this.#measuring ??= withCapability('SYS_ADMIN', () => measurePrograms(programs, variant)).finally(() => {
      this.#measuring = null;
    });
    return this.#measuring;
  }

  /** Only processes inside the observed cgroups: the pipeline learns nothing about others. */
  #observedProcess(pid: number): ProcessFacts | null {
    const facts = readProcess(this.#host, pid);
    const inside = this.#state.start.cgroups.some(
      ({ path }) => path === '/' || facts?.cgroup === path || facts?.cgroup.startsWith(`${path}/`),
    );
    return inside ? facts : null;
  }

  #tlsOf(pid: number): readonly TlsProcess[] {
    return this.#taps === null || this.#observedProcess(pid) === null ? [] : this.#taps.describe(pid);
  }

  #kill(why: string): void {
    this.#killed ??= why;
    try {
      process.kill(this.#state.pipelinePid, 'SIGKILL');
    } catch {
      // It has ended: it is reaped below.
    }
    this.#await();
  }

  #killAfter(ms: number, why: string): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#kill(why), ms);
  }

  /** The pipeline ends or has ended: collects how. Not our child in Node's sense, since the process started anew. */
  #await(): void {
    if (this.#reaper !== null) return;
    if (this.#killed === null && !this.#stopping)
      this.#killAfter(DRAIN_MS_MAX, 'the pipeline closed its control channel');
    this.#reaper = setInterval(() => {
      const ended = reap(this.#state.pipelinePid);
      if (ended !== null) this.#end(ended);
    }, REAP_INTERVAL_MS);
  }

  #end(ended: { readonly code: number } | { readonly signal: number }): void {
    if (this.#reaper !== null) clearInterval(this.#reaper);
    clearTimeout(this.#deadline);
    this.#detach();
    this.#channel.close();
    removeRuntime(this.#state.start.socketPath, this.#state.lockFd);
    if (this.#killed !== null) say(this.#killed);
    else if ('signal' in ended) {
      say(
        `the pipeline was ended by ${signalName(ended.signal)}; nothing is attached any more, traffic was not touched`,
      );
    } else if (ended.code !== 0) say(`the pipeline ended with code ${ended.code}; nothing is attached any more`);
    this.#finished(this.#killed !== null || 'signal' in ended ? EXIT_BAD : ended.code);
  }
}

const signalName = (signal: number): string =>
  Object.entries(constants.signals).find(([, number]) => number === signal)?.[0] ?? `signal ${signal}`;

const stateFd = Number(process.argv[2]);
const state = JSON.parse(readFileSync(`/proc/self/fd/${stateFd}`, 'utf8')) as ResidentState;
closeSync(stateFd);
const problem = hardenSelf() ?? settleResident();
if (problem !== null) say(`warning: not hardened (${problem})`);
const resident = new Resident(state);
const stop = (signal: NodeJS.Signals): void => resident.stop(signal);
// A second SIGINT or SIGTERM ends it at once.
process.on('SIGINT', stop).on('SIGTERM', stop);
process.on('SIGHUP', () => resident.reopen());
process.exit(await resident.done);
