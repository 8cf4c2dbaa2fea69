/**
 * WebSocket and event streams between real peers: the platform's WebSocket client (undici) against node:http with frames of
 * our own, directly and through a proxy; extended CONNECT, server-sent events and NDJSON by node:http2. Arguments: the port to
 * listen on, the proxy's port, the port for HTTP/2. Prints one JSON line: what was sent, by the paths of the calls.
 */
import { createHash } from 'node:crypto';
import { createServer, get } from 'node:http';
import { connect, createServer as createServer2 } from 'node:http2';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { closing, frame, KEY, OP } from '../websocket.ts';

export interface SessionTruth {
  readonly path: string;
  /** How many connections carried it. */
  readonly hops: number;
  readonly client: { text: number; binary: number; bytes: number };
  readonly server: { text: number; binary: number; bytes: number };
  readonly code: number;
}
export interface StreamTruth {
  readonly path: string;
  readonly kind: 'sse' | 'ndjson';
  readonly events: number;
  /** At least so long before the first event, and between two of them. */
  readonly waitNs: number;
}
export interface Truths {
  readonly sessions: SessionTruth[];
  readonly streams: StreamTruth[];
}

const [port, proxy, port2] = process.argv.slice(2).map(Number) as [number, number, number];
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const WAIT_MS = 60;
const sessions: SessionTruth[] = [];
const streams: StreamTruth[] = [];

/** What the server says on `n`: text in two fragments, a ping, a binary message of a size that needs each length form. */
function speech(n: number): { frames: Buffer; text: number; binary: number; bytes: number } {
  const sizes = [5, 125, 126, 400, 66_000].slice(0, 1 + (n % 5));
  const frames = [
    frame(OP.text, 'half', { fin: false }),
    frame(OP.ping, 'are you there'),
    frame(OP.continuation, 'whole'),
  ];
  for (const size of sizes) frames.push(frame(OP.binary, Buffer.alloc(size, n)));
  return {
    frames: Buffer.concat(frames),
    text: 1,
    binary: sizes.length,
    bytes: 9 + sizes.reduce((sum, size) => sum + size, 0),
  };
}

const events = async (write: (text: string) => void, kind: 'sse' | 'ndjson', n: number): Promise<void> => {
  for (let i = 0; i < n; i++) {
    await sleep(WAIT_MS);
    write(kind === 'ndjson' ? `{"i":${i}}\n` : `: beat\n\nevent: a\nid: ${i}\ndata: {"i":${i}}\ndata: more\n\n`);
  }
};
const kindOf = (path: string): 'sse' | 'ndjson' => (path.startsWith('/sse') ? 'sse' : 'ndjson');
const typeOf = (path: string): string => (kindOf(path) === 'sse' ? 'text/event-stream' : 'application/x-ndjson');

const server = createServer((request, response) => {
  const path = request.url!;
  response.writeHead(200, { 'content-type': typeOf(path) });
  response.flushHeaders();
  void events((text) => response.write(text), kindOf(path), +path.split('/').pop()!).then(() => response.end());
});
server.on('upgrade', (request, socket: Duplex) => {
  const accept = createHash('sha1')
    .update(request.headers['sec-websocket-key']! + GUID)
    .digest('base64');
  socket.on('error', () => {});
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.write(speech(+request.url!.split('/').pop()!).frames);
  let closed = false;
  let last = Buffer.alloc(0);
  // The client's Close is its last frame: opcode, length with the mask's bit, mask, and a code from 3000 on. Masks are random:
  // the first byte alone is met in other frames too, once in a few hundred.
  socket.on('data', (chunk: Buffer) => {
    last = Buffer.concat([last, chunk.subarray(-8)]).subarray(-8);
    if (closed || last[0] !== 0x88 || last[1] !== 0x82) return;
    const code = (last.readUInt16BE(2) ^ last.readUInt16BE(6)) & 0xffff;
    if (code < 3_000 || code >= 3_100) return;
    closed = true;
    socket.end(closing(code));
  });
});

