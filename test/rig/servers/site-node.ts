/** The test site on node:http; site.ts says what each path does. */
import { openSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { BIG_BYTES } from './server.ts';

const [port, logPath] = process.argv.slice(2);
const log = openSync(logPath!, 'a');
let requests = 0;

function answer(request: IncomingMessage, response: ServerResponse): number | Promise<number> {
  const [, path = '', argument = ''] = request.url!.split('?')[0]!.split('/');
  const n = Number(argument);
  const whole = (status: number, body: string | Buffer): number => {
    response.writeHead(status, { 'Content-Type': 'text/plain', 'Content-Length': Buffer.byteLength(body) }).end(body);
    return request.method === 'HEAD' ? 0 : Buffer.byteLength(body);
  };
  switch (path) {
    case 'count':
      return whole(200, `{"n":${requests}}\n`);
    case 'small':
      return whole(200, 'small\n');
    case 'bytes':
      return whole(200, Buffer.alloc(n, 'b'));
    case 'big':
      return big(response);
    case 'chunked':
      response.writeHead(200, { 'Content-Type': 'text/plain', Trailer: 'X-Chunks' });
      for (let i = 0; i < n; i++) response.write('c'.repeat(100));
      response.addTrailers({ 'X-Chunks': String(n) });
      response.end();
      return n * 100;
    case 'close':
      response.useChunkedEncodingByDefault = false;
      response.writeHead(200, { 'Content-Type': 'text/plain', Connection: 'close' });
      response.end(Buffer.alloc(n, 'd'));
      return n;
    case 'status':
      response.writeHead(n).end();
      return 0;
    case 'slow':
      return new Promise((resolve) => setTimeout(() => resolve(whole(200, 'slow\n')), n));
    case 'stall':
    case 'reset':
      response.writeHead(200, { 'Content-Length': 100 });
      response.write('0123456789', () => {
        if (path === 'reset') setTimeout(() => request.socket.resetAndDestroy(), 20);
      });
      return 10;
    case 'hint':
      response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
      return whole(200, 'hint\n');
    case 'sink':
      return sink(request).then((received) => whole(200, `{"received":${received}}\n`));
    default:
      return whole(404, 'missing\n');
  }
}

async function sink(request: IncomingMessage): Promise<number> {
  let received = 0;
  for await (const chunk of request) received += (chunk as Buffer).length;
  return received;
}

async function big(response: ServerResponse): Promise<number> {
  response.writeHead(200, { 'Content-Length': BIG_BYTES });
  const block = Buffer.alloc(1 << 20);
  for (let sent = 0; sent < BIG_BYTES; sent += block.length) {
    if (response.destroyed) return sent;
    if (!response.write(block)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
  }
  response.end();
  return BIG_BYTES;
}

const server = createServer(async (request, response) => {
  requests++;
  const bytes = await answer(request, response);
  const id = request.headers['x-request-id'] ?? '-';
  writeSync(log, `${String(id)}\t${request.method}\t${request.url}\t${response.statusCode}\t${bytes}\n`);
});
server.keepAliveTimeout = 60_000;
server.listen(Number(port), '::');
