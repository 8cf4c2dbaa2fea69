/**
 * A client whose own count is the truth: every request has an id and a target of its own, every answer is compared with
 * what was asked, and no request is left without its answer. `startLoad` runs it as a process of its own.
 */
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { Program, type ProgramOptions } from '../../rig/program.ts';

export interface LoadPlan {
  readonly port: number;
  readonly host?: string;
  readonly connections: number;
  /** Requests on each connection; without it, until `finish`. */
  readonly each?: number;
  /** Requests on their way on each connection at most; default 1. */
  readonly depth?: number;
  /** Begins every id. */
  readonly prefix?: string;
  /** HEAD and POST too; a POST carries its target as the body. */
  readonly mix?: boolean;
  /** Each connection sends its first `depth` requests and then waits for this long. */
  readonly warmMs?: number;
  /** Pause of a connection after each answer. */
  readonly paceMs?: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly answered: number;
  /** What went wrong, the first few. */
  readonly errors: readonly string[];
  readonly failures: number;
}

const ERRORS_KEPT = 10;
/** Targets differ in length, so that an answer's body length tells which request it belongs to. */
const PADS_MAX = 97;

/** Words, because long runs of letters and digits look like credentials, which a log does not show. */
export const targetOf = (id: string, n: number): string => `/echo/${id}${'/pad'.repeat((n * 31) % PADS_MAX)}`;
export const idOf = (target: string): string => target.split('/')[2] ?? '';

class Conversation {
  readonly #plan: LoadPlan;
  readonly #number: number;
  readonly #socket: Socket;
  readonly #waiting: { id: string; target: string; head: boolean }[] = [];
  #text = '';
  #stopping = false;
  #pausing = false;
  sent = 0;
  answered = 0;
  readonly errors: string[] = [];
  readonly done: Promise<void>;

  constructor(plan: LoadPlan, number: number) {
    this.#plan = plan;
    this.#number = number;
    this.#socket = connect({ port: plan.port, host: plan.host ?? '127.0.0.1', noDelay: true });
    this.#socket.setEncoding('latin1');
    this.#socket.on('connect', () => {
      this.#fill();
      if (plan.warmMs === undefined) return;
      this.#pausing = true;
      setTimeout(() => {
        this.#pausing = false;
        this.#fill();
      }, plan.warmMs);
    });
    this.#socket.on('data', (text: string) => {
      this.#text += text;
      this.#read();
      if (plan.paceMs === undefined || this.#stopping) this.#fill();
      else setTimeout(() => this.#fill(), plan.paceMs);
    });
    this.#socket.on('error', (error) => this.errors.push(String(error)));
    this.done = new Promise((resolve) => {
      this.#socket.once('close', () => {
        for (const { id } of this.#waiting) this.errors.push(`no answer for ${id}`);
        resolve();
      });
    });
  }

  finish(): void {
    this.#stopping = true;
    this.#fill();
  }

  #fill(): void {
    const { each = Number.POSITIVE_INFINITY, depth = 1, prefix = 'c', host = '127.0.0.1', mix = false } = this.#plan;
    if (this.#pausing) return;
    let bytes = '';
    while (!this.#stopping && this.sent < each && this.#waiting.length < depth) {
      const n = this.sent++;
      const id = `${prefix}${this.#number}-${n}`;
      const target = targetOf(id, n);
      const kind = mix ? n % 5 : 0;
      const method = kind === 1 ? 'HEAD' : kind === 2 ? 'POST' : 'GET';
      const body = kind === 2 ? target : '';
      const length = kind === 2 ? `Content-Length: ${body.length}\r\n` : '';
      bytes += `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nX-Request-Id: ${id}\r\n${length}\r\n${body}`;
      this.#waiting.push({ id, target, head: kind === 1 });
    }
    if (bytes !== '') this.#socket.write(bytes, 'latin1');
    else if (this.#waiting.length === 0) this.#socket.end();
  }

  #read(): void {
    for (;;) {
      const end = this.#text.indexOf('\r\n\r\n');
      const asked = this.#waiting[0];
      if (end < 0 || asked === undefined) return;
      const head = this.#text.slice(0, end);
      const length = asked.head ? 0 : Number(/\r\nContent-Length: (\d+)/i.exec(head)?.[1]);
      if (this.#text.length < end + 4 + length) return;
      const body = this.#text.slice(end + 4, end + 4 + length);
      this.#text = this.#text.slice(end + 4 + length);
      this.#waiting.shift();
      this.answered++;
      const id = /\r\nX-Request-Id: (.*)/i.exec(head)?.[1];
      if (!head.startsWith('HTTP/1.1 200 ') || id !== asked.id || (!asked.head && body !== asked.target))
        this.errors.push(`asked ${asked.id}, got ${head.slice(0, 40)} ${id} ${body.slice(0, 40)}`);
    }
  }
}

/** The load as a running process. */
export class Load implements AsyncDisposable {
  readonly program: Program;

  constructor(plan: LoadPlan, options: ProgramOptions = {}) {
    this.program = new Program([process.execPath, fileURLToPath(import.meta.url), JSON.stringify(plan)], options);
  }

  /** Lets requests that are on their way end, and says how it went. With `each`, waits for the last of them. */
  async finish(timeoutMs = 200_000): Promise<LoadResult> {
    this.program.stdin.end();
    const ended = await this.program.wait(timeoutMs);
    if (ended.code !== 0) throw new Error(`the load ended with ${ended.code ?? ended.signal}: ${ended.stderr}`);
    return JSON.parse(ended.stdout) as LoadResult;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

/** A load with a fixed number of requests, to its end. */
export async function load(
  plan: LoadPlan & { readonly each: number },
  options: ProgramOptions = {},
): Promise<LoadResult> {
  await using running = new Load(plan, options);
  return await running.finish();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const plan = JSON.parse(process.argv[2]!) as LoadPlan;
  const all = Array.from({ length: plan.connections }, (_, i) => new Conversation(plan, i));
  if (plan.each === undefined) {
    process.stdin.resume().once('end', () => {
      for (const one of all) one.finish();
    });
  }
  await Promise.all(all.map(({ done }) => done));
  const errors = all.flatMap((one) => one.errors);
  const sum = (key: 'sent' | 'answered'): number => all.reduce((n, one) => n + one[key], 0);
  const result: LoadResult = {
    sent: sum('sent'),
    answered: sum('answered'),
    errors: errors.slice(0, ERRORS_KEPT),
    failures: errors.length,
  };
  process.stdout.write(JSON.stringify(result));
  process.stdin.destroy();
}
