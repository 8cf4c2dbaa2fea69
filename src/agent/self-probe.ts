/**
 * R15: is anything seen at all? Every few minutes the agent makes an HTTP call of its own over loopback, which its own capture must show. It can only
 * where it is inside an observed cgroup itself, as it is when the whole host is observed. Its calls are nobody's traffic: they are in no count,
 * log or statistic.
 */
import { randomBytes } from 'node:crypto';
import { createServer, get } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Exchange } from '../model/exchange.ts';

const FIRST_MS = 2_000;
const EVERY_MS = 180_000;
/** From the call's end to its exchange: the ring is looked at four times a second at least. */
const SEEN_WITHIN_MS = 3_000;
const CALL_MS_MAX = 3_000;
const STEP_MS = 50;
/** Under load a call may be among those that found no room: one alone says nothing. */
const TRIES = 3;

export interface SelfProbeOptions {
  /** The agent is inside an observed cgroup. */
  readonly inside: () => boolean;
  /** Makes one HTTP call over loopback to a server of this process, and resolves when it was answered; false: it failed. Another way for tests. */
  readonly call?: (target: string, listening: (port: number) => void) => Promise<boolean>;
  readonly firstMs?: number;
  readonly everyMs?: number;
  readonly seenWithinMs?: number;
}

export class SelfProbe {
  readonly #options: SelfProbeOptions;
  #port = -1;
  #target = '';
  #seen = false;
  #problem = '';
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(options: SelfProbeOptions) {
    this.#options = options;
  }

  start(): void {
    this.#after(this.#options.firstMs ?? FIRST_MS);
  }

  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** What is wrong, for the user; "" when the last probe was seen, or none could be made. */
  get problem(): string {
    return this.#problem;
  }

  /** Whether a call is the probe's own: then nobody else is to hear of it. */
  takes({ connection, request }: Exchange): boolean {
    if (connection.server.port !== this.#port || request === null || request.target !== this.#target) return false;
    this.#seen = true;
    return true;
  }

  #after(ms: number): void {
    this.#timer = setTimeout(() => void this.#probe().then(() => this.#again()), ms);
    this.#timer.unref();
  }

  #again(): void {
    if (!this.#stopped) this.#after(this.#options.everyMs ?? EVERY_MS);
  }

  async #probe(): Promise<void> {
    if (!this.#options.inside()) {
      this.#problem = '';
      return;
    }
    for (let i = 0; i < TRIES; i++) {
      const made = await this.#once();
      if (made === 'seen' || made === 'not made') {
        this.#problem = '';
        return;
      }
    }
    this.#problem = `${TRIES} HTTP calls of the agent itself were not seen: nothing may be captured any more. Run headwater doctor, and start the agent anew`;
  }

  async #once(): Promise<'seen' | 'unseen' | 'not made'> {
    this.#seen = false;
    this.#target = `/headwater-self-probe/${randomBytes(8).toString('hex')}`;
    const answered = await (this.#options.call ?? callOverLoopback)(this.#target, (port) => {
      this.#port = port;
    });
    const until = performance.now() + (this.#options.seenWithinMs ?? SEEN_WITHIN_MS);
    while (answered && !this.#seen && performance.now() < until) await sleep(STEP_MS, undefined, { ref: false });
    // The connection's other side is told a little later: the port stays known until the next probe.
    return this.#seen ? 'seen' : answered ? 'unseen' : 'not made';
  }
}

/** A server and a client of this process, gone when the call is. */
async function callOverLoopback(target: string, listening: (port: number) => void): Promise<boolean> {
  const server = createServer((_, response) => response.end());
  try {
    return await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen({ host: '127.0.0.1', port: 0 }, () => {
        const { port } = server.address() as AddressInfo;
        listening(port);
        const call = get({ host: '127.0.0.1', port, path: target, agent: false, timeout: CALL_MS_MAX }, (response) => {
          response.resume().once('end', () => resolve(true));
        });
        call.once('timeout', () => call.destroy()).once('error', () => resolve(false));
      });
    });
  } finally {
    server.close();
  }
}
