/**
 * Real servers and real clients, captured live. The truth is what the servers' own access logs say, request id by
 * request id, and the number that each counting body carries; Headwater must say the same and miss nothing.
 */
import { describe, expect, it } from 'vitest';
import { Agent, field, type LoggedExchange, type Stopped } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { curl } from '../rig/clients/curl.ts';
import { type Call, requests, undici } from '../rig/clients/plan.ts';
import { raw, rawProcess, type Step } from '../rig/clients/raw.ts';
import { wrk } from '../rig/clients/wrk.ts';
import { when } from '../rig/need.ts';
import { NetnsPair } from '../rig/netns.ts';
import type { ProgramOptions } from '../rig/program.ts';
import { apache } from '../rig/servers/apache.ts';
import { caddy } from '../rig/servers/caddy.ts';
import { haproxy } from '../rig/servers/haproxy.ts';
import { nginx } from '../rig/servers/nginx.ts';
import { BIG_BYTES, type Logged, type Server } from '../rig/servers/server.ts';
import { goSite, nodeSite, pythonSite } from '../rig/servers/site.ts';

const live = ['root', 'cgroup2', 'bpf'] as const;

interface Case {
  readonly title: string;
  readonly needs: readonly string[];
  readonly start: (options: ProgramOptions) => Promise<Server>;
  /** Its access log counts the body only (HAProxy's counts the head too). */
  readonly logsBody: boolean;
}

const cases: readonly Case[] = [
  { title: 'nginx', needs: ['nginx'], start: nginx, logsBody: true },
  {
    title: 'nginx, deferred accept',
    needs: ['nginx'],
    start: (o) => nginx({ ...o, listen: 'deferred' }),
    logsBody: true,
  },
  { title: 'Apache event, deferred accept', needs: ['apache2'], start: apache, logsBody: true },
  { title: 'Apache prefork', needs: ['apache2'], start: (o) => apache({ ...o, mpm: 'prefork' }), logsBody: true },
  { title: 'HAProxy', needs: ['haproxy'], start: haproxy, logsBody: false },
  { title: 'Caddy', needs: ['caddy'], start: caddy, logsBody: true },
  { title: 'Node', needs: [], start: nodeSite, logsBody: true },
  { title: 'Python', needs: ['python3'], start: pythonSite, logsBody: true },
  { title: 'Go', needs: ['go'], start: goSite, logsBody: true },
];
const sites = cases.slice(-3);

const id = (exchange: LoggedExchange): string => field(exchange.request, 'x-request-id') ?? '-';
const serverSide = (exchanges: readonly LoggedExchange[], server: Server): LoggedExchange[] =>
  exchanges.filter((e) => e.side === 'server' && e.server.port === server.port);

/** What a record says, in the words of an access log. */
const asLogged = (exchange: LoggedExchange): Logged => ({
  id: id(exchange),
  method: exchange.request.method,
  target: exchange.request.target,
  status: exchange.response?.status ?? 0,
  bodyBytes: exchange.response?.body_bytes ?? -1,
});
const byId = (a: Logged, b: Logged): number =>
  `${a.id} ${a.target}`.localeCompare(`${b.id} ${b.target}`, 'en', { numeric: true });

/** Every call in the access log is recorded once, alike, complete and whole; and nothing else is. */
function expectTruth(exchanges: readonly LoggedExchange[], logged: readonly Logged[], logsBody = true): void {
  const strip = (call: Logged): Logged => (logsBody ? call : { ...call, bodyBytes: 0 });
  expect(exchanges.map(asLogged).map(strip).sort(byId)).toEqual(logged.map(strip).sort(byId));
  for (const exchange of exchanges) {
    expect(exchange).toMatchObject({ outcome: 'complete', losses: [] });
    const { first_request_byte: a, last_request_byte: b, last_response_byte: d } = exchange.timing_ns;
    expect(a).toBe(0);
    expect(b).toBeGreaterThanOrEqual(a!);
    expect(d).toBeGreaterThan(b!);
  }
}

/** Nothing was lost anywhere. */
function expectNoLoss({ summary, exchanges }: Stopped): void {
  expect(summary.losses).toEqual([]);
  expect(summary.exchanges).toBe(exchanges.length);
}

