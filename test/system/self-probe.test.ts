/** R15: an agent that sees nothing says so in `status`. */
import { rmdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;
/** The first probe is made 2 s after the start. */
const PROBED_MS = 6_000;

when(it, ...needs)('inside what it observes, the agent sees a call of its own, and counts it nowhere', async () => {
  await using cgroup = new Cgroup('probe');
  await using agent = await Agent.start({ cgroups: [cgroup], inside: cgroup });
  const seen = async (): Promise<number> => (await statusOf(agent)).ledger.captured.seen.segments;
  for (let i = 0; i < PROBED_MS / 100 && (await seen()) < 4; i++) await sleep(100);
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
  await sleep(1_500);
  const one = await statusOf(agent);
  expect(one.problems).toEqual([expect.stringContaining(`cgroup ${parent.name}/gone was removed`)]);
  expect([one.ready, one.cgroups.map(({ attached }) => attached)]).toEqual([true, [false, true]]);
  rmdirSync(stays);
  await sleep(1_500);
  const none = await statusOf(agent);
  expect([none.ready, none.problems.length]).toEqual([false, 2]);
});
