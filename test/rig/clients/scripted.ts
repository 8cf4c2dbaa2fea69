/**
 * Server and client whose every byte was written beforehand: node scripted.ts FILE [CERTIFICATE KEY], with a JSON list of connections, each a
 * list of [request, response] in base64, one after another; in TLS where a certificate is given. Prints "listening", begins when its
 * standard input ends (until then whoever observes it can find it), and prints how many calls were made.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, connect as open, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, connect as openTls } from 'node:tls';

const AT_ONCE = 8;
type Call = readonly [request: Buffer, response: Buffer];
const [file, certificate, key] = process.argv.slice(2);
const connections: Call[][] = (JSON.parse(readFileSync(file!, 'utf8')) as [string, string][][]).map((calls) =>
  calls.map(([request, response]) => [Buffer.from(request, 'base64'), Buffer.from(response, 'base64')] as const),
);

/** What is being said on a connection, by the client's port. */
const spoken = new Map<number, Call>();
function serve(socket: Socket): void {
  let received = 0;
  socket.on('error', () => {});
  socket.on('data', (bytes) => {
    const [request, response] = spoken.get(socket.remotePort!)!;
    received += bytes.length;
    if (received < request.length) return;
    received = 0;
    socket.write(response);
  });
}
const ALPNProtocols = ['h2'];
const server: Server =
  certificate === undefined
    ? createServer(serve)
    : createTlsServer({ cert: readFileSync(certificate), key: readFileSync(key!), ALPNProtocols }, serve);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
process.stdout.write('listening\n');
await once(process.stdin.resume(), 'end');

let next = 0;
async function work(): Promise<void> {
  for (let calls = connections[next++]; calls !== undefined; calls = connections[next++]) {
    const socket =
      certificate === undefined
        ? open(port, '127.0.0.1')
        : openTls({ port, host: '127.0.0.1', ALPNProtocols, rejectUnauthorized: false });
    await once(socket, certificate === undefined ? 'connect' : 'secureConnect');
    for (const call of calls) {
      spoken.set(socket.localPort!, call);
      socket.write(call[0]);
      for (let received = 0; received < call[1].length; )
        received += ((await once(socket, 'data')) as [Buffer])[0].length;
    }
    socket.end();
    await once(socket, 'close');
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, work));
server.close();
process.stdout.write(`${connections.flat().length}\n`);
