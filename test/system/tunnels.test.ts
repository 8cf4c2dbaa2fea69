/** A client behind a forward proxy (CONNECT), live: its calls are read on its own leg, in TLS and in clear, and no request is counted that is none. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Agent, askedId, field, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const PROXY = `import http from 'node:http';
import net from 'node:net';
http.createServer().on('connect', (request, client, head) => {
  const [host, port] = request.url.split(':');
  const origin = net.connect(port, host, () => {
    client.write('HTTP/1.1 200 Connection established\\r\\n\\r\\n');
    origin.write(head);
    origin.pipe(client).pipe(origin);
  });
  for (const end of [client, origin]) end.on('error', () => (client.destroy(), origin.destroy()));
}).listen(Number(process.argv[2]), '127.0.0.1');
`;
const HOW = [['--http2'], ['--http1.1'], ['--http1.1', '--tls-max', '1.2']];

when(
  test,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'curl',
  'nginx',
)('both legs of calls through a proxy', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('tunnel');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
  const origin = await nginxTls(home, cgroup);
  const clear = await nginxTls(home, cgroup, { listen: '' });
  writeFileSync(home.folder.file('proxy.mjs'), PROXY);
  const proxy = await home.serve('proxy', (port) => [process.execPath, home.folder.file('proxy.mjs'), port], cgroup);
  await agent.tapped(1);
  const ids: string[] = [];
  const ask = async (how: readonly string[], url: string): Promise<void> => {
    const own = [1, 2, 3].map((n) => `t${ids.length + n}`);
    const urls = own.map((id) => `${url}/x?id=${id}`);
    ids.push(...own);
    const args = ['-skp', '-x', `http://127.0.0.1:${proxy.port}`, ...how, '-w', '%{http_code}\n'];
    const out = await must([findProgram('curl')!, ...args, ...urls.flatMap((one) => ['-o', '/dev/null', one])], {
      cgroup,
      env: home.env,
    });
    expect(out).toBe('200\n'.repeat(urls.length));
  };
  for (const how of HOW) await ask(how, `https://127.0.0.1:${origin.port}`);
  await ask(['--http1.1'], `http://127.0.0.1:${clear.port}`);
  const legs = (seen: readonly LoggedExchange[], id: string): LoggedExchange[] => seen.filter((x) => askedId(x) === id);
  await agent.until((seen) => ids.every((id) => legs(seen, id).length === 4));
  const { exchanges, summary, ended } = await agent.stop();
  for (const id of ids) {
    expect(
      legs(exchanges, id)
        .map(({ side, server }) => `${side} ${server.port === proxy.port}`)
        .sort(),
    ).toEqual(['client false', 'client true', 'server false', 'server true']);
    for (const leg of legs(exchanges, id)) {
      expect(leg).toMatchObject({ outcome: 'complete', losses: [], response: { status: 200 } });
      expect(field(leg.response, 'x-id')).toBe(id);
    }
  }
  expect(exchanges.filter(({ request }) => request.method === 'CONNECT')).toHaveLength(2 * (HOW.length + 1));
  expect(exchanges).toHaveLength(4 * ids.length + 2 * (HOW.length + 1));
  expect(summary.losses).toEqual([]);
  expect(ended.stderr).toContain('nothing was lost');
  expect(ended.stderr).toContain(`requests ${exchanges.length} seen, 0 lost`);
});
