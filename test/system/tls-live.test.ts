/**
 * TLS live: real servers and clients on private copies of their libraries, every call in the clear on both sides, by the
 * ids in it; and what was captured beside it says the same with the clients' own key log.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Agent, askedId, field, type LoggedExchange, type Stopped } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { findProgram, when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { Recording } from '../rig/recording.ts';
import type { Server } from '../rig/servers/server.ts';
import {
  apacheTls,
  CLIENT,
  caddyTls,
  goTls,
  haproxyTls,
  javaTls,
  nginxTls,
  nodeTls,
  PEERS,
  pythonTls,
  TlsHome,
  unusualTls,
} from '../rig/tls/servers.ts';

/** libcrypto, and what is linked into Node, Caddy and the two Go servers. */
const TAPPED = 5;

interface Said {
  readonly id: string;
  readonly server: string;
  readonly client: string;
  readonly version: '1.2' | '1.3';
  readonly protocol: 'http/1.1' | 'h2';
}

const OWNED: Readonly<Record<string, (home: TlsHome, cgroup: Cgroup) => Promise<Server>>> = {
  nginx: nginxTls,
  apache: apacheTls,
  haproxy: haproxyTls,
  node: nodeTls,
  python: pythonTls,
  caddy: caddyTls,
  go: goTls,
  'go-stripped': (home, cgroup) => goTls(home, cgroup, '-ldflags=-s -w'),
  java: javaTls,
  'python-fork': (home, cgroup) => unusualTls(home, cgroup, 'fork'),
  'python-memory': (home, cgroup) => unusualTls(home, cgroup, 'memory'),
  'python-asyncio': (home, cgroup) => unusualTls(home, cgroup, 'asyncio'),
};
const SPEAK_H2 = new Set(['nginx', 'apache', 'haproxy', 'node', 'caddy', 'go', 'go-stripped']);
const SUITES_13 = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256'];
/** OpenSSL's names, and IANA's. */
const SUITES_12 = [
  ['ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['ECDHE-ECDSA-AES128-CCM', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM'],
  ['ECDHE-ECDSA-AES256-CCM8', 'TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8'],
] as const;

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'curl',
  'tcpdump',
  'nginx',
  'apache2',
  'haproxy',
  'caddy',
  'go',
  'java',
)('real peers', () => {
  let home: TlsHome;
  let cgroup: Cgroup;
  let agent: Agent;
  let live: Stopped;
  let offline: readonly LoggedExchange[];
  let keys: string;
  const servers: Record<string, Server> = {};
  const said: Said[] = [];
  const suites = new Map<string, string>();
  const resumed: string[] = [];
  let made = 0;

  const note = (server: string, client: string, version: Said['version'], protocol: Said['protocol']): string => {
    const id = `r${++made}`;
    said.push({ id, server, client, version, protocol });
    return `https://localhost:${servers[server]!.port}/x?id=${id}`;
  };
  const idIn = (url: string): string => url.slice(url.indexOf('=') + 1);

  /** The servers' answers, as curl saw them: each call's id comes back in x-id. */
  async function curl(args: readonly string[], urls: readonly string[]): Promise<void> {
    const output = ['-w', '%{http_code} %header{x-id}\n', ...urls.flatMap((url) => ['-o', '/dev/null', url])];
    const command = [findProgram('curl')!, '-sk', '--max-time', '20', ...args, ...output];
    const out = await must(command, { cgroup, env: { ...home.env, SSLKEYLOGFILE: keys } });
    expect(out.trim().split('\n'), `${args.join(' ')} ${urls.join(' ')}`).toEqual(
      urls.map((url) => `200 ${idIn(url)}`),
    );
  }

  beforeAll(async () => {
    home = await TlsHome.open();
    cgroup = new Cgroup('tls');
    keys = home.folder.file('keys');
    agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const started = await Promise.all(
      Object.entries(OWNED).map(async ([name, start]) => [name, await start(home, cgroup)] as const),
    );
    for (const [name, server] of started) servers[name] = server;
    const ports = Object.values(servers).map(({ port }) => port);
    await using recording = await Recording.start(home.folder.file('traffic.pcap'), ports);
    await agent.tapped(TAPPED);

    for (const server of Object.keys(servers)) {
      for (const version of ['1.2', '1.3'] as const) {
        for (const protocol of SPEAK_H2.has(server) ? (['http/1.1', 'h2'] as const) : (['http/1.1'] as const)) {
          const alpn = protocol === 'h2' ? '--http2' : '--http1.1';
          const args = [`--tlsv${version}`, '--tls-max', version, alpn];
          // Three calls on one connection; then each on its own, with the session of the one before.
          await curl(
            args,
            [1, 2, 3].map(() => note(server, 'curl', version, protocol)),
          );
          if (protocol === 'http/1.1')
            await curl(
              [...args, '-H', 'Connection: close'],
              [1, 2].map(() => note(server, 'curl', version, protocol)),
            );
        }
      }
    }
    for (const [suite, name] of SUITES_12) {
      const url = note('node', 'curl', '1.2', 'http/1.1');
      suites.set(idIn(url), name);
      await curl(['--http1.1', '--tls-max', '1.2', '--ciphers', suite], [url]);
    }
    for (const suite of SUITES_13) {
      const url = note('nginx', 'curl', '1.3', 'http/1.1');
      suites.set(idIn(url), suite);
      await curl(['--http1.1', '--tls13-ciphers', suite], [url]);
    }
    for (const server of Object.keys(servers)) {
      for (const version of ['1.2', '1.3'] as const) {
        const protocol = SPEAK_H2.has(server) ? 'h2' : 'http/1.1';
        const urls = [1, 2, 3].map(() => note(server, 'node', version, protocol));
        const out = await must([home.node, `--tls-keylog=${keys}`, CLIENT, version, protocol, ...urls], { cgroup });
        for (const [i, line] of out.trim().split('\n').entries()) {
          const [status, id, , suite, again] = line.split(' ');
          expect([status, id]).toEqual(['200', idIn(urls[i]!)]);
          suites.set(id!, suite!);
          if (again === 'true') resumed.push(id!);
        }
      }
      const speaks = SPEAK_H2.has(server) ? 'h2' : 'http/1.1';
      const fromGo = note(server, 'go', '1.3', speaks);
      expect(await must([await home.go(), 'get', fromGo, keys], { cgroup })).toBe('200\n');
      const fromPython = note(server, 'python', '1.3', 'http/1.1');
      const python = [findProgram('python3')!, `${PEERS}/client.py`, fromPython, keys];
      expect(await must(python, { cgroup, env: home.env })).toBe('200\n');
    }
    await agent.until((seen) => new Set(seen.map(askedId)).size >= said.length).catch(() => {});
    live = await agent.stop();
    await recording.stop();
    offline = (await recording.replayed({ keylog: keys })).exchanges;
  }, 300_000);
  afterAll(async () => {
    await agent[Symbol.asyncDispose]();
    await home[Symbol.asyncDispose]();
    await cgroup[Symbol.asyncDispose]();
  });

  /**
   * curl takes a connection again that a server without "Connection: close" in its answer is about to close, and then makes the call once
   * more: it is on the wire twice, and answered once.
   */
  const isAnswered = ({ response }: LoggedExchange): boolean => response !== null;
  const isRepeated = (x: LoggedExchange): boolean => !isAnswered(x);

  const plain = ({ server, client, version, protocol }: Said): object => ({ server, client, version, protocol });

  test('every call is in the log, on both sides, with what the peers agreed on', () => {
    for (const side of ['server', 'client'] as const) {
      const byId = Map.groupBy(
        live.exchanges.filter((x) => x.side === side && isAnswered(x)),
        askedId,
      );
      const missing = said.filter(({ id }) => byId.get(id)?.length !== 1);
      expect(missing.map(plain), `${side} side`).toEqual([]);
      for (const call of said) {
        const [x] = byId.get(call.id)!;
        expect(x, `${side} ${JSON.stringify(call)}`).toMatchObject({
          outcome: 'complete',
          losses: [],
          protocol: call.protocol === 'h2' ? 'h2' : 'http/1.1',
          tls: { version: call.version, sni: 'localhost' },
          response: { status: 200 },
        });
        expect(field(x!.response, 'x-id')).toBe(call.id);
        const suite = suites.get(call.id);
        if (suite !== undefined) expect((x as unknown as { tls: { cipher: string } }).tls.cipher).toBe(suite);
      }
    }
    const repeated = live.exchanges.filter(isRepeated);
    for (const x of repeated) {
      expect(said.find(({ id }) => id === askedId(x))).toMatchObject({ client: 'curl', protocol: 'http/1.1' });
      expect(x.outcome).not.toBe('complete');
    }
    expect(live.exchanges).toHaveLength(2 * said.length + repeated.length);
    expect(live.summary.losses).toEqual([]);
  });

  test('resumed sessions are among them, of both versions', () => {
    const versions = resumed.map((id) => said.find((call) => call.id === id)!.version);
    expect(versions.filter((version) => version === '1.2').length).toBeGreaterThan(3);
    expect(versions.filter((version) => version === '1.3').length).toBeGreaterThan(3);
  });

  test('nginx logged the same', async () => {
    const lines = readFileSync(home.folder.file(`nginx-${servers['nginx']!.port}.log`), 'utf8')
      .trim()
      .split('\n');
    const mine = live.exchanges.filter((x) => x.side === 'server' && x.server.port === servers['nginx']!.port);
    expect(mine.length).toBe(lines.length);
    const byId = new Map(mine.map((x) => [askedId(x), x]));
    for (const line of lines) {
      const [id, version, , , protocol] = line.split('\t');
      expect(byId.get(id!)).toMatchObject({
        tls: { version: version!.slice(4) },
        protocol: protocol === 'HTTP/2.0' ? 'h2' : 'http/1.1',
      });
    }
  });

  test('the packets and the clients own key log say the same', () => {
    const told = (x: LoggedExchange): object => {
      const { protocol, request, response, outcome, losses, anomalies } = x;
      const interim = response?.interim.map(({ status }) => status);
      const { tls } = x as unknown as { tls: object };
      const ends = [x.client.port, x.server.port];
      return { protocol, request, response: { ...response, interim }, outcome, losses, anomalies, tls, ends };
    };
    const byId = new Map(offline.filter(isAnswered).map((x) => [askedId(x), x]));
    expect(offline.filter(isAnswered)).toHaveLength(said.length);
    const repeated = live.exchanges.filter((x) => x.side === 'client' && isRepeated(x));
    expect(offline.filter(isRepeated).map(askedId).sort()).toEqual(repeated.map(askedId).sort());
    for (const x of live.exchanges.filter(isAnswered)) expect(told(x)).toEqual(told(byId.get(askedId(x))!));
  });
});
