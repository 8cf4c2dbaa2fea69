/**
 * Clients that come and go: `node visitors.ts TLS_PORT H2C_PORT A_SECOND SECONDS` opens that many connections a second, in turn HTTP/1.1 in TLS, HTTP/2 in TLS and
 * HTTP/2 in clear, makes five calls on each, and closes it; one in ten is dropped amid its last call. Prints what was answered, as JSON.
 */
import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { Agent, get } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const [tlsPort, h2cPort, aSecond, seconds] = process.argv.slice(2).map(Number) as [number, number, number, number];
const CALLS = 5;
const DROPPED = 10;
/** Where a server is slow, connections wait for one another instead of piling up. */
const AT_ONCE_MAX = 64;
const path = '/v1/items/1?page=1';
const counts = { connections: 0, answered: 0, dropped: 0, failed: 0 };

async function http1(dropped: boolean): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  for (let i = 0; i < CALLS; i++) {
    const request = get({ host: '127.0.0.1', port: tlsPort, path, agent });
    if (dropped && i === CALLS - 1) {
      request.on('error', () => {}).on('socket', () => request.destroy());
      break;
    }
    const [response] = (await once(request, 'response')) as [NodeJS.ReadableStream];
    response.resume();
    await once(response, 'end');
    counts.answered++;
  }
  agent.destroy();
}

async function http2(url: string, dropped: boolean): Promise<void> {
  const session = connect(url, { rejectUnauthorized: false });
  session.on('error', () => {});
  for (let i = 0; i < CALLS; i++) {
    const stream = session.request({ ':path': path, 'x-visit': String(counts.connections) });
    stream.on('error', () => {});
    if (dropped && i === CALLS - 1) {
      stream.close(constants.NGHTTP2_CANCEL);
      session.destroy();
      return;
    }
    stream.resume();
    await once(stream, 'end');
    counts.answered++;
  }
  session.close();
}

const kinds = [
  http1,
  (dropped: boolean) => http2(`https://127.0.0.1:${tlsPort}`, dropped),
  (dropped: boolean) => http2(`http://127.0.0.1:${h2cPort}`, dropped),
];
const until = performance.now() + seconds * 1_000;
const open = new Set<Promise<void>>();
for (let n = 0; performance.now() < until; n++) {
  const dropped = n % DROPPED === DROPPED - 1;
  counts.connections++;
  if (dropped) counts.dropped++;
  const visit = kinds[n % kinds.length]!(dropped)
    .catch(() => void counts.failed++)
    .finally(() => open.delete(visit));
  open.add(visit);
  if (open.size >= AT_ONCE_MAX) await Promise.race(open);
  await sleep(1_000 / aSecond);
}
await Promise.race([Promise.all(open), sleep(10_000)]);
process.stdout.write(`${JSON.stringify(counts)}\n`);
process.exit(0);
