/** Calls that a client library makes one after the other on as few connections as it likes to: undici and requests. */
import { join } from 'node:path';
import { findProgram } from '../need.ts';
import { must, type ProgramOptions } from '../program.ts';

export interface Call {
  readonly method?: string;
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent with Content-Length; `chunked` sends it in two chunks instead. */
  readonly body?: string;
  readonly chunked?: boolean;
  /** Gives up after this time. */
  readonly timeoutMs?: number;
}

export interface Answer {
  /** 0 when there was none: `error` says why. */
  readonly status: number;
  readonly body: string;
  readonly error?: string;
}

const play = async (command: readonly string[], calls: readonly Call[], options: ProgramOptions): Promise<Answer[]> =>
  JSON.parse(await must(command, { ...options, input: JSON.stringify(calls) })) as Answer[];

export const undici = (calls: readonly Call[], options: ProgramOptions = {}): Promise<Answer[]> =>
  play([process.execPath, join(import.meta.dirname, 'undici-client.ts')], calls, options);

export const requests = (calls: readonly Call[], options: ProgramOptions = {}): Promise<Answer[]> =>
  play([findProgram('python3')!, join(import.meta.dirname, 'requests_client.py')], calls, options);
