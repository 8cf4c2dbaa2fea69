/** How a local command talks to a running agent: HTTP over its unix socket. */
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import type { AgentStatus } from '../model/status.ts';
import type { FilterError } from '../query/filter.ts';
import type { ErrorBody } from './http.ts';

export type ClientFailure =
  /** Nobody listens. */
  | { readonly ok: false; readonly kind: 'absent' }
  /** File permissions. */
  | { readonly ok: false; readonly kind: 'denied' }
  | { readonly ok: false; readonly kind: 'bad_filter'; readonly filter: FilterError }
  /** It answered, and said no. */
  | { readonly ok: false; readonly kind: 'refused'; readonly message: string }
  /** The connection broke, or what is there is no agent. */
  | { readonly ok: false; readonly kind: 'broken'; readonly message: string };

export type ClientResult<T> = { readonly ok: true; readonly value: T } | ClientFailure;

/** An agent that is stopped (SIGSTOP) accepts and stays silent. Program statistics take up to a second. */
const ANSWER_TIME_MS = 10_000;
const ANSWER_BYTES_MAX = 16 * 2 ** 20;
/** A header log line is far shorter; more without a newline is no agent. */
const LINE_LENGTH_MAX = 16 * 2 ** 20;

/** A running stream of lines. Iterate it once; ends when the agent does. */
export interface TailStream {
  readonly lines: AsyncIterable<string>;
  close(): void;
}

/** A file that is still being written. Iterate it once; breaks off when the agent does. */
export interface PacketStream {
  readonly bytes: AsyncIterable<Buffer>;
  close(): void;
}

export class AgentClient {
  readonly socketPath: string;

  constructor(socketPath: string) {
    this.socketPath = socketPath;
  }

  /** `programs`: measure the kernel programs too, which takes up to a second. */
  status(ask: { readonly programs: boolean }): Promise<ClientResult<AgentStatus>> {
    return this.#json<AgentStatus>(`/v1/status${ask.programs ? '?programs=1' : ''}`);
  }

  /** The agent's live state for `why`. */
  why<T extends object>(pids: readonly number[] = []): Promise<ClientResult<T>> {
    return this.#json<T>(`/v1/why?${pids.map((pid) => `pid=${pid}`).join('&')}`);
  }

  /** The statistics of a range (docs/cli.md says how times are written), or since the agent's start. */
  report<T extends object>(range: { readonly since?: string; readonly until?: string }): Promise<ClientResult<T>> {
    return this.#json<T>(`/api/v1/report${queryString(range)}`);
  }

  /** The folder with every call that the agent has captured so far. */
  settled(): Promise<ClientResult<{ readonly data: string }>> {
    return this.#json<{ readonly data: string }>('/v1/settled');
  }

  /** Packets from now on for `seconds`, as a pcapng file in pieces; `secrets`: with those of TLS connections that begin meanwhile. */
  async packets(seconds: number, secrets: boolean): Promise<ClientResult<PacketStream>> {
    const opened = await this.#open(`/v1/packets?seconds=${seconds}${secrets ? '&secrets=1' : ''}`);
    if (!opened.ok) return opened;
    const { response, outgoing } = opened.value;
    outgoing.setTimeout(0);
    if (response.statusCode !== 200) return refusal(response);
    return { ok: true, value: { bytes: response, close: () => outgoing.destroy() } };
  }

  /** Live calls as header log lines, pushed by the agent. */
  async tail(filter: string | null): Promise<ClientResult<TailStream>> {
    const opened = await this.#open(filter === null ? '/v1/tail' : `/v1/tail?filter=${encodeURIComponent(filter)}`);
    if (!opened.ok) return opened;
    const { response, outgoing } = opened.value;
    outgoing.setTimeout(0);
    if (response.statusCode !== 200) return refusal(response);
    return { ok: true, value: { lines: readLines(response), close: () => outgoing.destroy() } };
  }

  async #json<T>(path: string): Promise<ClientResult<T>> {
    const opened = await this.#open(path);
    if (!opened.ok) return opened;
    const { response } = opened.value;
    if (response.statusCode !== 200) return refusal(response);
    const body = await readAll(response);
    if (!body.ok) return body;
    try {
      return { ok: true, value: JSON.parse(body.value) as T };
    } catch {
      return { ok: false, kind: 'broken', message: 'the answer is no JSON' };
    }
  }

  #open(path: string): Promise<ClientResult<{ response: IncomingMessage; outgoing: ClientRequest }>> {
    return new Promise((resolve) => {
      const outgoing = request({ socketPath: this.socketPath, path, agent: false, timeout: ANSWER_TIME_MS });
      outgoing.on('response', (response) => resolve({ ok: true, value: { response, outgoing } }));
      outgoing.on('timeout', () =>
        outgoing.destroy(new Error(`no answer for ${ANSWER_TIME_MS / 1000} s; is it stopped?`)),
      );
      outgoing.on('error', (error: NodeJS.ErrnoException) => resolve(openFailure(error)));
      outgoing.end();
    });
  }
}

function queryString(parameters: Readonly<Record<string, string | undefined>>): string {
  const given = Object.entries(parameters).filter((entry): entry is [string, string] => entry[1] !== undefined);
  return given.length === 0 ? '' : `?${new URLSearchParams(given)}`;
}

function openFailure(error: NodeJS.ErrnoException): ClientFailure {
  switch (error.code) {
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ENOTDIR':
      return { ok: false, kind: 'absent' };
    case 'EACCES':
    case 'EPERM':
      return { ok: false, kind: 'denied' };
    default:
      return { ok: false, kind: 'broken', message: error.message };
  }
}

async function refusal(response: IncomingMessage): Promise<ClientFailure> {
  const body = await readAll(response);
  if (!body.ok) return body;
  try {
    const { error } = JSON.parse(body.value) as ErrorBody;
    if (error.code === 'bad_filter') return { ok: false, kind: 'bad_filter', filter: error['filter'] as FilterError };
    return { ok: false, kind: 'refused', message: error.message };
  } catch {
    return { ok: false, kind: 'broken', message: `unexpected answer ${response.statusCode}` };
  }
}

async function readAll(response: IncomingMessage): Promise<ClientResult<string>> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > ANSWER_BYTES_MAX) return { ok: false, kind: 'broken', message: 'the answer is too long' };
      chunks.push(chunk);
    }
  } catch (error) {
    return { ok: false, kind: 'broken', message: (error as Error).message };
  }
  return { ok: true, value: Buffer.concat(chunks).toString('utf8') };
}

/** Complete lines, without their newline. A connection that breaks ends the iteration. */
async function* readLines(response: IncomingMessage): AsyncIterable<string> {
  response.setEncoding('utf8');
  let rest = '';
  try {
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop()!;
      if (rest.length > LINE_LENGTH_MAX) return;
      yield* lines;
    }
  } catch (error) {
    // The agent was killed: what came so far is all there is.
    if ((error as NodeJS.ErrnoException).code !== 'ECONNRESET') throw error;
  }
}
