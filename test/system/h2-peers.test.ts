/**
 * Real HTTP/2 implementations on both ends, captured by tcpdump in a network namespace and replayed. The truth is what the
 * peers say, call by call, by the ids that headers and bodies carry: no call is lost, and none is mixed up.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Truth } from '../rig/h2/node-peers.ts';
import { findProgram, when } from '../rig/need.ts';
import { NetnsPair } from '../rig/netns.ts';
import { must, Program, run } from '../rig/program.ts';
import { type Replayed, replayed } from '../rig/replay.ts';
import { Tcpdump } from '../rig/tcpdump.ts';

const PEERS = join(import.meta.dirname, '../rig/h2');
const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const needs = when(test, 'root', 'netns', 'tcpdump');

let hosts: NetnsPair;
let folder: string;
beforeAll(async () => {
  if (process.getuid?.() !== 0) return;
  folder = mkdtempSync(join(tmpdir(), 'headwater-h2-'));
  hosts = await NetnsPair.create();
});
afterAll(async () => {
  if (folder === undefined) return;
  rmSync(folder, { recursive: true });
  await hosts[Symbol.asyncDispose]();
});

let captures = 0;

/** Captures what `work` sends over loopback, and replays it. */
async function captured<T>(work: (netns: string) => Promise<T>): Promise<{ said: T; seen: Replayed; file: string }> {
  const file = join(folder, `${++captures}.pcap`);
  const { netns } = hosts.server;
  let said: T;
  {
    await using dump = await Tcpdump.start(file, { filter: 'tcp', netns });
    said = await work(netns);
    await dump.stop();
  }
  return { said, seen: await replayed(file), file };
}

const header = (fields: readonly (readonly [string, string])[], name: string): string | undefined =>
  fields.find(([raw]) => raw.toLowerCase() === name)?.[1];

function expectTruth(said: readonly Truth[], seen: Replayed): void {
  expect(said.length).toBeGreaterThan(100);
  expect(seen.summary.losses).toEqual([]);
  expect(seen.exchanges.length).toBe(said.length);
  const byId = new Map(seen.exchanges.map((x) => [header(x.request!.headers, 'x-id'), x]));
  for (const call of said) {
    const x = byId.get(call.id);
    expect(x, call.id).toBeDefined();
    expect({ id: call.id, path: call.path, outcome: x!.outcome }).toEqual({
      id: call.id,
      path: call.path,
      outcome: call.outcome,
    });
    expect(x).toMatchObject({ protocol: 'h2c', request: { method: call.method, target: call.path }, losses: [] });
    if (call.outcome === 'complete') {
      expect(x!.request!.body_bytes).toBe(call.sent);
      expect(header(x!.response!.headers, 'x-id')).toBe(call.id);
      expect(x!.response).toMatchObject({ status: call.status, body_bytes: call.received });
    }
  }
}

needs('node:http2: 100 streams at once, resets, trailers, early hints', async () => {
  const { said, seen } = await captured(
    async (netns) => JSON.parse(await must([NODE, join(PEERS, 'node-peers.ts')], { netns })) as Truth[],
  );
  expectTruth(said, seen);
  for (const x of seen.exchanges) {
    const target = x.request!.target;
    if (target.startsWith('/trailers')) {
      expect(x.response!.trailers).toEqual([['x-sum', header(x.request!.headers, 'x-id')]]);
    }
    if (target.startsWith('/early')) {
      expect(x).toMatchObject({
        response: { interim: [{ status: 103, headers: [['link', '</a.css>; rel=preload']] }] },
      });
    }
  }
});

when(
  test,
  'root',
  'netns',
  'tcpdump',
  'go1.24',
)('Go net/http', async () => {
  const program = join(folder, 'peers');
  await must([findProgram('go')!, 'build', '-o', program, join(PEERS, 'peers.go')], {
    timeoutMs: 120_000,
    env: { GO111MODULE: 'off' },
  });
  const { said, seen } = await captured(async (netns) => JSON.parse(await must([program], { netns })) as Truth[]);
  expectTruth(said, seen);
  for (const x of seen.exchanges) expect(x.response!.trailers).toEqual([['x-sum', header(x.request!.headers, 'x-id')]]);
});

