/** The rig measures Headwater, so it is measured first: servers log what clients did, and nothing stays behind. */
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Cgroup } from '../rig/cgroup.ts';
import { curl } from '../rig/clients/curl.ts';
import { requests, undici } from '../rig/clients/plan.ts';
import { raw, rawProcess } from '../rig/clients/raw.ts';
import { wrk } from '../rig/clients/wrk.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { NetnsPair } from '../rig/netns.ts';
import { Program, type ProgramOptions } from '../rig/program.ts';
import { apache } from '../rig/servers/apache.ts';
import { caddy } from '../rig/servers/caddy.ts';
import { haproxy } from '../rig/servers/haproxy.ts';
import { nginx } from '../rig/servers/nginx.ts';
import type { Server } from '../rig/servers/server.ts';
import { goSite, nodeSite, pythonSite } from '../rig/servers/site.ts';

type Starter = (options?: ProgramOptions) => Promise<Server>;
const servers: [string, Starter][] = [
  ['nginx', nginx],
  ['apache2', apache],
  ['apache2', (options) => apache({ ...options, mpm: 'prefork' })],
  ['haproxy', haproxy],
  ['caddy', caddy],
  ['python3', pythonSite],
  ['go', goSite],
  ['sh', nodeSite],
];

for (const [need, start] of servers) {
  when(
    it,
    'root',
    'cgroup2',
    'curl',
    need,
  )(`${start.name || need}: the access log is the truth`, async () => {
    await using cgroup = new Cgroup('rig');
    await using server = await start({ cgroup });
    expect(cgroup.pids()).toContain(server.program.pid);
    const get = await curl(['-H', 'X-Request-Id: a-1', `http://127.0.0.1:${server.port}/small?x=1`]);
    expect(get).toMatchObject({ code: 0, stdout: 'small\n' });
    await curl(['-I', '-H', 'X-Request-Id: a-2', `http://127.0.0.1:${server.port}/missing`]);
    const logged = await server.logged(2);
    expect(logged).toMatchObject([
      { id: 'a-1', method: 'GET', target: '/small?x=1', status: 200 },
      { id: 'a-2', method: 'HEAD', target: '/missing', status: 404 },
    ]);
  });
}

when(
  it,
  'root',
  'cgroup2',
)('leaves no process, cgroup, namespace or folder behind', async () => {
  const paths: string[] = [];
  let pid = 0;
  {
    await using cgroup = new Cgroup('rig');
    using folder = new Folder();
    folder.write('file', '');
    // Ignores SIGTERM and has a child of its own.
    await using program = new Program(['sh', '-c', 'trap "" TERM; sleep 300 & wait'], { cgroup });
    await program.until('a child', () => cgroup.pids().length === 2);
    paths.push(cgroup.path, folder.path);
    pid = program.pid;
    await cgroup[Symbol.asyncDispose]();
  }
  // Of its own: files that run beside this one have theirs.
  expect([...paths, `/proc/${pid}`].filter((path) => existsSync(path))).toEqual([]);
});

when(
  it,
  'root',
  'netns',
)('two hosts on a cable, over IPv4 and IPv6', async () => {
  await using pair = await NetnsPair.create();
  await using server = await nodeSite({ netns: pair.server.netns });
  for (const host of [pair.server.ipv4, pair.server.ipv6]) {
    const authority = host.includes(':') ? `[${host}]` : host;
    const talk = await rawProcess(
      server.port,
      [{ send: `GET /count HTTP/1.1\r\nHost: ${authority}\r\n\r\n` }, { until: '}\n' }],
      host,
      { netns: pair.client.netns },
    );
    expect(talk.received).toContain('200 OK');
  }
  expect(await server.logged(2)).toHaveLength(2);
});

when(
  it,
  'python3',
  'wrk',
)('clients say what they got', async () => {
  await using server = await nodeSite();
  const url = `http://127.0.0.1:${server.port}`;
  const calls = [
    { url: `${url}/bytes/5`, headers: { 'X-Request-Id': 'p-1' } },
    { method: 'POST', url: `${url}/sink`, body: 'x'.repeat(1000), chunked: true },
    { url: `${url}/slow/5000`, timeoutMs: 100 },
  ];
  const expected = [
    { status: 200, body: 'bbbbb' },
    { status: 200, body: '{"received":1000}\n' },
    { status: 0, error: expect.any(String) },
  ];
  expect(await undici(calls)).toMatchObject(expected);
  expect(await requests(calls)).toMatchObject(expected);

  const reset = await raw(server.port, [
    { send: 'GET /reset HTTP/1.1\r\nHost: x\r\n\r\n', piece: 1 },
    { untilEnd: true },
  ]);
  expect(reset.error).toBe('ECONNRESET');
  const pipelined = await raw(server.port, [
    { send: 'GET /count HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHost: x\r\n\r\n' },
    { until: '"n":' },
    { until: 'small\n' },
    { halfClose: true },
    { untilEnd: true },
  ]);
  expect(pipelined.error).toBeNull();

  const load = await wrk({ url: `${url}/small`, seconds: 1, connections: 4 });
  expect(load.errors).toEqual({ connect: 0, read: 0, write: 0, status: 0, timeout: 0 });
  const logged = (await server.logged(load.requests)).filter(({ id }) => /^\d+-\d+$/.test(id));
  expect(logged.length).toBeGreaterThanOrEqual(load.requests);
  expect(new Set(logged.map(({ id }) => id)).size).toBe(logged.length);
});
