/** Long bodies and long header blocks inside TLS: what is read of them, what is copied for it, and what pressure leaves. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Agent, askedId, field } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { nginxTls, TlsHome } from '../rig/tls/servers.ts';

const rig = join(import.meta.dirname, '../rig/tls');
/** Of node's answers the longest header block here, and more than it takes unasked. */
const HEAD_BYTES = 60_000;

/** Answers of the sizes and framings that are asked for. */
const bodiesServer = (home: TlsHome, cgroup: Cgroup, version: string): Promise<Server> =>
  home.serve(
    'bodies',
    (port) => [home.node, `--max-http-header-size=${2 * HEAD_BYTES}`, join(rig, 'bodies-server.mjs'), port, version],
    cgroup,
  );

interface Asked {
  readonly id: string;
  readonly size: number;
  readonly trailer: boolean;
  readonly url: string;
}

let made = 0;
const ask = (port: number, size: number, piece: number, framing: string, trailer = false): Asked => {
  const id = `r${++made}`;
  const query = `id=${id}&size=${size}&piece=${piece}&framing=${framing}&trailer=${trailer ? 1 : 0}`;
  return { id, size, trailer, url: `https://localhost:${port}/x?${query}` };
};

/** The calls one after another on one connection; returns the trailers that the client got, by id. */
async function fetchAll(home: TlsHome, cgroup: Cgroup, asked: readonly Asked[]): Promise<Map<string, string>> {
  const out = await must([home.node, join(rig, 'bodies-client.mjs'), ...asked.map(({ url }) => url)], { cgroup });
  const lines = out.trimEnd().split('\n');
  const sums = new Map<string, string>();
  for (const [i, { id, size }] of asked.entries()) {
    const [status, got, bytes, sum] = lines[i]!.split(' ');
    expect([status, got, bytes]).toEqual(['200', id, String(size)]);
    sums.set(id, sum ?? '');
  }
  return sums;
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'openssl',
)('bodies in TLS', () => {
  // 30 MB in all, and half a ring of 128: what is looked at here is no pressure.
  test.each(['1.2', '1.3'])(
    '%s: chunked, in pieces and records of any size: exact, and so is the next call',
    async (version) => {
      await using home = await TlsHome.open();
      await using cgroup = new Cgroup('tls-bodies');
      await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 128MiB\n' });
      const node = await bodiesServer(home, cgroup, version);
      const through = { upstream: node.port, listen: 'ssl' };
      const buffering = await nginxTls(home, cgroup, through);
      const passing = await nginxTls(home, cgroup, { ...through, directives: 'proxy_buffering off;' });
      await agent.tapped(2);
      const all: Asked[] = [];
      const sums = new Map<string, string>();
      for (const { port } of [node, buffering, passing]) {
        const asked = [
          [20_000, 20_000],
          [100_000, 1_000],
          [300_000, 7_000],
          [300_000, 100_000],
          [1_200_000, 500_000],
        ].flatMap(([size, piece]) => [
          ask(port, size!, piece!, 'chunked'),
          ask(port, size!, piece!, 'chunked', true),
          ask(port, 6, 6, 'length'),
        ]);
        for (const [id, sum] of await fetchAll(home, cgroup, asked)) sums.set(id, sum);
        all.push(...asked);
      }
      // Each call is seen by both ends of each of its legs.
      const legs = all.reduce((n, { url }) => n + (url.includes(`:${node.port}/`) ? 2 : 4), 0);
      await agent.until((seen) => seen.length >= legs);
      const { exchanges, summary } = await agent.stop();
      const asked = new Map(all.map((one) => [one.id, one]));
      expect(exchanges).toHaveLength(legs);
      for (const x of exchanges) {
        const { id, size, trailer } = asked.get(askedId(x))!;
        expect(x, id).toMatchObject({ outcome: 'complete', losses: [], response: { status: 200, body_bytes: size } });
        expect(field(x.response, 'x-id')).toBe(id);
        const sum = x.server.port === node.port ? (trailer ? id : '') : sums.get(id)!;
        expect(x.response?.trailers.map(([, value]) => value).join(), id).toBe(sum);
      }
      expect(summary.losses).toEqual([]);
    },
  );

  test('under pressure: their bytes are counted within a hundredth, and every answer is its own', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('tls-bodies');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 1MiB\n' });
    const node = await bodiesServer(home, cgroup, '1.3');
    await agent.tapped(1);
    const asked = [1_000, 16_000, 50_000, 300_000, 1_000_000].flatMap((piece) => [
      ask(node.port, 4_000_000, piece, 'chunked', true),
      ask(node.port, 4_000_000, piece, 'length'),
      ask(node.port, 6, 6, 'length'),
    ]);
    await fetchAll(home, cgroup, asked);
    const sizes = new Map(asked.map(({ id, size }) => [id, size]));
    const { exchanges } = await agent.stop();
    let answered = 0;
    for (const x of exchanges) {
      if (x.outcome !== 'complete') expect(x.losses, JSON.stringify(x)).not.toEqual([]);
      if (x.request === null || x.response === null) continue;
      answered++;
      const size = sizes.get(askedId(x))!;
      expect(field(x.response, 'x-id')).toBe(askedId(x));
      const reasons = x.losses.map(({ reason }) => reason);
      if (reasons.length === 0) expect(x.response.body_bytes).toBe(size);
      else if (x.outcome === 'complete') expect(Math.abs(x.response.body_bytes - size)).toBeLessThan(size / 100);
    }
    expect(answered).toBeGreaterThan(0);
  });

  test('of a long body with a length only record headers are copied, once it has begun', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('tls-bodies');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const node = await bodiesServer(home, cgroup, '1.3');
    await agent.tapped(1);
    const size = 40_000_000;
    const asked = ask(node.port, size, 500_000, 'length');
    // What comes after the first piece waits until the test says so.
    const fetched = fetchAll(home, cgroup, [{ ...asked, url: `${asked.url}&gate=1` }]);
    const read = await agent.untilStatus(
      'the first piece read',
      ({ ledger, ring }) => ledger.captured.seen.bytes > 1_000_000 && ring.used_bytes === 0,
    );
    await must([findProgram('curl')!, '-sk', `https://localhost:${node.port}/go`], {});
    await fetched;
    await agent.until((seen) => seen.filter((x) => askedId(x) === asked.id).length === 2);
    const { ledger } = await agent.status();
    const { exchanges } = await agent.stop();
    for (const x of exchanges.filter((one) => askedId(one) === asked.id))
      expect(x).toMatchObject({ outcome: 'complete', losses: [], response: { body_bytes: size } });
    const [copied, seen] = (['copied', 'seen'] as const).map(
      (what) => ledger.captured[what].bytes - read.ledger.captured[what].bytes,
    );
    expect(seen).toBeGreaterThan(1.9 * size);
    expect(copied! / seen!).toBeLessThan(0.02);
  });

  test('with --verify-tags all of it is copied, and nothing is lost', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('tls-bodies');
    const config = 'capture:\n  ring: 64MiB\n';
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config, args: ['--verify-tags'] });
    const node = await bodiesServer(home, cgroup, '1.3');
    await agent.tapped(1);
    const asked = [ask(node.port, 3_000_000, 500_000, 'length'), ask(node.port, 300_000, 300_000, 'chunked', true)];
    await fetchAll(home, cgroup, asked);
    await agent.until((seen) => seen.length >= 2 * asked.length);
    const { captured } = (await agent.status()).ledger;
    // On both sides; what was sent again is seen twice and copied once.
    expect(captured.copied.bytes).toBeGreaterThan(2 * asked.reduce((sum, { size }) => sum + size, 0));
    const { exchanges, summary } = await agent.stop();
    const sizes = new Map(asked.map(({ id, size }) => [id, size]));
    for (const x of exchanges)
      expect(x).toMatchObject({ outcome: 'complete', losses: [], response: { body_bytes: sizes.get(askedId(x)) } });
    expect(summary.losses).toEqual([]);
  });

  test('header blocks of 60 KiB, and bodies behind a PROXY header, are whole', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('tls-bodies');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: 'capture:\n  ring: 64MiB\n' });
    const node = await bodiesServer(home, cgroup, '1.3');
    const proxied = await nginxTls(home, cgroup, {
      listen: 'ssl http2 proxy_protocol',
      directives: `location /long { root ${home.folder.path}; }`,
    });
    await must(['sh', '-c', 'head -c 3000000 /dev/zero > long; chmod 755 .; chmod 644 long'], {
      cwd: home.folder.path,
    });
    await agent.tapped(2);
    const token = 'jwt.'.repeat(HEAD_BYTES / 4);
    const header = home.folder.write('headers', `authorization-like: ${token}\n`);
    const curl = (args: readonly string[]): Promise<string> =>
      must([findProgram('curl')!, '-sk', '-o', '/dev/null', '-w', '%{http_code}', ...args], {
        cgroup,
        env: home.env,
      });
    const { url } = ask(node.port, 6, 6, 'length');
    expect(await curl(['-H', `@${header}`, url])).toBe('200');
    for (const protocol of ['--http2', '--http1.1']) {
      const long = `https://localhost:${proxied.port}/long`;
      expect(await curl(['--haproxy-protocol', protocol, long, '-o', '/dev/null', long])).toBe('200200');
    }
    await agent.until((seen) => seen.length >= 10);
    const { exchanges, summary } = await agent.stop();
    expect(exchanges).toHaveLength(10);
    for (const x of exchanges) {
      expect(x).toMatchObject({ outcome: 'complete', losses: [], response: { status: 200 } });
      if (x.request.target === '/long') expect(x.response?.body_bytes).toBe(3_000_000);
      else expect(field(x.request, 'authorization-like')?.length).toBe(token.length);
    }
    expect(summary.losses).toEqual([]);
  });
});
