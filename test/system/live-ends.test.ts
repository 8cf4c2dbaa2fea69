/** How calls end, by whom, and what streams of every shape come to: each seen from both of its ends. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { curl } from '../rig/clients/curl.ts';
import { rawProcess, type Step } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import type { ProgramOptions } from '../rig/program.ts';
import { Server } from '../rig/servers/server.ts';
import { echoServer } from './live/echo.ts';
import { statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;
const GIB = 1 << 30;

async function endsServer(options: ProgramOptions): Promise<Server> {
  const folder = new Folder();
  const port = await freePort();
  const command = [process.execPath, join(import.meta.dirname, 'live/ends.ts'), String(port)];
  return Server.start({ name: 'ends', port, command, log: folder.file('none'), resources: folder }, options);
}

const get = (path: string): Step => ({ send: `GET ${path} HTTP/1.1\r\nHost: ends.test\r\n\r\n` });

when(it, ...needs)('the outcome says who ended it and when, on both sides', async () => {
  await using cgroup = new Cgroup('ends');
  await using server = await endsServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const talk = (...steps: Step[]): Promise<unknown> => rawProcess(server.port, steps, '127.0.0.1', { cgroup });
  const cases: [path: string, steps: Step[], outcome: string, bodyBytes: number | undefined][] = [
    ['/reset-before', [{ untilEnd: true }], 'reset_before_headers', undefined],
    ['/fin-before', [{ untilEnd: true }], 'reset_before_headers', undefined],
    ['/reset-in-body', [{ untilEnd: true }], 'reset_in_body', 10],
    ['/short', [{ untilEnd: true }], 'truncated', 10],
    ['/until-fin', [{ untilEnd: true }], 'complete', 10],
    ['/until-reset', [{ untilEnd: true }], 'reset_in_body', 10],
    ['/idle', [{ until: 'ok' }, { untilEnd: true }], 'complete', 2],
    ['/half-closed', [{ halfClose: true }, { until: 'ok' }, { untilEnd: true }], 'complete', 2],
    ['/reset-after', [{ until: 'ok' }, { reset: true }], 'complete', 2],
  ];
  await Promise.all(cases.map(([path, steps]) => talk(get(path), ...steps)));
  const { exchanges, summary } = await agent.stop();
  for (const side of ['server', 'client']) {
    const said = Object.fromEntries(
      exchanges.filter((e) => e.side === side).map((e) => [e.request.target, [e.outcome, e.response?.body_bytes]]),
    );
    expect(said).toEqual(Object.fromEntries(cases.map(([path, , outcome, bytes]) => [path, [outcome, bytes]])));
  }
  expect(exchanges.filter(({ losses }) => losses.length > 0)).toEqual([]);
  for (const e of exchanges.filter(({ request }) => request.target === '/short'))
    expect(e.anomalies).toEqual(['short_body']);
  expect(summary.losses).toEqual([]);
});

when(
  it,
  ...needs,
  'curl',
)('1 GiB in chunks costs counters, and its length is exact or marked', async () => {
  await using cgroup = new Cgroup('ends');
  await using server = await endsServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const got = await curl(
    ['-o', '/dev/null', '-w', '%{size_download} %{time_total}', `http://127.0.0.1:${server.port}/huge`],
    { timeoutMs: 280_000 },
  );
  const [size, seconds] = got.stdout.split(' ').map(Number);
  expect(size).toBe(GIB);
  const [exchange] = await agent.until(({ length }) => length === 1);
  const { captured } = (await statusOf(agent)).ledger;
  expect(captured.seen.bytes).toBeGreaterThan(GIB);
  expect(captured.copied.bytes).toBeLessThan(GIB / 100);
  expect(captured.window.bytes).toBeGreaterThan(0.99 * GIB);
  if (exchange!.losses.length === 0) {
    expect(exchange!.response!.body_bytes).toBe(GIB);
    expect(exchange!.response!.trailers).toEqual([['X-End', '1']]);
    expect(exchange!.outcome).toBe('complete');
  }
  // curl's time begins before its call and ends after it: the server cannot be done while much of 1 GiB is to be read.
  const took = exchange!.timing_ns['last_response_byte']! / 1e9;
  expect(took).toBeLessThanOrEqual(seconds!);
  expect(took).toBeGreaterThan(seconds! / 2);
});

when(
  it,
  ...needs,
  'curl',
)('a long stream of events is counted to the byte', async () => {
  await using cgroup = new Cgroup('ends');
  await using server = await endsServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const args = ['--no-buffer', '-w', '%{size_download}', '-o', '/dev/null', `http://127.0.0.1:${server.port}/events`];
  expect((await curl(args)).stdout).toBe('36000');
  const { exchanges } = await agent.stop();
  expect(exchanges).toMatchObject([{ outcome: 'complete', losses: [], response: { body_bytes: 36_000 } }]);
  const { first_response_byte: first, last_response_byte: last } = exchanges[0]!.timing_ns;
  expect(last! - first!).toBeGreaterThan(50e6);
});

when(
  it,
  ...needs,
  'nginx',
)('a header block of 64 KiB over many segments, in pieces and at once', async () => {
  await using cgroup = new Cgroup('ends');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const fields = Array.from({ length: 8 }, (_, i) => `X-Words-${i}: ${'word '.repeat(1_600)}end\r\n`).join('');
  const request = (name: string): string =>
    `GET /${name} HTTP/1.1\r\nHost: h\r\nX-Request-Id: ${name}\r\n${fields}\r\n`;
  const options = { cgroup };
  for (const piece of [request('').length + 20, 1_000, 100])
    await rawProcess(
      server.port,
      [{ send: request(`p-${piece}`), piece }, { until: `/p-${piece}` }],
      '127.0.0.1',
      options,
    );
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  expect(exchanges).toHaveLength(6);
  for (const e of exchanges as LoggedExchange[]) {
    expect(e).toMatchObject({ outcome: 'complete', losses: [], response: { status: 200 } });
    expect(e.request.head_bytes).toBe(request(e.request.target.slice(1)).length);
    expect(e.request.headers).toHaveLength(10);
    for (const [name, value] of e.request.headers.slice(2)) expect([name, value.length]).toEqual([name, 8_003]);
  }
});
