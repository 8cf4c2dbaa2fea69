/** Long bodies behind a PROXY protocol header of version 2, in cleartext and in TLS, up and down: exact on each leg, and so is the next call. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent, askedId, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const rig = join(import.meta.dirname, '../rig/tls');
/** Many records, and many times the window. */
const BODY_BYTES = 250_000;
/** Without and with type-length-value fields behind the addresses: a checksum, a random id, what the front knows of TLS. */
const HEADERS = ['send-proxy-v2', 'send-proxy-v2-ssl proxy-v2-options crc32c,unique-id,ssl'];

/** Passes bytes on to `upstream`, behind a header. */
const front = (home: TlsHome, cgroup: Cgroup, upstream: number, header: string): Promise<Server> =>
  home.serve(
    'haproxy',
    (port) => {
      const config = `defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
listen in
  bind 127.0.0.1:${port}
  unique-id-format %{+X}o%ci:%cp_%Ts
  server up 127.0.0.1:${upstream} ${header}
`;
      return [findProgram('haproxy')!, '-db', '-f', home.folder.write(`haproxy-${port}.cfg`, config)];
    },
    cgroup,
  );

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'haproxy',
  'nginx',
  'openssl',
  'curl',
)('long bodies behind a PROXY v2 header are exact', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('tls-proxied');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 128MiB\n' });
  const node = await home.serve('bodies', (port) => [home.node, join(rig, 'bodies-server.mjs'), port, '1.3'], cgroup);
  const passing = { upstream: node.port, directives: 'client_max_body_size 10m;' };
  const clear = await nginxTls(home, cgroup, { ...passing, listen: 'proxy_protocol' });
  const secure = await nginxTls(home, cgroup, { ...passing, listen: 'ssl http2 proxy_protocol' });
  const body = home.folder.write('body', 'u'.repeat(BODY_BYTES));
  await agent.tapped(2);

  const sent = new Map<string, { up: number; down: number }>();
  for (const [h, header] of HEADERS.entries()) {
    for (const [scheme, origin, args] of [
      ['http', clear, ['--http1.1']],
      ['https', secure, ['--http1.1', '--tls-max', '1.2']],
      ['https', secure, ['--http1.1']],
      ['https', secure, ['--http2']],
    ] as readonly (readonly [string, Server, readonly string[]])[]) {
      const { port } = await front(home, cgroup, origin.port, header);
      // curl resets an HTTP/2 stream when it has as many bytes as it was told, whether or not the stream's end has come.
      const known = args.includes('--http2') ? 'chunked' : 'length';
      const ask = (up: number, down: number, framing: string): string[] => {
        const id = `v${h}-${sent.size}`;
        sent.set(id, { up, down });
        const url = `${scheme}://localhost:${port}/x?id=${id}&size=${down}&piece=50000&quoted=0&framing=${framing}`;
        // Each call has options of its own; they share a connection.
        return ['-o', '/dev/null', ...(up > 0 ? ['-H', 'expect:', '--data-binary', `@${body}`] : []), url];
      };
      const asked = [
        ask(0, BODY_BYTES, known),
        ask(0, BODY_BYTES, 'chunked'),
        ask(BODY_BYTES, 6, known),
        ask(BODY_BYTES, BODY_BYTES, 'chunked'),
        ask(0, 6, known),
      ].map((call) => ['-sk', '--max-time', '60', ...args, '-w', '%{http_code}:%{num_connects} ', ...call]);
      const command = [findProgram('curl')!, ...asked.flatMap((call, n) => (n === 0 ? call : ['--next', ...call]))];
      expect(await must(command, { cgroup, env: home.env })).toBe('200:1 200:0 200:0 200:0 200:0 ');
    }
  }

  // Three legs, each seen from both ends.
  await agent.until((seen) => seen.length >= 6 * sent.size);
  const { exchanges, summary } = await agent.stop();
  const told = (x: LoggedExchange): string =>
    `${askedId(x)} ${x.outcome} ${x.request.body_bytes}+${x.response?.body_bytes} ${JSON.stringify(x.losses)}`;
  const expected = [...sent].flatMap(([id, { up, down }]) => Array(6).fill(`${id} complete ${up}+${down} []`));
  expect(exchanges.map(told).sort()).toEqual(expected.sort());
  expect(summary.losses).toEqual([]);
});
