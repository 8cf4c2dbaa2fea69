/**
 * rustls with AWS-LC: a stripped extension that others have built (impit), and a program of our own, as server and as
 * client. The other end is never in scope, so that what is read is read by their secrets alone.
 */
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent, field, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, missing } from '../rig/need.ts';
import { privateProgram } from '../rig/private-tls.ts';
import { must, run } from '../rig/program.ts';
import { RUSTLS_PEER, withoutPeer } from '../rig/tls/rustls-peer.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const RIG = join(import.meta.dirname, '../rig');
const IMPIT = join(RIG, 'runtimes/node_modules/impit-linux-x64-gnu/impit-node.linux-x64-gnu.node');
const lacking = missing('root', 'cgroup2', 'bpf', 'openssl', 'nginx');

/** Each connection is for one call. */
const ONE_CALL = 'keepalive_timeout 0;';

const say = (why: string | null): boolean => {
  if (why !== null) console.warn(`SKIPPED: ${why}`);
  return why !== null;
};

const withoutImpit = lacking ?? (existsSync(IMPIT) ? null : 'needs impit: run tools/setup test on x86-64');
test.skipIf(say(withoutImpit))('a stripped extension of Node.js is read in both versions, also resumed', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('rustls');
  await using outside = new Cgroup('rustls-out');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
  const extension = home.folder.file('impit.node');
  copyFileSync(IMPIT, extension);
  // Keeps the extension mapped, and so its probes where they are.
  const holder = home.program([home.node, '-e', `require(${JSON.stringify(extension)}); setInterval(() => {}, 1000)`], {
    cgroup,
  });
  await agent.tapped(2);
  const ids: string[] = [];
  for (const version of ['1.2', '1.3']) {
    const directives = `${ONE_CALL} ssl_protocols TLSv${version};`;
    const nginx = await nginxTls(home, outside, { listen: 'ssl', directives });
    const own = [1, 2, 3].map((n) => `${version}.${n}`);
    ids.push(...own);
    const urls = own.map((id) => `https://localhost:${nginx.port}/x?id=${id}`);
    const said = await must([home.node, join(RIG, 'tls/impit-client.mjs'), extension, ...urls], { cgroup });
    expect(said.trim().split('\n')).toEqual(own.map(() => '200 hello'));
    const logged = readLines(await must(['cat', home.folder.file(`nginx-${nginx.port}.log`)]));
    expect(logged.map(([id, protocol]) => [id, protocol])).toEqual(own.map((id) => [id, `TLSv${version}`]));
    expect(logged.map((line) => line[3])).toEqual(['.', 'r', 'r']);
  }
  await agent.until((seen) => seen.length >= ids.length);
  const told = await run([HEADWATER, 'why', `pid:${holder.pid}`, '--socket', agent.socket]);
  expect(told.stdout.replaceAll(/\s+/g, ' ')).toMatch(
    /runs rustls \(\S+impit\.node\): its secrets are taken, connections that begin from now on are read\./,
  );
  const { exchanges, summary } = await agent.stop();
  expect(exchanges.map((x) => field(x.response, 'x-id'))).toEqual(ids);
  for (const x of exchanges)
    expect(x).toMatchObject({
      side: 'client',
      outcome: 'complete',
      losses: [],
      tls: { version: field(x.response, 'x-id')!.slice(0, 3), sni: 'localhost' },
    });
  expect(summary.losses).toEqual([]);
});

const SUITES = [
  ['1.2', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['1.2', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['1.2', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['1.3', 'TLS13_AES_128_GCM_SHA256'],
  ['1.3', 'TLS13_AES_256_GCM_SHA384'],
  ['1.3', 'TLS13_CHACHA20_POLY1305_SHA256'],
] as const;

const without = lacking ?? (findProgram('strip') === null ? 'needs strip (binutils)' : withoutPeer());
describe.skipIf(say(without)).each(['with symbols', 'stripped'])('a program of rustls, %s', (symbols) => {
  test('is read as server and as client, with every suite, also resumed and with a hello that was asked for again', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('rustls-peer');
    await using outside = new Cgroup('rustls-peer-out');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const inside = privateProgram(home.folder, RUSTLS_PEER);
    if (symbols === 'stripped') await must([findProgram('strip')!, inside]);
    const pair = [home.folder.file('cert.pem'), home.folder.file('key.pem')];
    const serve = (program: string, where: Cgroup, ...groups: string[]) =>
      home.serve('rustls', (port) => [program, 'server', port, ...pair, ...groups], where);
    const server = await serve(inside, cgroup);
    const retrying = await serve(inside, cgroup, 'p384');
    const other = await serve(RUSTLS_PEER, outside);
    const otherRetrying = await serve(RUSTLS_PEER, outside, 'p384');
    await agent.tapped(1);
    const expected: { id: string; side: string; version: string; suite: string }[] = [];
    const ask = async (side: string, version: string, suite: string, port: number, kinds: readonly string[]) => {
      const ids = kinds.map((kind, i) => `${side}-${suite}-${kind}-${i}`);
      const [program, where] = side === 'client' ? [inside, cgroup] : [RUSTLS_PEER, outside];
      const said = await must([program, 'client', String(port), version, suite, ...ids], { cgroup: where });
      expect(said.trim().split('\n')).toEqual(ids.map((id, i) => `${id} ${kinds[i]}`));
      expected.push(...ids.map((id) => ({ id, side, version, suite: suite.replace('TLS13', 'TLS') })));
    };
    for (const [version, suite] of SUITES) {
      await ask('server', version, suite, server.port, ['Full', 'Resumed', 'Resumed']);
      await ask('client', version, suite, other.port, ['Full', 'Resumed', 'Resumed']);
    }
    const retried = ['FullWithHelloRetryRequest'];
    await ask('server', '1.3', 'TLS13_AES_256_GCM_SHA384', retrying.port, retried);
    await ask('client', '1.3', 'TLS13_AES_256_GCM_SHA384', otherRetrying.port, retried);
    await agent.until((seen) => seen.length >= expected.length);
    const told = await run([HEADWATER, 'why', `pid:${server.program.pid}`, '--socket', agent.socket]);
    expect(told.stdout.replaceAll(/\s+/g, ' ')).toMatch(/runs rustls 0\.23\.46 \(\S+\): its secrets are taken/);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map((x) => field(x.response, 'x-id')).sort()).toEqual(expected.map(({ id }) => id).sort());
    for (const { id, side, version, suite } of expected) {
      const found = exchanges.find((x) => field(x.response, 'x-id') === id)!;
      expect(found).toMatchObject({ side, outcome: 'complete', losses: [], tls: { version, cipher: suite } });
    }
    expect(summary.losses).toEqual([]);
  });
});

const readLines = (text: string): string[][] =>
  text
    .trim()
    .split('\n')
    .map((line) => line.split('\t'));