const get = (path: string, name: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: raw.test\r\nX-Request-Id: ${name}\r\n${more}\r\n`;

describe.each(cases)('$title', ({ needs, start, logsBody }) => {
  when(
    it,
    ...live,
    'curl',
    'python3',
    ...needs,
  )('says what its access log says, for each client', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await start({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const url = `http://127.0.0.1:${server.port}`;

    // curl: two on one connection, HEAD, a new connection.
    const tagged = (name: string): string[] => ['-H', `X-Request-Id: ${name}`];
    await curl([...tagged('curl-1'), `${url}/small?a=1`, `${url}/missing`]);
    await curl(['-I', ...tagged('curl-2'), `${url}/small`]);
    await curl([...tagged('curl-3'), '-H', 'Connection: close', `${url}/small`]);
    // Libraries, keep-alive.
    const plan = (prefix: string): Call[] =>
      ['/small', '/missing', '/small?b=%20', '/small'].map((path, i) => ({
        url: url + path,
        headers: { 'X-Request-Id': `${prefix}-${i}` },
      }));
    await undici(plan('undici'));
    await requests(plan('requests'));
    // Raw: pipelined in one write, byte by byte, half-closed after the request.
    const pipelined =
      get('/small', 'pipe-1') + get('/missing', 'pipe-2') + get('/small', 'pipe-3', 'Connection: close\r\n');
    await raw(server.port, [{ send: pipelined }, { untilEnd: true }]);
    await raw(server.port, [{ send: get('/small', 'bytes-1'), piece: 1 }, { until: 'small\n' }]);
    await raw(server.port, [
      { send: get('/small', 'half-1', 'Connection: close\r\n') },
      { halfClose: true },
      { untilEnd: true },
    ]);

    const name = server.comm;
    const logged = await server.logged(17);
    expect(logged).toHaveLength(17);
    const stopped = await agent.stop();
    expectTruth(serverSide(stopped.exchanges, server), logged, logsBody);
    expect(stopped.exchanges).toHaveLength(logged.length);
    expectNoLoss(stopped);
    for (const exchange of stopped.exchanges) {
      expect(exchange.process).toMatchObject({ name, cgroup: cgroup.name });
    }
  });
});

describe.each(sites)('bodies on $title', ({ title, needs, start }) => {
  when(
    it,
    ...live,
    ...needs,
  )('of every framing are counted as the site counts them', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await start({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const url = `http://127.0.0.1:${server.port}`;
    const upload = 'u'.repeat(50_000);
    const calls: Call[] = [
      { url: `${url}/bytes/100000` },
      { url: `${url}/status/204` },
      { url: `${url}/status/304` },
      { method: 'HEAD', url: `${url}/bytes/100` },
      { method: 'POST', url: `${url}/sink`, body: upload },
      { method: 'POST', url: `${url}/sink`, body: upload, chunked: true },
      { method: 'PUT', url: `${url}/sink`, body: upload, headers: { Expect: '100-continue' } },
      { url: `${url}/close/5000` },
      ...(title === 'Python' ? [] : [{ url: `${url}/chunked/20` }, { url: `${url}/hint` }]),
    ].map((call, i) => ({ ...call, headers: { ...call.headers, 'X-Request-Id': `body-${i}` } }));
    const continued = calls.filter((call) => 'Expect' in call.headers!);
    const answers = await undici(calls.filter((call) => !continued.includes(call)));
    expect(answers.map(({ error }) => error)).toEqual(answers.map(() => undefined));
    for (const call of continued) {
      const headers = Object.entries(call.headers!).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
      await curl(['-X', call.method!, ...headers, '--data-binary', call.body!, call.url]);
    }

    const logged = await server.logged(calls.length);
    const stopped = await agent.stop();
    expectTruth(stopped.exchanges, logged);
    expectNoLoss(stopped);
    const one = (name: string): LoggedExchange => stopped.exchanges.find((e) => id(e) === name)!;
    for (const name of ['body-4', 'body-5', 'body-6']) expect(one(name).request.body_bytes).toBe(upload.length);
    expect(one('body-6').response!.interim).toMatchObject([{ status: 100 }]);
    if (title !== 'Python') {
      expect(one('body-8').response!.trailers).toEqual([['X-Chunks', '20']]);
      expect(one('body-9').response!.interim).toMatchObject([{ status: 103 }]);
    }
  });

  when(
    it,
    ...live,
    ...needs,
  )('that end badly get the outcome that they had', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await start({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup], config: 'timeouts:\n  response: 1s\n' });
    const talk = (name: string, path: string, steps: Step[]): Promise<unknown> =>
      raw(server.port, [{ send: get(path, name) }, ...steps]);
    await talk('reset-by-server', '/reset', [{ untilEnd: true }]);
    await talk('reset-by-client', '/stall', [{ until: '0123456789' }, { reset: true }]);
    await talk('reset-before-head', '/slow/60000', [{ pauseMs: 100 }, { reset: true }]);
    await talk('waited-too-long', '/slow/1400', [{ until: 'slow\n' }]);
    await talk('well', '/small', [{ until: 'small\n' }]);
    const stopped = await agent.stop();
    const outcomes = Object.fromEntries(stopped.exchanges.map((e) => [id(e), e.outcome]));
    expect(outcomes).toEqual({
      'reset-by-server': 'reset_in_body',
      'reset-by-client': 'client_abort',
      // It gave up waiting.
      'reset-before-head': 'timeout',
      'waited-too-long': 'timeout',
      well: 'complete',
    });
  });
});

