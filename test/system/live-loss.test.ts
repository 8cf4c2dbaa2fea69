/** Loss, duplication and reordering on the cable between two hosts: TCP mends it, and what is recorded stays right. */
import { describe, expect, it } from 'vitest';
import { Agent, field } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { requests } from '../rig/clients/plan.ts';
import { when } from '../rig/need.ts';
import { NetnsPair } from '../rig/netns.ts';
import { must } from '../rig/program.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { echoServer } from './live/echo.ts';
import { load } from './live/load.ts';
import { eventually, expectConserved, expectNeverWrong, statusOf } from './live/truth.ts';
import { spoil } from './loss-injection/cable.ts';

const needs = ['root', 'cgroup2', 'bpf', 'netns', 'nginx', 'clang', 'tc'] as const;

describe.each(['ipv4', 'ipv6'] as const)('%s, every 13th packet lost and every 7th sent twice', (family) => {
  when(it, ...needs)('small calls, pipelined and not: each side once, and right', async () => {
    await using pair = await NetnsPair.create();
    await spoil([pair.client, pair.server]);
    await using serving = new Cgroup('lossy');
    await using asking = new Cgroup('lossy');
    await using server = await echoServer({ cgroup: serving, netns: pair.server.netns });
    await using agent = await Agent.start({ cgroups: [serving, asking] });
    const place = { cgroup: asking, netns: pair.client.netns };
    const plan = { port: server.port, host: pair.server[family], connections: 16, mix: true };
    const one = await load({ ...plan, each: 10, prefix: 'a' }, place);
    const two = await load({ ...plan, each: 24, depth: 4, prefix: 'b' }, place);
    expect([...one.errors, ...two.errors]).toEqual([]);
    const sent = one.sent + two.sent;
    expect(await server.logged(sent)).toHaveLength(sent);
    // Segments may still be sent again while the counters are read.
    await eventually(async () => expectConserved(await statusOf(agent)));
    const retransmitted = await must([
      'nsenter',
      `--net=/run/netns/${pair.server.netns}`,
      '--',
      'nstat',
      '-asz',
      'TcpRetransSegs',
    ]);
    expect(Number(/TcpRetransSegs\s+(\d+)/.exec(retransmitted)![1])).toBeGreaterThan(3);
    const { exchanges } = await agent.stop();
    expectNeverWrong(exchanges);
    for (const side of ['server', 'client']) expect(exchanges.filter((e) => e.side === side)).toHaveLength(sent);
    // Each host sees all bytes in the end: nothing may be missing from any record.
    expect(exchanges.filter((e) => e.losses.length > 0 || e.outcome !== 'complete')).toEqual([]);
    const addresses = new Set(exchanges.map((e) => `${e.client.address} ${e.server.address}`));
    expect([...addresses]).toEqual([`${pair.client[family]} ${pair.server[family]}`]);
  });
});

when(
  it,
  ...needs,
  'python3',
)('large bodies over many segments, both ways', async () => {
  await using pair = await NetnsPair.create();
  await spoil([pair.client, pair.server]);
  await using serving = new Cgroup('lossy');
  await using asking = new Cgroup('lossy');
  await using server = await nodeSite({ cgroup: serving, netns: pair.server.netns });
  await using agent = await Agent.start({ cgroups: [serving, asking] });
  const base = `http://${pair.server.ipv4}:${server.port}`;
  const upload = 'u'.repeat(120_000);
  const calls = [
    { url: `${base}/bytes/200000` },
    { url: `${base}/chunked/600` },
    { method: 'POST', url: `${base}/sink`, body: upload },
    { method: 'POST', url: `${base}/sink`, body: upload, chunked: true },
    { url: `${base}/small` },
  ].map((call, i) => ({ ...call, headers: { 'X-Request-Id': `big-${i}` } }));
  const answers = await requests(calls, { cgroup: asking, netns: pair.client.netns });
  expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  const { exchanges } = await agent.stop();
  for (const side of ['server', 'client']) {
    const mine = exchanges.filter((e) => e.side === side);
    expect(mine.map((e) => field(e.request, 'x-request-id'))).toEqual(['big-0', 'big-1', 'big-2', 'big-3', 'big-4']);
    for (const [i, e] of mine.entries()) {
      if (e.losses.length > 0) continue;
      expect(e.response!.body_bytes).toBe(answers[i]!.body.length);
      expect(e.request.body_bytes).toBe(i === 2 || i === 3 ? upload.length : 0);
    }
  }
});
