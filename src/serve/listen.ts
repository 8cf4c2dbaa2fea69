/** Listening on TCP, and on a unix socket that the privileged parent opened (src/attacher/runtime.ts) and handed down. */
import type { Server } from 'node:http';

interface ListenFailure {
  readonly ok: false;
  readonly reason: 'in_use' | 'denied' | 'bad_address' | 'failed';
  /** One line. */
  readonly message: string;
  /** What to do; one line. */
  readonly hint: string;
}
export type ListenResult = { readonly ok: true; readonly address: string } | ListenFailure;

/** Listens on a descriptor that is already bound and listening (inherited). */
export async function listenFd(server: Server, fd: number): Promise<ListenResult> {
  const error = await listen(server, { fd });
  if (error === null) return { ok: true, address: `fd ${fd}` };
  return failure(
    'failed',
    `cannot listen on inherited descriptor ${fd}: ${error.message}`,
    'this is a defect; please report it',
  );
}

/** Listens on TCP. `address` in the result has the real port when 0 was asked for. */
export async function listenTcp(server: Server, host: string, port: number): Promise<ListenResult> {
  const error = await listen(server, { host, port });
  const name = `${host.includes(':') ? `[${host}]` : host}`;
  if (error === null) {
    const bound = server.address();
    return { ok: true, address: `${name}:${bound !== null && typeof bound === 'object' ? bound.port : port}` };
  }
  switch (error.code) {
    case 'EADDRINUSE':
      return failure(
        'in_use',
        `${name}:${port} is in use by another program`,
        `choose another port with --listen, or see who has it: ss -ltnp 'sport = :${port}'`,
      );
    case 'EACCES':
      return failure('denied', `no permission to listen on ${name}:${port}`, 'choose a port above 1023 with --listen');
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EINVAL':
      return failure(
        'bad_address',
        `this machine has no address ${host}`,
        'choose one of its own with --listen, such as 127.0.0.1',
      );
    default:
      return failure(
        'failed',
        `cannot listen on ${name}:${port}: ${error.message}`,
        'choose another address with --listen',
      );
  }
}

function listen(
  server: Server,
  where: { fd: number } | { host: string; port: number },
): Promise<NodeJS.ErrnoException | null> {
  return new Promise((resolve) => {
    const done = (error: NodeJS.ErrnoException | null) => {
      server.off('error', done);
      server.off('listening', listening);
      resolve(error);
    };
    const listening = () => done(null);
    server.on('error', done);
    server.on('listening', listening);
    server.listen(where);
  });
}

const failure = (reason: ListenFailure['reason'], message: string, hint: string): ListenFailure => ({
  ok: false,
  reason,
  message,
  hint,
});