describe('counts', () => {
  // Python, because it is slow: what happens when more comes than two cores can read is another test's matter.
  when(
    it,
    ...live,
    'python3',
    'wrk',
  )('of a load are exact, with both ends in scope', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await pythonSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const load = await wrk({ url: `http://127.0.0.1:${server.port}/count`, seconds: 2, connections: 8, cgroup });
    const logged = await server.logged(load.requests);
    const { exchanges, summary } = await agent.stop();
    const atServer = serverSide(exchanges, server);
    const atClient = exchanges.filter((e) => e.side === 'client');
    // wrk cuts its last calls off: the server has logged what it answered, Headwater also saw those that were under way.
    const known = new Set(logged.map((call) => call.id));
    for (const side of [atServer, atClient]) {
      const ids = side.map(id);
      expect(new Set(ids).size).toBe(ids.length);
      expect(ids.filter((name) => known.has(name))).toHaveLength(known.size);
      expect(side.filter((e) => e.outcome === 'complete').length).toBeGreaterThanOrEqual(load.requests);
      expect(side.length - known.size).toBeLessThanOrEqual(8);
    }
    expect(summary.exchanges).toBe(atServer.length + atClient.length);
    expect(summary.losses).toEqual([]);
  });

  when(it, ...live)('leave no hole: each body carries the number of its request', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await nodeSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const answers = await undici(Array.from({ length: 50 }, () => ({ url: `http://127.0.0.1:${server.port}/count` })));
    const numbers = answers.map(({ body }) => (JSON.parse(body) as { n: number }).n);
    expect(numbers).toEqual(Array.from({ length: 50 }, (_, i) => i + 1));
    const { exchanges } = await agent.stop();
    expect(exchanges).toHaveLength(50);
    expect(exchanges.map((e) => e.response!.body_bytes)).toEqual(answers.map(({ body }) => body.length));
  });
});

