/** How commands that ask a running agent say that it did not answer. */
import { EXIT, fail } from '../../base/failure.ts';
import { defaultSocketPath } from '../../config/paths.ts';
import { AgentClient, type ClientFailure, type ClientResult } from '../../serve/client.ts';
import { failFilter } from './settings.ts';

/** Of sockaddr_un (unix(7)), with the zero byte at its end: a longer path would be cut. */
const SOCKET_PATH_BYTES_MAX = 107;

export function connect(socket: string | undefined): AgentClient {
  const path = socket ?? defaultSocketPath();
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX)
    fail(EXIT.USAGE, `the path of a socket has at most ${SOCKET_PATH_BYTES_MAX} bytes, this one has ${bytes}`);
  return new AgentClient(path);
}

/** The answer, or the end of the command with what went wrong and what to do. */
export function answered<T>(client: AgentClient, result: ClientResult<T>): T {
  if (result.ok) return result.value;
  return failClient(client.socketPath, result);
}

/** The data folder of the agent that was named, once every call so far can be read there; undefined: none was. */
export async function settledData(socket: string | undefined): Promise<string | undefined> {
  if (socket === undefined) return undefined;
  const client = connect(socket);
  return answered(client, await client.settled()).data;
}

export function failClient(path: string, failure: ClientFailure): never {
  switch (failure.kind) {
    case 'absent':
      return fail(
        EXIT.MACHINE,
        `no agent is running at ${path}`,
        'start one: headwater run (another socket: --socket PATH)',
      );
    case 'denied':
      return fail(
        EXIT.MACHINE,
        `no permission to use the agent's socket ${path}`,
        'run this command as the user who runs the agent: sudo headwater ...',
      );
    case 'bad_filter':
      return failFilter(failure.filter);
    case 'refused':
      return fail(EXIT.MACHINE, `the agent refused: ${failure.message}`);
    case 'broken':
      return fail(
        EXIT.MACHINE,
        `the agent at ${path} does not answer: ${failure.message}`,
        'see whether it is alive: ss -xlp | grep headwater',
      );
  }
}
