/** R14 in short: thousands of connections leave neither descriptors nor memory behind. */
import { readdirSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { wrk } from '../rig/clients/wrk.ts';
import { when } from '../rig/need.ts';
import { echoServer } from './live/echo.ts';
import { pidOf, settled } from './live/truth.ts';

const MIB = 1 << 20;

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'wrk',
)('connections that come and go leave nothing behind', async () => {
  await using cgroup = new Cgroup('soak');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const url = `http://127.0.0.1:${server.port}/echo/x`;
  const round = (): Promise<unknown> => wrk({ url, seconds: 2, connections: 8, headers: { Connection: 'close' } });
  const look = async (): Promise<{ descriptors: number[]; rss: number; total: number; open: number }> => {
    const status = await settled(agent);
    const pids = [pidOf(status, 'attacher'), pidOf(status, 'pipeline')];
    return {
      descriptors: pids.map((pid) => readdirSync(`/proc/${pid}/fd`).length),
      rss: status.processes.reduce((sum, { rss_bytes }) => sum + rss_bytes, 0),
      total: status.connections.total,
      open: status.connections.open,
    };
  };
  await round();
  const before = await look();
  await round();
  await round();
  const after = await look();
  expect(after.total - before.total).toBeGreaterThan(2_000);
  expect(after.open).toBe(0);
  expect(after.descriptors).toEqual(before.descriptors);
  expect(after.rss - before.rss).toBeLessThan(64 * MIB);
});