const server2 = createServer2({ settings: { enableConnectProtocol: true } });
server2.on('stream', (stream, headers) => {
  const path = headers[':path']!;
  if (headers[':protocol'] === 'websocket') {
    stream.respond({ ':status': 200 });
    stream.write(speech(+path.split('/').pop()!).frames);
    stream.resume();
    stream.on('end', () => stream.end(closing(1_000)));
    return;
  }
  stream.respond({ ':status': 200, 'content-type': typeOf(path) });
  void events((text) => stream.write(text), kindOf(path), +path.split('/').pop()!).then(() => stream.end());
});

/** A session by undici: texts, one of them long, bytes, then Close. */
async function session(to: number, path: string, n: number, hops: number): Promise<void> {
  const code = 3_000 + n;
  const socket = new WebSocket(`ws://127.0.0.1:${to}${path}`);
  socket.binaryType = 'arraybuffer';
  const said = speech(n);
  let left = said.text + said.binary;
  const heard = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<void>();
  socket.onmessage = () => {
    if (--left === 0) heard.resolve();
  };
  socket.onerror = () => heard.reject(new Error(`${path} failed`));
  socket.onclose = () => closed.resolve();
  await heard.promise;
  const texts = Array.from({ length: n }, (_, i) => 'x'.repeat(i === 3 ? 70_000 : 40 * i));
  for (const text of texts) socket.send(text);
  socket.send(new Uint8Array(200));
  socket.close(code);
  await closed.promise;
  sessions.push({
    path,
    hops,
    client: { text: n, binary: 1, bytes: 200 + texts.reduce((sum, text) => sum + text.length, 0) },
    server: { text: said.text, binary: said.binary, bytes: said.bytes },
    code,
  });
}

const stream = (path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    streams.push({ path, kind: kindOf(path), events: +path.split('/').pop()!, waitNs: WAIT_MS * 1e6 });
    get({ port, path, host: '127.0.0.1' }, (response) => response.resume().on('end', resolve)).on('error', reject);
  });

async function overHttp2(): Promise<void> {
  const client = connect(`http://127.0.0.1:${port2}`);
  await new Promise((resolve) => client.once('remoteSettings', resolve));
  const jobs: Promise<void>[] = [];
  for (const path of ['/sse/h2/4', '/ndjson/h2/3']) {
    streams.push({ path, kind: kindOf(path), events: +path.split('/').pop()!, waitNs: WAIT_MS * 1e6 });
    jobs.push(new Promise((resolve) => client.request({ ':path': path }).resume().on('end', resolve)));
  }
  for (let n = 1; n < 6; n++) {
    const path = `/h2/${n}`;
    const said = speech(n);
    const text = 'y'.repeat(n * 100);
    const one = client.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':path': path, ':scheme': 'http' });
    one.write(frame(OP.text, text, { mask: KEY }));
    one.end(closing(1_000, '', KEY));
    jobs.push(new Promise((resolve) => one.resume().on('close', resolve)));
    sessions.push({
      path,
      hops: 1,
      client: { text: 1, binary: 0, bytes: text.length },
      server: { text: said.text, binary: said.binary, bytes: said.bytes },
      code: 1_000,
    });
  }
  await Promise.all(jobs);
  client.close();
}

server.listen(port, '127.0.0.1', () =>
  server2.listen(port2, '127.0.0.1', async () => {
    const jobs: Promise<void>[] = [overHttp2(), stream('/sse/5'), stream('/ndjson/4')];
    for (let n = 1; n < 7; n++) jobs.push(session(port, `/direct/${n}`, n, 1), session(proxy, `/proxied/${n}`, n, 2));
    await Promise.all(jobs);
    process.stdout.write(`${JSON.stringify({ sessions, streams } satisfies Truths)}\n`, () => process.exit(0));
  }),
);
