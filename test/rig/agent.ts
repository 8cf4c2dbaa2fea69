/** Headwater itself as a process: started on cgroups of the test's own, stopped with SIGINT, its log and ledger read. */
import { existsSync, readFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentStatus } from '../../src/model/status.ts';
import type { Cgroup } from './cgroup.ts';
import { Folder } from './folder.ts';
import { type Ended, Program } from './program.ts';

export const HEADWATER = join(import.meta.dirname, '../../bin/headwater');
/** Bounds for what never comes: slow machines that others use too take half a minute for what takes milliseconds elsewhere. */
const READY_TIMEOUT_MS = 90_000;
const ANSWER_TIMEOUT_MS = 60_000;
const STATUS_TIMEOUT_MS = 90_000;
const CALLS_TIMEOUT_MS = 90_000;
/** Writing out a large backlog takes its time. */
const STOP_TIMEOUT_MS = 90_000;

/** An exchange line of the header log (contract: docs/header-log.md), as far as tests read it. */
export interface LoggedExchange {
  readonly type: 'exchange';
  readonly id: string;
  readonly ts: string | null;
  readonly protocol: string;
  readonly upgrade?: string;
  readonly side: 'server' | 'client' | 'unknown';
  readonly service: string;
  readonly connection: string;
  readonly process: { readonly pid: number; readonly name: string; readonly cgroup: string } | null;
  readonly client: { readonly address: string; readonly port: number };
  readonly server: { readonly address: string; readonly port: number };
  readonly route: string;
  readonly request: LoggedMessage & { readonly method: string; readonly target: string; readonly authority: string };
  readonly response:
    | (LoggedMessage & { readonly status: number; readonly interim: readonly { readonly status: number }[] })
    | null;
  readonly outcome: string;
  readonly timing_ns: Readonly<Record<string, number | null>>;
  readonly in_flight: number;
  readonly losses: readonly { readonly reason: string; readonly bytes: number }[];
  readonly anomalies?: readonly string[];
}

export interface LoggedMessage {
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly trailers: readonly (readonly [name: string, value: string])[];
  readonly head_bytes: number;
  readonly body_bytes: number;
  /** Names, in lower case, of fields whose values are bytes and no text. */
  readonly opaque?: readonly string[];
}

export interface LoggedSummary {
  readonly type: 'summary';
  readonly segments: number;
  readonly bytes: number;
  readonly connections: number;
  readonly exchanges: number;
  readonly losses: readonly { readonly reason: string; readonly count: number; readonly bytes: number }[];
}

export interface Log {
  readonly exchanges: readonly LoggedExchange[];
  readonly summary: LoggedSummary;
}

/** Reads a whole header log; the summary must be its last line. */
export function parseLog(text: string): Log {
  const records = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LoggedExchange | LoggedSummary);
  const summary = records.at(-1);
  if (summary?.type !== 'summary') throw new Error('the log does not end with a summary');
  return { exchanges: records.filter((record) => record.type === 'exchange'), summary };
}

/** First value of a field, by its lower-case name; undefined when it is not there. */
export const field = (message: LoggedMessage | null, name: string): string | undefined =>
  message?.headers.find(([raw]) => raw.toLowerCase() === name)?.[1];

/** Value of `id` in the target's query, by which tests tell their calls apart; empty when there is none. */
export const askedId = ({ request }: LoggedExchange): string =>
  /[?&]id=([\w-]+)/.exec(request?.target ?? '')?.[1] ?? '';

export interface AgentOptions {
  readonly cgroups: readonly (Cgroup | string)[];
  /** Further arguments of `run`. */
  readonly args?: readonly string[];
  /** Text of a configuration file. */
  readonly config?: string;
  /** Take TLS secrets: only for a test whose programs run private copies of the libraries that are probed. */
  readonly secrets?: boolean;
  /** Data folder of the store; without it nothing is stored. */
  readonly data?: string;
  /** The header log, instead of a file in the agent's folder. */
  readonly log?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Runs in this cgroup. */
  readonly inside?: Cgroup;
  /** A command line that runs it. */
  readonly under?: readonly string[];
}

export interface Stopped extends Log {
  readonly ended: Ended;
}

export class Agent implements AsyncDisposable {
  readonly folder = new Folder();
  readonly log: string;
  readonly socket: string;
  readonly program: Program;
  #stopped: Promise<Stopped> | null = null;

