/** Habits of real programs that once cost calls: reused ports, padded records, frames that lie across records. */
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Agent, askedId, field, type Stopped } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must } from '../rig/program.ts';
import { type FileServer, h2o, lighttpd } from '../rig/servers/files.ts';
import { nginx } from '../rig/servers/nginx.ts';
import { TlsHome } from '../rig/tls/servers.ts';

const live = ['root', 'cgroup2', 'bpf'] as const;

/** Both sides have each id once, whole, with as many body bytes as `sizes` says; and there is nothing else. */
function expectCalls({ exchanges, summary }: Stopped, sizes: ReadonlyMap<string, number>, of: 'request' | 'response') {
  expect(summary.losses).toEqual([]);
  for (const side of ['server', 'client']) {
    const seen = exchanges.filter((x) => x.side === side);
    expect(seen.map((x) => [askedId(x), x[of]?.body_bytes, x.response?.status, x.outcome, x.losses])).toEqual(
      [...sizes].map(([id, bytes]) => [id, bytes, 200, 'complete', []]),
    );
  }
  expect(exchanges).toHaveLength(2 * sizes.size);
}

when(
  it,
  ...live,
  'nginx',
)('a client that uses its port again at once, behind a server that accepts when data is there', async () => {
  await using cgroup = new Cgroup('peers');
  await using server = await nginx({ cgroup, listen: 'deferred' });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const localPort = await freePort();
  const names = Array.from({ length: 20 }, (_, i) => `again-${i}`);
  for (const name of names) {
    // The server closes, so the port is the client's again as soon as it has closed too.
    const socket = connect({ host: '127.0.0.1', port: server.port, localPort });
    socket.end(`GET /small HTTP/1.1\r\nHost: a\r\nX-Request-Id: ${name}\r\nConnection: close\r\n\r\n`).resume();
    await new Promise((resolve, reject) => socket.once('close', resolve).once('error', reject));
    await sleep(5);
  }
  expect(await server.logged(names.length)).toHaveLength(names.length);
  const { exchanges, summary } = await agent.stop();
  expect(exchanges.map((x) => [field(x.request, 'x-request-id'), x.outcome])).toEqual(
    names.map((name) => [name, 'complete']),
  );
  expect(summary.losses).toEqual([]);
});

when(
  it,
  ...live,
  'openssl',
  'java',
)('uploads of a Java client, which pads each TLS record', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('peers');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
  const sink = join(import.meta.dirname, '../rig/tls/sink.mjs');
  const server = await home.serve('sink', (port) => [home.node, sink, port], cgroup);
  await agent.tapped(1);
  const sizes = [0, 100_000, 10, 40_000, 1_000_000, 0];
  const client = join(import.meta.dirname, '../rig/clients/Uploads.java');
  const said = await must(
    ['java', client, home.folder.file('cert.pem'), `https://localhost:${server.port}/`, ...sizes.map(String)],
    { cgroup },
  );
  expect(said.trim().split('\n')).toEqual(sizes.map(String));
  await agent.until((seen) => seen.length >= 2 * sizes.length);
  expectCalls(await agent.stop(), new Map(sizes.map((size, i) => [`j${i + 1}`, size])), 'request');
});

const servers: readonly (readonly [string, FileServer])[] = [
  ['h2o', h2o],
  ['lighttpd', lighttpd],
];

describe.each(servers)('%s', (name, start) => {
  when(
    it,
    ...live,
    'openssl',
    'curl',
    name,
  )('HTTP/2 whose frames lie across TLS records, after bodies longer than the window', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('peers');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const bodies = { small: 10, long: 200_000, longer: 1_000_000 };
    for (const [file, bytes] of Object.entries(bodies)) writeFileSync(home.folder.file(file), 'b'.repeat(bytes));
    const server = await start(home, cgroup);
    await agent.tapped(1);
    const files = ['small', 'long', 'small', 'longer', 'long', 'small', 'small'] as const;
    const urls = files.map((file, i) => `https://localhost:${server.port}/${file}?id=f${i}`);
    const command = [
      findProgram('curl')!,
      '-sk',
      '--http2',
      '--max-time',
      '20',
      '-w',
      '%{http_version} %{size_download}\n',
    ];
    const said = await must([...command, ...urls.flatMap((url) => ['-o', '/dev/null', url])], {
      cgroup,
      env: home.env,
    });
    expect(said.trim().split('\n')).toEqual(files.map((file) => `2 ${bodies[file]}`));
    await agent.until((seen) => seen.length >= 2 * files.length);
    const stopped = await agent.stop();
    expectCalls(stopped, new Map(files.map((file, i) => [`f${i}`, bodies[file]])), 'response');
    expect(stopped.exchanges.every((x) => x.protocol === 'h2')).toBe(true);
  });
});
