/**
 * A client whose own count is the truth, as a process: `traffic.ts PORT SECONDS [TLS PORT [GRPC PORT]]`. Calls of every kind at rising concurrency,
 * header fields that change half-way, and connections that leave HTTP, which is a loss. Prints what it got, by method, path and status.
 * On the port of a TLS server it only makes connections, with a call in each; of grpc-site.ts it asks for calls that succeed and fail.
 */
import { Agent, request } from 'node:http';
import { connect as connectH2 } from 'node:http2';
import https from 'node:https';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Method and path, "{id}" to be filled in. Half of the calls wait 5 ms on the server. */
const PLAN = [
  ['GET', '/small'],
  ['GET', '/slow/5'],
  ['GET', '/bytes/2000'],
  ['GET', '/slow/5'],
  ['POST', '/sink'],
  ['GET', '/slow/5'],
  ['GET', '/status/500'],
  ['GET', '/slow/5'],
  ['GET', '/status/429'],
  ['GET', '/status/401'],
  ['GET', '/missing'],
  ['GET', '/slow/5'],
  ['GET', '/reset'],
] as const;
const CONCURRENCY = [1, 2, 4, 8, 16, 32];
const PAUSE_MS = 2;

const [port, seconds, securePort, grpcPort] = process.argv.slice(2).map(Number) as [number, number, number?, number?];
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
const truth: Record<string, number> = {};
const begin = performance.now();
const passed = (): number => (performance.now() - begin) / 1000 / seconds;

function call(n: number): Promise<void> {
  const [method, path] = PLAN[n % PLAN.length]!;
  const late = passed() > 0.5;
  const headers: Record<string, string> = {
    'X-Request-Id': `r-${n}`,
    'X-Api-Version': late ? '2026-11-01' : '2026-05-01',
    ...(late ? { 'X-New': 'yes' } : { 'X-Old': 'yes' }),
  };
  let counted = false;
  const done = (status: number | string): void => {
    if (counted) return;
    counted = true;
    const key = `${method} ${path} ${status}`;
    truth[key] = (truth[key] ?? 0) + 1;
  };
  return new Promise((resolve) => {
    const outgoing = request({ port, host: '127.0.0.1', method, path, agent, headers }, (response) => {
      response.resume();
      response.once('end', () => done(response.statusCode!));
      response.once('error', () => done('reset'));
      response.once('close', resolve);
    });
    outgoing.once('error', () => {
      done('reset');
      resolve();
    });
    outgoing.end(method === 'POST' ? 'x'.repeat(500) : undefined);
  });
}

/** A call, and then bytes that are no HTTP. */
function leaveHttp(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /small HTTP/1.1\r\nHost: a\r\n\r\n');
    socket.once('data', () => socket.write(Buffer.alloc(2_000, 1)));
    socket.on('data', () => {});
    socket.on('error', () => {});
    socket.once('close', () => {
      truth['GET /small 200'] = (truth['GET /small 200'] ?? 0) + 1;
      resolve();
    });
  });
}

/** A call on a TLS connection of its own; nobody counts it. */
const callSecurely = (): Promise<void> =>
  new Promise((resolve, reject) => {
    const peer = { host: '127.0.0.1', port: securePort!, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };
    https.get({ ...peer, agent: false }, (response) => response.resume().once('close', resolve)).once('error', reject);
  });

/** One that succeeds and one that fails, on a connection of their own; nobody counts them. */
async function callGrpc(): Promise<void> {
  const session = connectH2(`http://127.0.0.1:${grpcPort}`);
  for (const name of ['Echo', 'Fail'])
    await new Promise<void>((resolve, reject) => {
      const headers = {
        ':method': 'POST',
        ':path': `/test.v1.Echo/${name}`,
        'content-type': 'application/grpc',
        te: 'trailers',
      };
      const stream = session.request(headers);
      stream.resume().once('error', reject).once('close', resolve).end(Buffer.alloc(5));
    });
  await new Promise<void>((resolve) => session.close(resolve));
}

let n = 0;
async function worker(number: number): Promise<void> {
  while (passed() < 1) {
    const level = CONCURRENCY[Math.floor(passed() * 2 * CONCURRENCY.length) % CONCURRENCY.length]!;
    if (number >= level) await sleep(20);
    else {
      await call(n++);
      await sleep(PAUSE_MS);
    }
  }
}

const losing = (async () => {
  while (passed() < 1) {
    await leaveHttp();
    if (securePort !== undefined) await callSecurely();
    if (grpcPort !== undefined) await callGrpc();
    await sleep(300);
  }
})();
await Promise.all([losing, ...Array.from({ length: 32 }, (_, number) => worker(number))]);
agent.destroy();
process.stdout.write(JSON.stringify(truth));
