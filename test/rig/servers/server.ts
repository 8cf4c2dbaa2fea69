import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Program, type ProgramOptions } from '../program.ts';

/** Size of `/big` on servers that have it: a sparse file, so it costs no disk. */
export const BIG_BYTES = 1 << 30;
/** Bound for lines that never come, on a slow machine that others use too. */
const LOGGED_TIMEOUT_MS = 60_000;

/** One call as the server itself logged it: the truth that Headwater is measured against. */
export interface Logged {
  /** X-Request-Id of the request; "-" when it had none. */
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly status: number;
  /** Response body bytes the server says it has sent. */
  readonly bodyBytes: number;
}

export interface ServerSetup {
  readonly name: string;
  readonly port: number;
  readonly command: readonly string[];
  readonly log: string;
  /** One line of the access log; null for lines that are not calls. */
  readonly parse?: (line: string) => Logged | null;
  readonly resources?: Disposable | AsyncDisposable;
}

/** `id method target status bytes`, separated by tabs: what our servers and log formats write. */
export function parseTabs(line: string): Logged | null {
  const [id, method, target, status, bytes] = line.split('\t');
  if (bytes === undefined) return null;
  return { id: id!, method: method!, target: target!, status: Number(status), bodyBytes: Number(bytes) || 0 };
}

export class Server implements AsyncDisposable {
  readonly name: string;
  readonly port: number;
  readonly program: Program;
  readonly #setup: ServerSetup;

  private constructor(setup: ServerSetup, program: Program) {
    this.#setup = setup;
    this.name = setup.name;
    this.port = setup.port;
    this.program = program;
  }

  static async start(setup: ServerSetup, options: ProgramOptions): Promise<Server> {
    const server = new Server(setup, new Program(setup.command, options));
    await server.program.until('listening', () => server.#listens());
    return server;
  }

  /** The name of its process as the kernel has it, but for Node's, whose first thread is called "MainThread". */
  get comm(): string {
    const comm = readFileSync(`/proc/${this.program.pid}/comm`, 'utf8').trim();
    return comm === 'MainThread' ? 'node' : comm;
  }

  /** From its socket table: a connection to find out would be one more for Headwater to see. */
  #listens(): boolean {
    const port = `:${this.port.toString(16).toUpperCase().padStart(4, '0')} `;
    return ['tcp', 'tcp6'].some((table) => {
      const path = `/proc/${this.program.pid}/net/${table}`;
      return (
        existsSync(path) &&
        readFileSync(path, 'utf8')
          .split('\n')
          .some((line) => line.includes(port) && / 0A /.test(line))
      );
    });
  }

  /** Calls logged so far. Waits until there are `atLeast`, because servers log after they have answered. */
  async logged(atLeast = 0, timeoutMs = LOGGED_TIMEOUT_MS): Promise<Logged[]> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const text = existsSync(this.#setup.log) ? readFileSync(this.#setup.log, 'utf8') : '';
      const calls = text
        .split('\n')
        .map(this.#setup.parse ?? parseTabs)
        .filter((call) => call !== null);
      if (calls.length >= atLeast || performance.now() > end) return calls;
      await sleep(20);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    const { resources } = this.#setup;
    if (resources === undefined) return;
    if (Symbol.asyncDispose in resources) await resources[Symbol.asyncDispose]();
    else resources[Symbol.dispose]();
  }
}
