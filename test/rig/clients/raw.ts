/**
 * A client that sends exactly the bytes it is told to, in exactly the writes it is told to, and ends the way it is told
 * to. `raw` runs it in this process; `rawProcess` as a process of its own, for a cgroup or a network namespace.
 */
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { must, type ProgramOptions } from '../program.ts';

export type Step =
  /** Latin-1; with `piece`, in writes of that many bytes, each in a segment of its own. */
  | { readonly send: string; readonly piece?: number }
  /** Waits until what was received since the last such step contains this. */
  | { readonly until: string }
  /** Waits until this many bytes were received in all. */
  | { readonly untilBytes: number }
  /** Waits until the server has ended its direction, or the connection is gone. */
  | { readonly untilEnd: true }
  | { readonly pauseMs: number }
  /** Waits for something outside the conversation; only for `raw`. */
  | { readonly after: Promise<unknown> }
  /** FIN: closes our direction and goes on reading. */
  | { readonly halfClose: true }
  /** RST (SO_LINGER 0). */
  | { readonly reset: true }
  /** Stops reading; the receive window fills. */
  | { readonly stall: true };

export interface Talk {
  readonly received: string;
  /** "ECONNRESET" and the like; null when it ended in order. */
  readonly error: string | null;
}

const STEP_TIMEOUT_MS = 90_000;

/** Plays the steps on one connection, then closes it. */
export async function raw(port: number, steps: readonly Step[], host = '127.0.0.1'): Promise<Talk> {
  const socket = connect({ port, host, noDelay: true, allowHalfOpen: true });
  let received = '';
  let seen = 0;
  let error: string | null = null;
  let over = false;
  let wake = (): void => {};
  socket.setEncoding('latin1');
  socket.on('data', (data: string) => {
    received += data;
    wake();
  });
  socket.on('end', () => {
    over = true;
    wake();
  });
  socket.on('error', (problem: NodeJS.ErrnoException) => {
    error = problem.code ?? problem.message;
  });
  socket.on('close', () => {
    over = true;
    wake();
  });
  const condition = async (what: string, met: () => boolean): Promise<void> => {
    const end = performance.now() + STEP_TIMEOUT_MS;
    while (!met() && !over) {
      if (performance.now() > end)
        throw new Error(`raw client: no ${what}; received ${JSON.stringify(received.slice(-500))}`);
      await Promise.race([
        new Promise<void>((resolve) => {
          wake = resolve;
        }),
        sleep(200),
      ]);
    }
  };
  const write = (bytes: string): Promise<void> =>
    new Promise((resolve) => {
      if (over && socket.destroyed) resolve();
      else socket.write(bytes, 'latin1', () => resolve());
    });

  for (const step of steps) {
    if ('send' in step) {
      const piece = step.piece ?? step.send.length;
      for (let i = 0; i < step.send.length; i += piece) {
        await write(step.send.slice(i, i + piece));
        // The next write must not join this one in the socket's queue.
        if (step.piece !== undefined) await sleep(0);
      }
    } else if ('until' in step) {
      await condition(step.until, () => received.includes(step.until, seen));
      const at = received.indexOf(step.until, seen);
      seen = at < 0 ? received.length : at + step.until.length;
    } else if ('untilBytes' in step)
      await condition(`${step.untilBytes} bytes`, () => received.length >= step.untilBytes);
    else if ('untilEnd' in step) await condition('end', () => over);
    else if ('pauseMs' in step) await sleep(step.pauseMs);
    else if ('after' in step) await step.after;
    else if ('halfClose' in step) socket.end();
    else if ('stall' in step) socket.pause();
    else socket.resetAndDestroy();
  }
  socket.destroy();
  return { received, error };
}

/** The same, in a process of its own. */
export async function rawProcess(
  port: number,
  steps: readonly Step[],
  host = '127.0.0.1',
  options: ProgramOptions = {},
): Promise<Talk> {
  const command = [process.execPath, fileURLToPath(import.meta.url), String(port), host];
  return JSON.parse(await must(command, { ...options, input: JSON.stringify(steps) })) as Talk;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [port, host] = process.argv.slice(2);
  const talk = await raw(Number(port), JSON.parse(await text(process.stdin)) as Step[], host);
  process.stdout.write(JSON.stringify(talk));
}
