/**
 * Implementations whose secrets are taken at ssl_log_secret, found in stripped programs: BoringSSL (Bun) and OpenSSL 1.1.1 (an old
 * Node.js). The other end is never in scope, so that what is read is read by their secrets alone.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Agent, field, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, missing } from '../rig/need.ts';
import { privateProgram } from '../rig/private-tls.ts';
import { must, run } from '../rig/program.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const ROOT = join(import.meta.dirname, '../..');
const RIG = join(ROOT, 'test/rig/tls');
/** For the first look at a program of a hundred megabytes. */
const SETTLE_MS = 2_500;

/** A runtime from PATH, or as npm puts it down. */
const runtime = (program: string, npm: string): string | null => {
  const installed = join(ROOT, 'node_modules', npm);
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
  const why = lacking ?? (path === null ? `needs ${name}: put it into PATH, or npm install it` : null);
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
    await sleep(SETTLE_MS);
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
