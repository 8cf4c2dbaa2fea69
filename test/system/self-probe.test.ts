/** R15: an agent that sees nothing says so in `status`. */
import { rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { eventually, statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;

when(it, ...needs)('inside what it observes, the agent sees a call of its own, and counts it nowhere', async () => {
  await using cgroup = new Cgroup('probe');
  await using agent = await Agent.start({ cgroups: [cgroup], inside: cgroup });
  const seen = async (): Promise<number> => (await statusOf(agent)).ledger.captured.seen.segments;
  await eventually(async () => expect(await seen()).toBe(4));
  // Request and answer, each at both ends: the last thing to come is told within a look at the ring.
  await sleep(1_000);
  const status = await statusOf(agent);
  expect(status.ledger.captured.seen.segments).toBe(4);
  expect(status).toMatchObject({ ready: true, problems: [], ledger: { exchanges: 0, losses: [] } });
  expect((await agent.stop()).exchanges).toEqual([]);
});

when(it, ...needs)('a cgroup that is removed, and made again: not ready, and why', async () => {
  await using parent = new Cgroup('probe');
  const [gone, stays] = [parent.child('gone'), parent.child('stays')];
  await using agent = await Agent.start({ cgroups: [gone, stays] });
  expect(await statusOf(agent)).toMatchObject({ ready: true, problems: [] });
  rmdirSync(gone);
  parent.child('gone');
  const one = await eventually(async () => {
    const status = await statusOf(agent);
    expect(status.problems).toEqual([expect.stringContaining(`cgroup ${parent.name}/gone was removed`)]);
    return status;
  });
  expect([one.ready, one.cgroups.map(({ attached }) => attached)]).toEqual([true, [false, true]]);
  rmdirSync(stays);
  await eventually(async () => {
    const none = await statusOf(agent);
    expect([none.ready, none.problems.length]).toEqual([false, 2]);
  });
});
