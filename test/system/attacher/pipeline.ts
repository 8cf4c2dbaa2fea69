/**
 * A pipeline for the attacher's tests: does what is asked over the agent's own socket, one JSON object a line. It stands
 * for the process that a hostile peer has taken over, so it can also write raw bytes into the control channel.
 */
import { fstatSync, readFileSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PipelineEntry } from '../../../src/attacher/child.ts';
import { CONTROL_FD } from '../../../src/attacher/client.ts';
import type { SocketTuple } from '../../../src/attacher/protocol.ts';

export interface Command {
  readonly do:
    | 'handover'
    | 'status'
    | 'rotate'
    | 'archived'
    | 'reopen'
    | 'write'
    | 'owners'
    | 'processes'
    | 'programs'
    | 'usage'
    | 'raw'
    | 'exit'
    | 'hang'
    | 'open';
  readonly tuples?: readonly SocketTuple[];
  readonly pids?: readonly number[];
  readonly ok?: boolean;
  readonly text?: string;
  readonly count?: number;
}

/** Past the client, however full the socket is. */
const writeAll = async (text: string): Promise<void> => {
  let rest = Buffer.from(text);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(CONTROL_FD, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await sleep(5);
    }
  }
};

/** Loaded by path. @public */
export const runPipeline: PipelineEntry['runPipeline'] = ({ client, start, key }) =>
  new Promise((resolve) => {
    let log = start.logFd;
    let hung = false;
    const write = (text: string): void => {
      if (log >= 0) writeSync(log, `${text}\n`);
    };
    const run = async (command: Command): Promise<unknown> => {
      switch (command.do) {
        case 'handover':
          return {
            ...start,
            pid: process.pid,
            key: Buffer.from(key).toString('hex'),
            argv: process.argv,
            environment: process.env,
          };
        case 'status':
          return readFileSync('/proc/self/status', 'latin1');
        case 'rotate': {
          const rotated = await client.rotate();
          if (!rotated.ok) return rotated;
          log = rotated.value.log;
          const { archive } = rotated.value;
          if (archive !== null) writeSync(archive.target, `archive of ${fstatSync(archive.source).size}`);
          return { ok: true, archive: archive !== null };
        }
        case 'archived':
          return client.archived(command.ok ?? true);
        case 'reopen': {
          const reopened = await client.reopen();
          if (reopened.ok) log = reopened.value;
          return reopened.ok ? { ok: true } : reopened;
        }
        case 'write':
          return write(command.text ?? '');
        case 'owners':
          return client.owners(command.tuples ?? []);
        case 'processes':
          return client.processes(command.pids ?? []);
        case 'programs':
          return client.programStats();
        case 'usage':
          return client.usage();
        case 'raw':
          return writeAll((command.text ?? '').repeat(command.count ?? 1));
        case 'open':
          try {
            return readFileSync(command.text ?? '', 'latin1').length;
          } catch (error) {
            return (error as NodeJS.ErrnoException).code;
          }
        case 'hang':
          hung = true;
          return null;
        case 'exit':
          resolve(command.count ?? 0);
          return null;
      }
    };
    client.listen({
      reopened: (fd) => {
        log = fd;
        write('reopened');
      },
      drain: (reason) => {
        write(`drained: ${reason}`);
        if (!hung) resolve(0);
      },
      end: () => {
        write('the attacher is gone');
        resolve(0);
      },
    });
    createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', (line) => {
        void run(JSON.parse(String(line)) as Command).then((result) =>
          socket.end(`${JSON.stringify(result ?? null)}\n`),
        );
      });
    }).listen({ fd: start.socketFd }, () => write('ready'));
  });
