/** R10: whatever happens to the agent under load, the clients notice nothing, nothing stays attached, and it can start again. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { echoServer } from './live/echo.ts';
import { Load } from './live/load.ts';
import {
  answered,
  eventually,
  expectConserved,
  expectNeverWrong,
  idIn,
  pidOf,
  settled,
  statusOf,
} from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf', 'nginx', 'bpftool'] as const;
const attached = async (cgroup: Cgroup): Promise<string> =>
  (await must(['bpftool', 'cgroup', 'show', cgroup.path])).trim();
/** Several times what the ring holds. */
const CALLS_UNREAD = 2_000;
const CONNECTIONS = [0, 1, 2, 3, 4, 5, 6, 7];
const isServers = ({ side }: LoggedExchange): boolean => side === 'server';
const isOf = (connection: number, exchange: LoggedExchange): boolean =>
  isServers(exchange) && idIn(exchange).startsWith(`k${connection}-`);
const lateOf = (exchanges: readonly LoggedExchange[]): readonly LoggedExchange[] =>
  exchanges.filter(isServers).slice(-100);
const isNamed = ({ process }: LoggedExchange): boolean => process?.name === 'nginx';
const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));

describe.each(['pipeline', 'attacher'] as const)('SIGKILL of the %s', (role) => {
  when(it, ...needs)('under load: no failed request, nothing left, and a new start joins', async () => {
    await using cgroup = new Cgroup('kill');
    await using server = await echoServer({ cgroup });
    await using running = new Load({ port: server.port, connections: 8, prefix: 'k', paceMs: 1 }, { cgroup });
    const pids: number[] = [];
    {
      await using agent = await Agent.start({ cgroups: [cgroup] });
      await agent.until((exchanges) => exchanges.length > 50);
      const status = await statusOf(agent);
      pids.push(pidOf(status, 'attacher'), pidOf(status, 'pipeline'));
      expect(await attached(cgroup)).toContain('headwater');
      process.kill(pidOf(status, role), 'SIGKILL');
      await eventually(async () => expect(await attached(cgroup)).toBe(''));
      // A pipeline that outlives the attacher writes out what it has.
      await eventually(() => expect(pids.filter(alive)).toEqual([]));
    }
    await using again = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 64MiB\n' });
    // Every connection is joined, and each has the name of its server by now.
    await again.until((exchanges) => {
      const connections = CONNECTIONS.map((number) => exchanges.filter((e) => isOf(number, e)));
      return [lateOf(exchanges), ...connections].every((calls) => calls.length > 1 && calls.slice(-100).every(isNamed));
    });
    const { sent, answered: got, errors } = await running.finish();
    expect([got, errors]).toEqual([sent, []]);
    const { exchanges } = await again.stop();
    // Every connection is older than this agent: from its first whole call on, all of them are there.
    const seen = exchanges.filter(isServers);
    for (const number of CONNECTIONS) {
      const numbers = seen.filter((e) => isOf(number, e)).map((e) => Number(idIn(e).split('-')[1]));
      expect(numbers.length).toBeGreaterThan(1);
      expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
    }
    expectNeverWrong(exchanges.filter((e) => e.request !== null && e.response !== null));
    const late = lateOf(exchanges);
    expect(late.map((e) => e.process?.name)).toEqual(late.map(() => 'nginx'));
    expect(late.map((e) => e.service)).toEqual(late.map(() => `nginx:${server.port}`));
  });
});

when(it, ...needs)(
  'SIGSTOP of the pipeline for thousands of calls: traffic goes on, and every call is recorded or counted',
  async () => {
    await using cgroup = new Cgroup('stop');
    await using server = await echoServer({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 256KiB\n' });
    await using running = new Load({ port: server.port, connections: 8, prefix: 's' }, { cgroup });
    await agent.until((exchanges) => exchanges.length > 50);
    const pipeline = pidOf(await statusOf(agent), 'pipeline');
    process.kill(pipeline, 'SIGSTOP');
    await answered(server, CALLS_UNREAD);
    process.kill(pipeline, 'SIGCONT');
    const { sent, answered: got, errors } = await running.finish();
    expect([got, errors]).toEqual([sent, []]);
    const status = await settled(agent);
    expectConserved(status);
    expect(status.ledger.requests.lost).toBeGreaterThan(0);
    const { exchanges } = await agent.stop();
    expectNeverWrong(exchanges);
  },
);
