/** A server that never writes a byte on a connection is still the one who ended it, or the one who listens. */
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';

/** Reads the request and answers with a reset ("refusing") or not at all ("silent"). */
const SERVER = `import socket, struct, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    connection, _ = listener.accept()
    received = connection.recv(65536)
    print("received", flush=True)
    if sys.argv[1] == "refusing":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    else:
        try: connection.recv(1)
        except ConnectionResetError: pass
`;

async function server(cgroup: Cgroup, folder: Folder, kind: 'refusing' | 'silent') {
  const program = new Program(['python3', folder.write('server.py', SERVER), kind], { cgroup });
  await program.until('its port', () => /^\d+\n/.test(program.stdout));
  return { program, kind, port: Number.parseInt(program.stdout, 10) };
}

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'python3',
)('calls that end before the server writes have a service', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('refuse');
  const servers = [await server(cgroup, folder, 'refusing'), await server(cgroup, folder, 'silent')];
  await using agent = await Agent.start({ cgroups: [cgroup] });
  // One that is younger than the agent tells by whom its connections are ended.
  servers.push(await server(cgroup, folder, 'refusing'));
  const calls = 3;
  for (const { program, kind, port } of servers)
    for (let n = 1; n <= calls; n++) {
      const received = program.until('a request', () => program.stdout.split('received').length > n);
      const request = { send: 'GET / HTTP/1.1\r\nHost: x\r\n\r\n' };
      await raw(
        port,
        kind === 'refusing' ? [request, { untilEnd: true }] : [request, { after: received }, { reset: true }],
      );
      await received;
    }
  const { exchanges } = await agent.stop();
  for (const one of servers) await one.program[Symbol.asyncDispose]();
  expect(exchanges.map((e) => [e.server.port, e.response, e.service, e.process?.pid])).toEqual(
    servers.flatMap(({ program, port }) =>
      Array.from({ length: calls }, () => [port, null, `python3:${port}`, program.pid]),
    ),
  );
});
