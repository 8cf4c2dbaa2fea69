/** tcpdump beside what a test does: every packet that was sent before its end is in the file, however busy the machine is. */
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from './need.ts';
import { Program } from './program.ts';

const WAIT_MS = 90_000;
const LOOK_MS = 20;

export interface TcpdumpOptions {
  /** Default: lo, where the socket meets each packet twice, as sent and as received, and tcpdump keeps one; "any" for what is sent there too. */
  readonly device?: string;
  /** A filter in tcpdump's language. */
  readonly filter: string;
  /** Runs in this network namespace (of a NetnsPair). */
  readonly netns?: string;
}

interface Counts {
  readonly captured: number;
  readonly received: number;
  readonly dropped: number;
}

export class Tcpdump implements AsyncDisposable {
  readonly #program: Program;
  /** How often the socket meets a packet that ends in the file. */
  readonly #meets: number;
  /** Packets of before the filter was in place count as received as well. */
  #begin: Counts = { captured: 0, received: 0, dropped: 0 };
  #told = 0;

  private constructor(file: string, { device = 'lo', filter, netns }: TcpdumpOptions) {
    // In immediate mode each packet takes a slot of loopback's 64 KiB, so that 64 MiB are a thousand packets: too few for a burst.
    const how = ['-i', device, '-s', '0', '-B', '262144', '--immediate-mode', '--time-stamp-precision=nano'];
    this.#program = new Program([findProgram('tcpdump')!, ...how, '-Z', 'root', '-w', file, filter], {
      ...(netns === undefined ? {} : { netns }),
    });
    this.#meets = device === 'lo' || device === 'any' ? 2 : 1;
  }

  /** Resolves when it captures. */
  static async start(file: string, options: TcpdumpOptions): Promise<Tcpdump> {
    const dump = new Tcpdump(file, options);
    await dump.#program.until('listening', () => dump.#program.stderr.includes('listening on'), WAIT_MS);
    dump.#begin = await dump.#counts();
    return dump;
  }

  /** Ends it once everything that its socket met is in the file; fails when a packet was dropped. */
  async stop(): Promise<void> {
    const end = performance.now() + WAIT_MS;
    for (;;) {
      const { captured, received, dropped } = await this.#counts();
      if (dropped > 0) throw new Error(`tcpdump dropped ${dropped} packets`);
      if (received - this.#begin.received <= this.#meets * (captured - this.#begin.captured)) break;
      if (performance.now() > end) throw new Error(`tcpdump does not get on: ${captured} of ${received} packets`);
      await sleep(LOOK_MS);
    }
    await this.#program.stop('SIGINT', WAIT_MS);
  }

  /** It answers SIGUSR1 with its counts (tcpdump(1)). */
  async #counts(): Promise<Counts> {
    const lines = (): RegExpMatchArray[] => [
      ...this.#program.stderr.matchAll(/tcpdump: (\d+) packets? captured, (\d+) .*by filter, (\d+) .*\n/g),
    ];
    this.#program.signal('SIGUSR1');
    await this.#program.until('counts', () => lines().length > this.#told, WAIT_MS);
    this.#told = lines().length;
    const [captured, received, dropped] = lines().at(-1)!.slice(1).map(Number);
    return { captured: captured!, received: received!, dropped: dropped! };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
