/**
 * A node:http2 server and its clients in one process, over cleartext. Prints one JSON line: what every call was, by the
 * id that its headers and its body carry.
 */
import { connect, constants, createServer, type Http2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export interface Truth {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly sent: number;
  readonly received: number;
  readonly outcome: string;
}

const ROUNDS = 3;
const CONCURRENT = 100;
const truth: Truth[] = [];

let seed = 7;
const random = (below: number): number => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
  return (seed >>> 8) % below;
};

const server = createServer({ settings: { maxConcurrentStreams: 1_000 } });
server.on('stream', (stream, headers) => {
  const id = String(headers['x-id']);
  const path = String(headers[':path']);
  let received = 0;
  stream.on('error', () => {});
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  if (path.startsWith('/refuse')) {
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return;
  }
  if (path.startsWith('/hang')) return;
  if (path.startsWith('/break')) {
    stream.respond({ ':status': 200, 'x-id': id });
    stream.write(id.padEnd(1_000, '.'), () => stream.destroy(new Error('broken')));
    return;
  }
  stream.on('end', () => {
    if (path.startsWith('/early')) stream.additionalHeaders({ ':status': 103, link: '</a.css>; rel=preload' });
    const size = +(new URLSearchParams(path.split('?')[1]).get('size') ?? 0);
    const head = { ':status': path.startsWith('/none') ? 204 : 200, 'x-id': id, 'x-received': String(received) };
    if (path.startsWith('/trailers')) {
      stream.respond(head, { waitForTrailers: true });
      stream.on('wantTrailers', () => stream.sendTrailers({ 'x-sum': id }));
      stream.end(id.padEnd(size, '.'));
    } else {
      stream.respond(head);
      // In pieces, so that the streams' frames interleave.
      void (async () => {
        const body = Buffer.from(size === 0 ? '' : id.padEnd(size, '.'));
        for (let at = 0; at < body.length; at += 5_000) {
          stream.write(body.subarray(at, at + 5_000));
          await sleep(random(3));
        }
        stream.end();
      })();
    }
  });
});
await new Promise<void>((resolve) => server.listen(+(process.argv[2] ?? 0), '127.0.0.1', resolve));
const { port } = server.address() as AddressInfo;

const KINDS = ['/plain', '/plain', '/plain', '/trailers', '/early', '/none', '/refuse', '/break', '/cancel', '/hang'];
const session = connect(`http://127.0.0.1:${port}`, { settings: { enablePush: false } });
session.setMaxListeners(0);

async function call(number: number): Promise<void> {
  const kind = KINDS[number % KINDS.length]!;
  const id = `id-${number}-${random(1e9).toString(36)}`;
  const size = kind === '/none' || kind === '/early' ? 0 : Math.max(id.length, random(60_000));
  const path = `${kind}/${number}?size=${size}`;
  const sent = number % 3 === 0 ? Math.max(id.length, random(30_000)) : 0;
  const method = sent > 0 ? 'POST' : 'GET';
  const stream = session.request({ ':method': method, ':path': path, 'x-id': id, 'x-common': 'the same for all' });
  let status = 0;
  let received = 0;
  stream.on('response', (headers) => {
    status = Number(headers[':status']);
    if (kind === '/cancel') stream.close(constants.NGHTTP2_CANCEL);
  });
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
  });
  stream.on('error', () => {});
  if (sent > 0) stream.end(id.padEnd(sent, '.'));
  else stream.end();
  if (kind === '/hang') setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 30);
  await closed(stream);
  const outcomes: Record<string, string> = {
    '/refuse': 'reset_before_headers',
    '/break': 'reset_in_body',
    '/cancel': 'client_abort',
    '/hang': 'client_abort',
  };
  truth.push({ id, method, path, status, sent, received, outcome: outcomes[kind] ?? 'complete' });
}

const closed = (stream: Http2Stream): Promise<void> => new Promise((resolve) => stream.once('close', resolve));

for (let round = 0; round < ROUNDS; round++) {
  await Promise.all(Array.from({ length: CONCURRENT }, (_, i) => call(round * CONCURRENT + i)));
}
session.close();
await sleep(50);
server.close();
process.stdout.write(`${JSON.stringify(truth)}\n`);