  private constructor({
    cgroups,
    args = [],
    config = '',
    secrets = false,
    data,
    log,
    env = {},
    inside,
    under = [],
  }: AgentOptions) {
    this.log = log ?? this.folder.file('headers.ndjson');
    this.socket = this.folder.file('headwater.sock');
    const command = [...under, HEADWATER, 'run', '--log', this.log, '--socket', this.socket];
    if (data === undefined) command.push('--no-store');
    else command.push('--data', data);
    for (const cgroup of cgroups) command.push('--cgroup', typeof cgroup === 'string' ? cgroup : cgroup.path);
    const tls = `tls:\n  secrets: ${secrets}\n`;
    command.push('--config', this.folder.write('headwater.yaml', `${config}\n${tls}`));
    this.program = new Program([...command, ...args], { env, ...(inside === undefined ? {} : { cgroup: inside }) });
  }

  /** Ready means: attached and reading. */
  static async start(options: AgentOptions): Promise<Agent> {
    const agent = new Agent(options);
    await agent.program.until('an answer on its socket', () => agent.#answers(), READY_TIMEOUT_MS);
    return agent;
  }

  async #answers(): Promise<boolean> {
    if (!existsSync(this.socket)) return false;
    return (await this.get('/v1/status').catch(() => null))?.status === 200;
  }

  /** Asks the agent over its unix socket. */
  get(path: string): Promise<{ status: number; body: string }> {
    return new Promise((resolve, reject) => {
      const outgoing = request({ socketPath: this.socket, path, timeout: ANSWER_TIMEOUT_MS }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (text: string) => {
          body += text;
        });
        response.once('end', () => resolve({ status: response.statusCode!, body }));
        response.once('error', reject);
      });
      outgoing.once('timeout', () => outgoing.destroy(new Error(`no answer within ${ANSWER_TIMEOUT_MS} ms`)));
      outgoing.once('error', reject).end();
    });
  }

  /** Exchange lines written so far; a line that is being written is left out. */
  exchanges(): LoggedExchange[] {
    if (!existsSync(this.log)) return [];
    return readFileSync(this.log, 'utf8')
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LoggedExchange | LoggedSummary)
      .filter((record) => record.type === 'exchange');
  }

  /** Waits until `met` holds for the exchanges written so far, and returns them. */
  async until(met: (exchanges: LoggedExchange[]) => boolean, timeoutMs = CALLS_TIMEOUT_MS): Promise<LoggedExchange[]> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const exchanges = this.exchanges();
      if (met(exchanges)) return exchanges;
      if (!this.program.running) throw new Error(`the agent has ended:\n${this.program.stderr}`);
      if (performance.now() > end) {
        const seen = exchanges.map((e) => `${e.side} ${e.request?.method} ${e.request?.target} ${e.outcome}`);
        throw new Error(`not seen within ${timeoutMs} ms; seen: ${seen.slice(-40).join(', ')}`);
      }
      await sleep(50);
    }
  }

  async status(): Promise<AgentStatus> {
    return JSON.parse((await this.get('/v1/status')).body) as AgentStatus;
  }

  /** Waits until what it says of itself is so, and returns that. */
  async untilStatus(
    what: string,
    met: (status: AgentStatus) => boolean,
    timeoutMs = STATUS_TIMEOUT_MS,
  ): Promise<AgentStatus> {
    let last = await this.status();
    const ready = async (): Promise<boolean> => {
      last = await this.status();
      return met(last);
    };
    await this.program.until(what, ready, timeoutMs).catch((error: Error) => {
      throw new Error(`${error.message}\nstatus: ${JSON.stringify({ tls: last.tls, ledger: last.ledger })}`);
    });
    return last;
  }

  /**
   * Waits until every connection that the programs of before had has ended and been read of. No connection being open says nothing by itself: the
   * kernel counts one before the agent has read of it.
   */
  untilRead(): Promise<AgentStatus> {
    return this.untilStatus(
      'the end of every connection',
      ({ connections, ring }) => connections.open === 0 && ring.used_bytes === 0,
    );
  }

  /** Waits until so many files that observed processes run have a probe: from then on every handshake of theirs is seen. */
  async tapped(files: number): Promise<void> {
    await this.untilStatus(`probe on ${files} files`, ({ tls }) => (tls.taps?.tapped ?? 0) >= files);
  }

  /** Ends it with SIGINT and reads what it has written. */
  stop(): Promise<Stopped> {
    this.#stopped ??= this.program.stop('SIGINT', STOP_TIMEOUT_MS).then((ended) => {
      if (ended.code !== 0) throw new Error(`the agent ended with ${ended.code ?? ended.signal}:\n${ended.stderr}`);
      return { ended, ...parseLog(readFileSync(this.log, 'utf8')) };
    });
    return this.#stopped;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.folder[Symbol.dispose]();
  }
}
