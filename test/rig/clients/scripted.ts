/** Server and client of calls whose every byte was written beforehand: node scripted.ts FILE, with a JSON list of [request, response] in base64. Prints how many were made. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';

const AT_ONCE = 8;
const calls = (JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as [string, string][]).map(
  ([request, response]) => [Buffer.from(request, 'base64'), Buffer.from(response, 'base64')] as const,
);

/** What is said on a connection, by the client's port. */
const spoken = new Map<number, (typeof calls)[number]>();
const server = createServer((socket) => {
  let received = 0;
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    const [request, response] = spoken.get(socket.remotePort!)!;
    received += bytes.length;
    if (received === request.length) socket.write(response);
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

let next = 0;
async function work(): Promise<void> {
  for (let call = calls[next++]; call !== undefined; call = calls[next++]) {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    spoken.set(socket.localPort!, call);
    socket.write(call[0]);
    for (let received = 0; received < call[1].length; )
      received += ((await once(socket, 'data')) as [Buffer])[0].length;
    socket.end();
    await once(socket, 'close');
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
server.close();
process.stdout.write(`${calls.length}\n`);
