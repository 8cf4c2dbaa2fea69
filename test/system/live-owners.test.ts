/** Who served a call: the process that really did, its container and service, compared with what the server says itself. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent, field, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import type { ProgramOptions } from '../rig/program.ts';
import { apache } from '../rig/servers/apache.ts';
import { Server } from '../rig/servers/server.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { echoServer } from './live/echo.ts';
import { load } from './live/load.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;
const FORKING = `import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ForkingMixIn
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = b"forked\\n"
        self.send_response(200)
        self.send_header("X-Pid", str(os.getpid()))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Site(ForkingMixIn, HTTPServer):
    request_queue_size = 64
Site(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
`;

async function forkingSite(options: ProgramOptions): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const command = [findProgram('python3')!, folder.write('forking.py', FORKING), String(port)];
  return Server.start({ name: 'forking', port, command, log: folder.file('access.log'), resources: folder }, options);
}

/** Every record names the pid that the server has put into its answer. */
function expectOwnPids(exchanges: readonly LoggedExchange[]): Set<string> {
  const pairs = exchanges.map((e) => [String(e.process?.pid), field(e.response, 'x-pid')]);
  expect(pairs.filter(([said, is]) => said !== is)).toEqual([]);
  return new Set(pairs.map(([, is]) => is!));
}

when(
  it,
  ...needs,
  'nginx',
)('nginx: the worker, not the master', async () => {
  await using cgroup = new Cgroup('owners');
  await using server = await echoServer({ cgroup, workers: 3 });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  await load({ port: server.port, connections: 24, each: 20 });
  const exchanges = (await agent.stop()).exchanges;
  expect(exchanges).toHaveLength(24 * 20);
  const pids = expectOwnPids(exchanges);
  expect(pids).not.toContain(String(server.program.pid));
});

when(
  it,
  ...needs,
  'python3',
)('a server that forks for each connection: the child', async () => {
  await using cgroup = new Cgroup('owners');
  await using server = await forkingSite({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const get = 'GET / HTTP/1.1\r\nHost: x\r\n\r\n';
  for (let i = 0; i < 8; i++)
    await raw(server.port, [{ send: get }, { until: 'forked\n' }, { send: get }, { until: 'forked\n' }]);
  const exchanges = (await agent.stop()).exchanges;
  expect(exchanges).toHaveLength(16);
  expect(expectOwnPids(exchanges).size).toBe(8);
  expect(exchanges.map((e) => e.process?.pid)).not.toContain(server.program.pid);
});

when(
  it,
  ...needs,
  'apache2',
)('Apache prefork: a child that lives in the cgroup', async () => {
  await using cgroup = new Cgroup('owners');
  await using server = await apache({ cgroup, mpm: 'prefork' });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  for (let i = 0; i < 6; i++)
    await raw(server.port, [{ send: 'GET /small HTTP/1.1\r\nHost: x\r\n\r\n' }, { until: 'small\n' }]);
  const children = cgroup.pids().filter((pid) => pid !== server.program.pid);
  const exchanges = (await agent.stop()).exchanges;
  expect(exchanges).toHaveLength(6);
  for (const e of exchanges) expect(children).toContain(e.process?.pid);
});

when(it, ...needs)('container, unit and configured names, by the cgroup that the path shows', async () => {
  const container = '0123456789abcdef'.repeat(4);
  await using cgroup = new Cgroup('owners');
  const make = (...names: string[]): string => {
    const path = join(cgroup.path, ...names);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const docker = make('system.slice', `docker-${container}.scope`);
  const unit = make('system.slice', 'shop.service');
  await using inDocker = await nodeSite({ cgroup: docker });
  await using inUnit = await nodeSite({ cgroup: unit });
  await using named = await nodeSite({ cgroup });
  await using plain = await nodeSite({ cgroup });
  const config = `services:\n  - name: checkout\n    match:\n      port: ${named.port}\n`;
  await using agent = await Agent.start({ cgroups: [cgroup], config });
  const servers = [inDocker, inUnit, named, plain];
  for (const { port } of servers)
    await raw(port, [{ send: 'GET /small HTTP/1.1\r\nHost: x\r\n\r\n' }, { until: 'small\n' }]);
  const { exchanges } = await agent.stop();
  const of = (server: Server): LoggedExchange => exchanges.find((e) => e.server.port === server.port)!;
  expect(exchanges).toHaveLength(4);
  expect(of(inDocker)).toMatchObject({
    service: `docker-${container.slice(0, 12)}`,
    process: { pid: inDocker.program.pid, container, cgroup: docker.slice(cgroup.path.length - cgroup.name.length) },
  });
  expect(of(inUnit)).toMatchObject({ service: 'shop.service', process: { pid: inUnit.program.pid } });
  expect(of(named).service).toBe('checkout');
  expect(of(plain).service).toBe(`${plain.comm}:${plain.port}`);
});