when(
  test,
  'root',
  'netns',
  'tcpdump',
  'nginx',
  'apache2',
  'h2load',
  'curl',
)('nginx by prior knowledge, Apache by Upgrade', async () => {
  const site = join(folder, 'www');
  await must(['mkdir', '-p', site]);
  await must(['chmod', '755', folder, site]);
  writeFileSync(join(site, 'a.txt'), 'a'.repeat(1_000));
  const nginx = join(folder, 'nginx.conf');
  writeFileSync(
    nginx,
    `daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err; events {}
     http { access_log off; server { listen 127.0.0.1:8082 http2; root ${site}; } }`,
  );
  const apache = join(folder, 'apache.conf');
  const modules = ['mpm_event', 'authz_core', 'http2'];
  writeFileSync(
    apache,
    `ServerRoot ${folder}\nServerName localhost\nListen 127.0.0.1:8081\nProtocols h2c http/1.1\nDocumentRoot ${site}
     PidFile ${folder}/apache.pid\nErrorLog ${folder}/apache.err\nUser www-data\nGroup www-data
     ${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}`,
  );
  const { seen } = await captured(async (netns) => {
    await using nginxProgram = new Program([findProgram('nginx')!, '-c', nginx], { netns });
    await using apacheProgram = new Program([findProgram('apache2')!, '-f', apache, '-DFOREGROUND'], { netns });
    const get = async (...args: string[]): Promise<string> =>
      (await run(['curl', '-s', '-o', '/dev/null', '-w', '%{http_version}', ...args], { netns })).stdout;
    for (const [program, port] of [
      [nginxProgram, 8082],
      [apacheProgram, 8081],
    ] as const) {
      const url = `http://127.0.0.1:${port}/a.txt`;
      await program.until('answer', async () => (await get('--http2-prior-knowledge', url)) === '2');
      await must(['h2load', '-n', '300', '-c', '3', '-m', '20', url], { netns });
    }
    expect(await get('--http2', 'http://127.0.0.1:8081/a.txt?upgraded')).toBe('2');
  });
  expect(seen.summary.losses).toEqual([]);
  for (const port of [8081, 8082]) {
    const calls = seen.exchanges.filter((x) => x.server.port === port && x.request?.target === '/a.txt');
    expect(calls.length).toBeGreaterThanOrEqual(301);
    for (const x of calls) {
      expect(x).toMatchObject({ protocol: 'h2c', outcome: 'complete', response: { status: 200, body_bytes: 1_000 } });
    }
  }
  const upgraded = seen.exchanges.filter((x) => x.request?.target === '/a.txt?upgraded');
  expect(upgraded).toMatchObject([
    {
      protocol: 'h2c',
      stream_id: 1,
      outcome: 'complete',
      losses: [],
      response: { status: 200, body_bytes: 1_000, interim: [{ status: 101 }] },
    },
  ]);
});

interface GrpcTruth {
  readonly id: string;
  readonly route: string;
  readonly status: number | null;
  readonly request: number;
  readonly response: number | null;
  readonly outcome: string;
}

function expectGrpc(said: readonly GrpcTruth[], seen: Replayed): void {
  expect(said.length).toBeGreaterThan(80);
  expect(seen.summary.losses).toEqual([]);
  expect(seen.exchanges.length).toBe(said.length);
  const byId = new Map(seen.exchanges.map((x) => [header(x.request!.headers, 'x-id'), x]));
  let late = 0;
  for (const call of said) {
    const x = byId.get(call.id);
    // A client that the machine held up between what it says and its sending resets long before what it said: nobody can tell then.
    const outcomes = call.outcome === 'timeout' ? ['timeout', 'client_abort'] : [call.outcome];
    expect(outcomes, call.id).toContain(x?.outcome);
    if (x!.outcome === 'timeout') late++;
    expect(x, call.id).toMatchObject({
      protocol: 'h2c',
      upgrade: 'grpc',
      route: call.route,
      grpc: { request_messages: call.request },
    });
    // Server and client both watch the deadline: either may say first that it passed.
    if (call.outcome === 'timeout') expect([null, 4]).toContain(x!.grpc!.status);
    else expect(x!.grpc).toMatchObject({ status: call.status, response_messages: call.response });
    // The C core leaves a space as it is, grpc-js escapes it.
    if (call.status === 9) expect(header(x!.response!.headers, 'grpc-message')).toMatch(/^not( |%20)today$/);
  }
  expect(late).toBeGreaterThan(said.filter(({ outcome }) => outcome === 'timeout').length / 2);
}

