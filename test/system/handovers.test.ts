/** Connections that change hands: who serves is who wrote, whoever accepted. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent, askedId, field } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { shapedCalls } from '../rig/clients/shapes.ts';
import { findProgram, when } from '../rig/need.ts';
import { TlsHome } from '../rig/tls/servers.ts';

const six = Array.from({ length: 6 }, () => ({ path: '/small' }));

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'openssl',
  'python3',
)('a socket that another process accepted and passed on', async () => {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('handed');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const program = join(import.meta.dirname, '../rig/servers/handed.py');
  const server = await home.serve('handed', (port) => [findProgram('python3')!, program, port], cgroup);
  for (const connection of ['a', 'b', 'c']) await shapedCalls(server.port, connection, six);
  await agent.until((seen) => seen.length >= 18);
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  expect(exchanges.map(askedId)).toEqual(['a', 'b', 'c'].flatMap((name) => six.map((_, i) => `${name}-${i + 1}`)));
  for (const x of exchanges) {
    expect(x).toMatchObject({ outcome: 'complete', losses: [], process: { cgroup: cgroup.name, evidence: 'writer' } });
    expect(String(x.process!.pid)).toBe(field(x.response, 'x-pid'));
  }
  expect(new Set(exchanges.map((x) => x.process!.pid)).size).toBe(3);
});
