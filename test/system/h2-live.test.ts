/** HTTP/2 as the kernel hands it over: both sides of every call, none lost and none mixed up, by the ids in it. */
import { join } from 'node:path';
import { expect, test as it } from 'vitest';
import { Agent, field } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import type { Truth } from '../rig/h2/node-peers.ts';
import { when } from '../rig/need.ts';
import { must } from '../rig/program.ts';

const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');

when(
  it,
  'root',
  'cgroup2',
  'bpf',
)('100 streams at once, with bodies larger than the window', async () => {
  await using cgroup = new Cgroup('h2');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const said = JSON.parse(
    await must([NODE, join(import.meta.dirname, '../rig/h2/node-peers.ts')], { cgroup }),
  ) as Truth[];
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  for (const side of ['server', 'client']) {
    const calls = exchanges.filter((x) => x.side === side);
    expect(calls.length).toBe(said.length);
    const byId = new Map(calls.map((x) => [field(x.request, 'x-id'), x]));
    for (const call of said) {
      const x = byId.get(call.id);
      expect(x, `${side} ${call.id} ${call.path}`).toMatchObject({
        protocol: 'h2c',
        outcome: call.outcome,
        request: { method: call.method, target: call.path },
        losses: [],
      });
      if (call.outcome !== 'complete') continue;
      expect(x!.request.body_bytes).toBe(call.sent);
      expect(field(x!.response, 'x-id')).toBe(call.id);
      expect(x!.response).toMatchObject({ status: call.status, body_bytes: call.received });
    }
  }
});
