/** A server younger than the agent has a name from its first client on, also when that one is gone at once and the server with it. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'python3',
)('a server that listens a moment ago and never writes is known by who listens', async () => {
  await using cgroup = new Cgroup('hasty');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  await using both = new Program(['python3', join(import.meta.dirname, 'live/hasty.py')], { cgroup });
  const { code, stdout, stderr } = await both.wait(60_000);
  expect([code, stderr]).toEqual([0, '']);
  const seen = await agent.until((exchanges) => exchanges.length >= 2);
  const server = seen.find(({ side }) => side === 'server')!;
  expect(server.server.port).toBe(Number(stdout));
  expect(server.response).toBe(null);
  expect(server.process).toMatchObject({ pid: both.pid, name: 'python3', evidence: 'listener' });
  expect(server.service).toBe(`python3:${server.server.port}`);
});
