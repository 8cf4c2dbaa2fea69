/**
 * A server and its client on one connection that outlives what happens around it, in one process: "tls" (HTTP/1.1) or
 * "h2c". Makes a call at once, and one more for each line on stdin; prints the target of each call that was answered.
 */
import { readFileSync } from 'node:fs';
import { connect as connectH2, createServer as createH2 } from 'node:http2';
import { Agent, createServer as createHttps, request } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';

const [kind, folder] = process.argv.slice(2);
const port = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;
let call: (target: string) => Promise<void>;

if (kind === 'h2c') {
  const server = createH2((asked, answer) => {
    answer.setHeader('x-target', asked.url);
    answer.end(asked.url);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const session = connectH2(`http://127.0.0.1:${port(server)}`);
  call = (target) =>
    new Promise((resolve, reject) => {
      const stream = session.request({ ':path': target, 'x-same': 'in every call' });
      stream.on('error', reject).on('end', resolve).resume();
    });
} else {
  const pair = { key: readFileSync(`${folder}/key.pem`), cert: readFileSync(`${folder}/cert.pem`) };
  const server = createHttps(pair, (asked, answer) => answer.end(asked.url));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
  call = (path) =>
    new Promise((resolve, reject) => {
      request({ host: '127.0.0.1', port: port(server), path, agent }, (answer) => answer.on('end', resolve).resume())
        .on('error', reject)
        .end();
    });
}

let calls = 0;
async function next(): Promise<void> {
  const target = `/call/${calls++}`;
  await call(target);
  process.stdout.write(`${target}\n`);
}
await next();
for await (const _ of createInterface(process.stdin)) await next();
process.exit(0);
