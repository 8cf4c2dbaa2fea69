/** The packets of some servers beside what a test does with them, and what `headwater replay` then reads of them. */
import { HEADWATER, type Log, parseLog } from './agent.ts';
import { must } from './program.ts';
import { Tcpdump } from './tcpdump.ts';

export interface ReplayOptions {
  /** TLS secrets of the connections. */
  readonly keylog?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export class Recording implements AsyncDisposable {
  readonly #file: string;
  readonly #ports: ReadonlySet<number>;
  readonly #dump: Tcpdump;

  private constructor(file: string, ports: ReadonlySet<number>, dump: Tcpdump) {
    this.#file = file;
    this.#ports = ports;
    this.#dump = dump;
  }

  /** Resolves when it captures what the servers at these ports get and send on loopback. */
  static async start(file: string, ports: Iterable<number>): Promise<Recording> {
    const own = new Set(ports);
    const filter = `tcp and (${[...own].map((port) => `port ${port}`).join(' or ')})`;
    return new Recording(file, own, await Tcpdump.start(file, { filter }));
  }

  /** Resolves when every packet of before is in the file. */
  stop(): Promise<void> {
    return this.#dump.stop();
  }

  /** After `stop`: the log of replay, with the calls of these servers alone, for others may be given a server's port for a connection of theirs. */
  async replayed({ keylog, env = {} }: ReplayOptions = {}): Promise<Log> {
    const secrets = keylog === undefined ? [] : ['--keylog', keylog];
    const log = parseLog(await must([HEADWATER, 'replay', ...secrets, this.#file], { env }));
    return { ...log, exchanges: log.exchanges.filter(({ server }) => this.#ports.has(server.port)) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dump[Symbol.asyncDispose]();
  }
}