describe('a download of 1 GiB', () => {
  when(
    it,
    ...live,
    'nginx',
    'curl',
  )('costs counters, not copies', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await nginx({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const url = `http://127.0.0.1:${server.port}`;
    const got = await curl(
      ['-o', '/dev/null', '-w', '%{size_download}', '--max-time', '60', `${url}/big`, '--next', '-s', `${url}/small`],
      { timeoutMs: 70_000 },
    );
    expect(got.stdout).toContain(String(BIG_BYTES));
    const status = JSON.parse((await agent.get('/v1/status')).body);
    const stopped = await agent.stop();
    expect(stopped.exchanges).toMatchObject([
      {
        request: { target: '/big' },
        response: { status: 200, body_bytes: BIG_BYTES },
        outcome: 'complete',
        losses: [],
      },
      { request: { target: '/small' }, response: { status: 200, body_bytes: 6 }, outcome: 'complete', losses: [] },
    ]);
    expect(stopped.summary.bytes).toBeGreaterThan(BIG_BYTES);
    expect(status.ledger.captured.seen.bytes).toBeGreaterThan(BIG_BYTES);
    expect(status.ledger.captured.copied.bytes).toBeLessThan(1 << 20);
  });
});

describe('addresses', () => {
  when(
    it,
    ...live,
    'ipv6',
  )('IPv6 as it is, and IPv4 on a dual-stack socket as IPv4', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await nodeSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    for (const host of ['::1', '127.0.0.1'])
      await raw(server.port, [{ send: get('/small', host) }, { until: 'small\n' }], host);
    const { exchanges } = await agent.stop();
    expect(exchanges.map((e) => [id(e), e.client.address, e.server.address])).toEqual([
      ['::1', '::1', '::1'],
      ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ]);
  });

  when(
    it,
    ...live,
    'netns',
  )('of two hosts on a cable: each end is recorded once', async () => {
    await using pair = await NetnsPair.create();
    await using serving = new Cgroup('servers');
    await using asking = new Cgroup('servers');
    await using server = await nodeSite({ cgroup: serving, netns: pair.server.netns });
    await using agent = await Agent.start({ cgroups: [serving, asking] });
    for (const host of [pair.server.ipv4, pair.server.ipv6]) {
      await rawProcess(server.port, [{ send: get('/count', host) }, { until: '}\n' }], host, {
        cgroup: asking,
        netns: pair.client.netns,
      });
    }
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map((e) => `${e.side} ${id(e)} ${e.client.address} ${e.server.address}`).sort()).toEqual([
      `client ${pair.server.ipv4} ${pair.client.ipv4} ${pair.server.ipv4}`,
      `client ${pair.server.ipv6} ${pair.client.ipv6} ${pair.server.ipv6}`,
      `server ${pair.server.ipv4} ${pair.client.ipv4} ${pair.server.ipv4}`,
      `server ${pair.server.ipv6} ${pair.client.ipv6} ${pair.server.ipv6}`,
    ]);
    expect(exchanges.map((e) => e.process?.cgroup).sort()).toEqual(
      [asking.name, asking.name, serving.name, serving.name].sort(),
    );
    expect(summary.losses).toEqual([]);
  });
});

describe('connections older than the agent', () => {
  when(it, ...live)('are joined at the next message', async () => {
    await using cgroup = new Cgroup('servers');
    await using server = await nodeSite({ cgroup });
    const starting = server.logged(1).then(() => Agent.start({ cgroups: [cgroup] }));
    const older = raw(server.port, [
      { send: get('/small', 'before') },
      { until: 'small\n' },
      { after: starting },
      { send: get('/small', 'after-1') },
      { until: 'small\n' },
      { send: get('/count', 'after-2') },
      { until: '}\n' },
    ]);
    await using agent = await starting;
    await older;
    const { exchanges, summary } = await agent.stop();
    expect(exchanges.map(id)).toEqual(['after-1', 'after-2']);
    expect(exchanges).toMatchObject([
      { outcome: 'complete', losses: [] },
      { outcome: 'complete', losses: [] },
    ]);
    expect(summary.connections).toBe(1);
  });
});

describe('a gateway', () => {
  when(
    it,
    ...live,
    'nginx',
  )('is seen on both legs, as server and as client of one process group', async () => {
    await using behind = new Cgroup('servers');
    await using front = new Cgroup('servers');
    await using upstream = await nodeSite({ cgroup: behind });
    await using gateway = await nginx({ cgroup: front, upstream: upstream.port });
    await using agent = await Agent.start({ cgroups: [front] });
    await raw(gateway.port, [{ send: get('/bytes/10', 'legs') }, { until: 'bbbbbbbbbb' }]);
    const { exchanges } = await agent.stop();
    const legs = exchanges.map((e) => [
      e.side,
      e.server.port,
      e.request.target,
      e.response?.body_bytes,
      e.process?.name,
    ]);
    expect(legs.sort()).toEqual([
      ['client', upstream.port, '/bytes/10', 10, 'nginx'],
      ['server', gateway.port, '/bytes/10', 10, 'nginx'],
    ]);
  });
});
