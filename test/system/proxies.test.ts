/** HAProxy between client and server: who gave up a stream, calls behind a PROXY protocol header; and what is no call at all. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { StatusLedger } from '../../src/model/status.ts';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw } from '../rig/clients/raw.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const live = ['root', 'cgroup2', 'bpf', 'haproxy', 'openssl'] as const;
const rig = join(import.meta.dirname, '../rig');

/** `bind` and `to` are what HAProxy's lines of these names say behind the address. */
interface Proxy {
  readonly mode: 'http' | 'tcp';
  readonly bind?: string;
  readonly upstream: number;
  readonly to?: string;
}

const haproxy = (home: TlsHome, cgroup: Cgroup, { mode, bind = '', upstream, to = '' }: Proxy): Promise<Server> =>
  home.serve(
    'haproxy',
    (port) => {
      const file = home.folder.file(`haproxy-${port}.cfg`);
      writeFileSync(
        file,
        `defaults
  mode ${mode}
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen in
  bind 127.0.0.1:${port} ${bind}
  server up 127.0.0.1:${upstream} ${to}
`,
      );
      return [findProgram('haproxy')!, '-db', '-f', file];
    },
    cgroup,
  );

/** Side, port of the server, and outcome with what is missing, of each record. */
const told = (exchanges: readonly LoggedExchange[]): string[] =>
  exchanges.map((x) => `${x.side} ${x.server.port} ${x.outcome} ${JSON.stringify(x.losses)}`).sort();

when(it, ...live)(
  'a client that leaves a stream has aborted it, on each leg and side, in cleartext and in TLS',
  async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('proxies');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const site = await home.serve('site', (port) => [home.node, join(rig, 'servers/stream.mjs'), port], cgroup);
    const clear = await haproxy(home, cgroup, { mode: 'http', upstream: site.port });
    const bind = `ssl crt ${home.folder.file('both.pem')}`;
    const secure = await haproxy(home, cgroup, { mode: 'http', bind, upstream: site.port });
    // HAProxy's library, and Node.
    await agent.tapped(2);
    const urls = [`http://127.0.0.1:${clear.port}/`, `https://127.0.0.1:${secure.port}/`];
    await must([home.node, join(rig, 'clients/leave.mjs'), ...urls], { cgroup, env: home.env });
    await agent.until((seen) => seen.length >= 8);
    const { exchanges, summary } = await agent.stop();
    expect(told(exchanges)).toEqual(
      [site, site, clear, secure]
        .flatMap(({ port }) => ['client', 'server'].map((side) => `${side} ${port} client_abort []`))
        .sort(),
    );
    expect(summary.losses).toEqual([]);
  },
);

when(
  it,
  ...live,
  'nginx',
  'curl',
)('calls behind a PROXY protocol header are recorded once on each leg and side', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('proxies');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
  const plain = await nginxTls(home, cgroup, { listen: 'proxy_protocol' });
  const tls = await nginxTls(home, cgroup, { listen: 'ssl http2 proxy_protocol' });
  const fronts = [
    ['http', await haproxy(home, cgroup, { mode: 'tcp', upstream: plain.port, to: 'send-proxy' })],
    ['http', await haproxy(home, cgroup, { mode: 'tcp', upstream: plain.port, to: 'send-proxy-v2' })],
    ['https', await haproxy(home, cgroup, { mode: 'tcp', upstream: tls.port, to: 'send-proxy-v2' })],
  ] as const;
  await agent.tapped(1);
  const ids = fronts.flatMap((_, front) => [1, 2].map((n) => `p${front}-${n}`));
  for (const [front, [scheme, { port }]] of fronts.entries()) {
    const urls = [1, 2].flatMap((n) => ['-o', '/dev/null', `${scheme}://localhost:${port}/?id=p${front}-${n}`]);
    const curl = [findProgram('curl')!, '-sSk', '--max-time', '20', '-w', '%{http_code}\n', ...urls];
    expect(await must(curl, { cgroup, env: home.env })).toBe('200\n200\n');
  }
  await agent.until((seen) => seen.length >= 4 * ids.length);
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  for (const id of ids) {
    const of = exchanges.filter((x) => x.request.target === `/?id=${id}`);
    const front = fronts[Number(id[1])]![1].port;
    const back = id.startsWith('p2') ? tls.port : plain.port;
    expect(told(of)).toEqual(
      [front, back].flatMap((port) => ['client', 'server'].map((side) => `${side} ${port} complete []`)).sort(),
    );
    expect(of.every((x) => x.response?.headers.some(([name, value]) => name === 'x-id' && value === id))).toBe(true);
  }
  expect(exchanges).toHaveLength(4 * ids.length);
});

when(it, ...live)('what a connection said that is no call is counted to the byte', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('proxies');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const echo = "require('net').createServer((s) => s.on('data', (d) => s.end(d))).listen(process.argv[1], '127.0.0.1')";
  const site = await home.serve('echo', (port) => [home.node, '-e', echo, port], cgroup);
  // HTTP/0.9, and a word of another protocol: what came is echoed.
  const typed = ['GET /old\n', 'HELO headwater.test\r\n'];
  for (const said of typed) expect((await raw(site.port, [{ send: said }, { untilEnd: true }])).received).toBe(said);
  const bytes = 2 * typed.join('').length;
  // The kernel counts a connection before the agent has read of it, so no connection being open says nothing yet.
  const ofNoCall = ({ copied_not_http: { tls, switched, other, undecided }, captured }: StatusLedger) =>
    tls + switched + other + undecided + captured.not_http.bytes;
  await agent.untilStatus(
    'all bytes, of no call',
    ({ ledger, connections: { total, open } }) => ofNoCall(ledger) === bytes && total === 2 && open === 0,
  );
  const { ledger } = await agent.status();
  expect(ledger.captured.seen.bytes).toBe(bytes);
  expect(ofNoCall(ledger)).toBe(bytes);
  const { exchanges, ended } = await agent.stop();
  expect(exchanges).toEqual([]);
  expect(ended.stderr).toContain('of it not HTTP');
});