needs('grpc-js: statuses, deadlines, streams', async () => {
  const { said, seen } = await captured(
    async (netns) => JSON.parse(await must([NODE, join(PEERS, 'grpc-peers.ts')], { netns })) as GrpcTruth[],
  );
  expectGrpc(said, seen);
});

/** The distribution's, because its packages are the distribution's. */
const PYTHON = '/usr/bin/python3';
const grpcio = spawnSync(PYTHON, ['-c', 'import grpc']).status === 0;
if (!grpcio) console.warn('SKIPPED: needs python3-grpcio: run tools/setup test as root');

(grpcio ? needs : test.skip)('grpcio (the C core): statuses, deadlines, streams', async () => {
  const { said, seen } = await captured(
    async (netns) => JSON.parse(await must([PYTHON, join(PEERS, 'grpc_peers.py')], { netns })) as GrpcTruth[],
  );
  expectGrpc(said, seen);
});

when(
  test,
  'root',
  'netns',
  'tcpdump',
  'nghttpd',
  'h2load',
  'curl',
  'tshark',
)('nghttpd, h2load and curl, as tshark reads them', async () => {
  const site = join(folder, 'site');
  await must(['mkdir', '-p', site]);
  writeFileSync(join(site, 'a.txt'), 'a'.repeat(1_000));
  writeFileSync(join(site, 'b.bin'), 'b'.repeat(200_000));
  const { seen, file } = await captured(async (netns) => {
    await using server = new Program(['nghttpd', '--no-tls', '-d', site, '--push=/a.txt=/b.bin', '8080'], { netns });
    await server.until('answer', async () => {
      const { code } = await run(['curl', '-s', '--http2-prior-knowledge', 'http://127.0.0.1:8080/a.txt'], { netns });
      return code === 0;
    });
    await must(['h2load', '-n', '400', '-c', '4', '-m', '10', 'http://127.0.0.1:8080/a.txt'], { netns });
    await must(['h2load', '-n', '100', '-c', '1', '-m', '100', 'http://127.0.0.1:8080/b.bin'], { netns });
    await must(
      [
        'h2load',
        '-n',
        '100',
        '-c',
        '1',
        '-m',
        '10',
        '-d',
        join(site, 'a.txt'),
        '--header-table-size=0',
        '--encoder-header-table-size=0',
        'http://127.0.0.1:8080/none',
      ],
      { netns },
    );
  });
  expect(seen.summary.losses).toEqual([]);
  const count = (path: string, status: number, bytes?: number): number =>
    seen.exchanges.filter(
      (x) =>
        x.request?.target === path &&
        x.response?.status === status &&
        x.outcome === 'complete' &&
        (bytes === undefined || x.response.body_bytes === bytes),
    ).length;
  expect(count('/a.txt', 200, 1_000)).toBeGreaterThanOrEqual(401);
  expect(count('/b.bin', 200, 200_000)).toBeGreaterThanOrEqual(100);
  expect(count('/none', 404)).toBe(100);

  const fields = ['tcp.stream', 'http2.streamid', 'http2.headers.method', 'http2.headers.path', 'http2.headers.status'];
  const text = await must(
    [
      'tshark',
      '-r',
      file,
      '-d',
      'tcp.port==8080,http2',
      '-Y',
      'http2.type==1',
      '-T',
      'json',
      '--no-duplicate-keys',
      ...fields.flatMap((field) => ['-e', field]),
    ],
    { timeoutMs: 120_000 },
  );
  let requests = 0;
  let responses = 0;
  for (const { _source } of JSON.parse(text) as { _source: { layers: Record<string, string[]> } }[]) {
    requests += _source.layers['http2.headers.method']?.length ?? 0;
    responses += _source.layers['http2.headers.status']?.length ?? 0;
  }
  expect(seen.exchanges.filter((x) => x.request !== null && x.stream_id! % 2 === 1).length).toBe(requests);
  expect(seen.exchanges.filter((x) => x.response !== null).length).toBe(responses);
});
