/**
 * Implementations whose secrets are taken where they would be logged, found in stripped programs: BoringSSL (Bun, gRPC), OpenSSL 1.1.1
 * (an old Node.js), GnuTLS. The other end is never in scope, so that what is read is read by their secrets alone.
 */
import { copyFileSync, existsSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent, field, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, missing, when } from '../rig/need.ts';
import { findLibrary, privateProgram } from '../rig/private-tls.ts';
import { must, Program, run } from '../rig/program.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const ROOT = join(import.meta.dirname, '../..');
const RIG = join(ROOT, 'test/rig/tls');

/** A runtime from PATH, or as tools/setup puts it down. */
const runtime = (program: string, npm: string): string | null => {
  const installed = join(ROOT, 'test/rig/runtimes/node_modules', npm);
  return findProgram(program) ?? (existsSync(installed) ? installed : null);
};
const RUNTIMES = [
  {
    name: 'Bun',
    path: runtime('bun', '@oven/bun-linux-x64/bin/bun'),
    says: /runs BoringSSL \(\S+\): its secrets are taken/,
  },
  {
    name: 'Node.js 16',
    path: runtime('node16', 'node-openssl-1.1.1/bin/node'),
    says: /runs OpenSSL 1\.1\.1\w* \(\S+\): its secrets are taken/,
  },
];

const lacking = missing('root', 'cgroup2', 'bpf', 'openssl', 'curl', 'nginx');
describe.each(RUNTIMES)('$name', ({ name, path, says }) => {
  const why = lacking ?? (path === null ? `needs ${name}: put it into PATH, or run tools/setup test on x86-64` : null);
  if (why !== null) console.warn(`SKIPPED: ${why}`);

  test.skipIf(why !== null)('is read as server and as client, in both versions, also resumed', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('log-secret');
    await using outside = new Cgroup('log-secret-out');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const copy = privateProgram(home.folder, path!);
    const nginx = await nginxTls(home, outside);
    const ids: { server: string[]; client: string[] } = { server: [], client: [] };
    const servers = [];
    for (const version of ['1.2', '1.3']) {
      const command = (port: string): string[] => [copy, join(RIG, 'https-server.mjs'), port, version];
      servers.push(await home.serve(`runtime-${version}`, command, cgroup));
    }
    await agent.tapped(1);
    for (const [i, server] of servers.entries()) {
      const version = ['1.2', '1.3'][i]!;
      const session = home.folder.file(`session-${version}`);
      for (const [n, more] of [['-sess_out', session], ['-sess_in', session], []].entries()) {
        const id = `s${version}.${n}`;
        ids.server.push(id);
        const ask = `GET /x?id=${id} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`;
        const client = [
          findProgram('openssl')!,
          's_client',
          '-connect',
          `127.0.0.1:${server.port}`,
          '-servername',
          'localhost',
        ];
        const { stdout } = await run([...client, '-ign_eof', ...more], { cgroup: outside, env: home.env, input: ask });
        expect(stdout).toContain('200 OK');
        expect(stdout).toContain(more[0] === '-sess_in' ? 'Reused, TLSv' : 'New, TLSv');
      }
      const urls = [1, 2].map((n) => `https://localhost:${nginx.port}/x?id=c${version}.${n}`);
      ids.client.push(`c${version}.1`, `c${version}.2`);
      const said = await must([copy, join(RIG, 'https-client.mjs'), version, ...urls], {
        cgroup,
        env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' },
      });
      expect(said.trim().split('\n')).toEqual([`200 c${version}.1`, `200 c${version}.2`]);
    }
    const all = [...ids.server, ...ids.client].sort();
    await agent.until((seen) => seen.length >= all.length).catch(() => {});
    const told = await run([HEADWATER, 'why', `pid:${servers[0]!.program.pid}`, '--socket', agent.socket]);
    expect(told.stdout.replaceAll(/\s+/g, ' ')).toMatch(says);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map((x) => field(x.response, 'x-id')).sort()).toEqual(all);
    for (const x of exchanges) {
      const id = field(x.response, 'x-id')!;
      expect(x).toMatchObject({
        side: id.startsWith('s') ? 'server' : 'client',
        outcome: 'complete',
        losses: [],
        tls: { version: id.slice(1, 4), sni: 'localhost' },
      });
    }
    expect(summary.losses).toEqual([]);
  });
});

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'gnutls-serv',
  'gnutls-cli',
  'curl',
  'nginx',
)('GnuTLS', () => {
  test('is read as server and as client, in both versions, also resumed', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('gnutls');
    await using outside = new Cgroup('gnutls-out');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const library = await findLibrary('libgnutls.so.30');
    copyFileSync(realpathSync(library!), home.folder.file('lib/libgnutls.so.30'));
    const nginx = await nginxTls(home, outside);
    const certificate = ['--x509certfile', 'cert.pem', '--x509keyfile', 'key.pem'];
    const server = await home.serve(
      'gnutls',
      (port) => [findProgram('gnutls-serv')!, '--http', '--port', port, ...certificate],
      cgroup,
    );
    await agent.tapped(1);
    const ids: string[] = [];
    for (const version of ['1.2', '1.3']) {
      for (const n of [1, 2]) {
        const id = `s${version}.${n}`;
        ids.push(id);
        const args = ['-sk', '-o', '/dev/null', '-w', '%{http_code}', `--tlsv${version}`, '--tls-max', version];
        const url = `https://localhost:${server.port}/?id=${id}`;
        expect(await must([findProgram('curl')!, ...args, url], { cgroup: outside, env: home.env })).toBe('200');
      }
      const id = `c${version}`;
      // Twice: --resume makes a second connection with the session of the first, and only there it asks.
      const priority = `NORMAL:-VERS-ALL:+VERS-TLS${version}`;
      const client = [
        findProgram('gnutls-cli')!,
        '--insecure',
        '--priority',
        priority,
        '--port',
        String(nginx.port),
        'localhost',
      ];
      for (const [i, more] of [[], ['--resume', '--waitresumption']].entries()) {
        ids.push(`${id}.${i}`);
        await using program = new Program([...client, ...more], { cgroup, env: home.env, cwd: home.folder.path });
        const ready = i === 0 ? /Simple Client Mode/ : /This is a resumed session[\s\S]*Simple Client Mode/;
        await program.until('handshake', () => ready.test(program.stdout));
        program.stdin.write(`GET /x?id=${id}.${i} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
        const { stdout } = await program.wait(90_000);
        expect(stdout).toContain('200 OK');
      }
    }
    await agent.until((seen) => seen.length >= ids.length).catch(() => {});
    const told = await run([HEADWATER, 'why', `pid:${server.program.pid}`, '--socket', agent.socket]);
    expect(told.stdout.replaceAll(/\s+/g, ' ')).toMatch(/runs GnuTLS 3[\d.]+ \(\S+\): its secrets are taken/);
    const { exchanges } = await agent.stop();
    const idOf = (target: string): string => /id=([\w.]+)/.exec(target)![1]!;
    expect(exchanges.map((x) => idOf(x.request.target)).sort()).toEqual(ids.sort());
    for (const x of exchanges) {
      const id = idOf(x.request.target);
      const side = id.startsWith('s') ? 'server' : 'client';
      expect(x, id).toMatchObject({ side, losses: [], tls: { version: id.slice(1, 4) }, response: { status: 200 } });
    }
  });
});
