/**
 * R7: offered = emitted + losses, without a difference. What was offered is what the client itself has counted; what
 * the kernel has seen must be in exactly one of its classes; what a record says must be right, or it says what it misses.
 */
import { expect, it } from 'vitest';
import type { AgentStatus } from '../../src/model/status.ts';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import type { Server } from '../rig/servers/server.ts';
import { echoServer } from './live/echo.ts';
import { Load, type LoadResult, load } from './live/load.ts';
import { answered, expectConserved, expectNeverWrong, idIn, pidOf, settled, statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf', 'nginx'] as const;
/** More than a kilobyte each, with both of its sides: several times what the largest ring here holds. */
const CALLS_UNREAD = 4_000;
const CALLS_AFTER = 500;

when(it, ...needs)('everything is captured: both sides of every call, once', async () => {
  await using cgroup = new Cgroup('conserve');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 64MiB\n' });
  const {
    sent,
    answered: got,
    errors,
  } = await load({ port: server.port, connections: 8, each: 300, depth: 3, mix: true }, { cgroup });
  expect([got, errors]).toEqual([sent, []]);
  expect(await server.logged(sent)).toHaveLength(sent);
  await agent.until((exchanges) => exchanges.length >= 2 * sent);
  const status = await statusOf(agent);
  expectConserved(status);
  expect(status.ledger).toMatchObject({
    exchanges: 2 * sent,
    requests: { seen: 2 * sent, lost: 0 },
    responses: { seen: 2 * sent, lost: 0 },
    losses: [],
    unseen_bytes_estimate: 0,
  });
  const { exchanges, summary } = await agent.stop();
  expectNeverWrong(exchanges);
  for (const side of ['server', 'client']) expect(exchanges.filter((e) => e.side === side)).toHaveLength(sent);
  expect(exchanges.filter((e) => e.losses.length > 0)).toEqual([]);
  expect(summary).toMatchObject({ connections: 16, exchanges: 2 * sent, losses: [] });
  expect(summary.segments).toBe(status.ledger.captured.seen.segments);
  expect(summary.bytes).toBe(status.ledger.captured.seen.bytes);
});

when(it, ...needs)('a ring far too small, and nobody who reads it: what is missing is counted and marked', async () => {
  await farTooSmall(async (running, resume, server) => {
    resume();
    await answered(server, CALLS_AFTER);
    return await running.finish();
  });
});

when(it, ...needs)('the same, and every connection ends while nobody reads', async () => {
  // No FIN finds room in the ring, and only some of the closings.
  const { exchanges, connections } = await farTooSmall(async (running, resume) => {
    const result = await running.finish();
    resume();
    return result;
  });
  expect(connections.open).toBe(0);
  expect(exchanges.filter(({ outcome }) => outcome === 'open')).toEqual([]);
});

/** Stops the pipeline under load; `end` lets it go on, and ends the load. */
async function farTooSmall(
  end: (running: Load, resume: () => void, server: Server) => Promise<LoadResult>,
): Promise<{ exchanges: readonly LoggedExchange[]; connections: AgentStatus['connections'] }> {
  await using cgroup = new Cgroup('conserve');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 64KiB\n' });
  await using running = new Load({ port: server.port, connections: 16, mix: true }, { cgroup });
  const pipeline = pidOf(await statusOf(agent), 'pipeline');
  await agent.until((exchanges) => exchanges.length > 100);
  process.kill(pipeline, 'SIGSTOP');
  await answered(server, CALLS_UNREAD);
  const { sent, answered: got, errors } = await end(running, () => process.kill(pipeline, 'SIGCONT'), server);
  expect([got, errors]).toEqual([sent, []]);
  const status = await settled(agent);
  expectConserved(status);
  const { captured, requests, responses, unseen_bytes_estimate } = status.ledger;
  const missed = captured.shed.bytes + captured.lost.bytes + captured.window.bytes;
  expect(missed).toBeGreaterThan(10 * (64 << 10));
  // The estimate from acknowledgements knows nothing of the kernel's counters.
  expect(Math.abs(unseen_bytes_estimate - missed) / missed).toBeLessThan(0.001);
  const { exchanges, summary } = await agent.stop();
  // Every message was read, or is counted as lost: both sides of every call. (Calls whose end is among the lost bytes
  // are written when the agent ends.)
  const read = (kind: 'request' | 'response'): number => exchanges.filter((e) => e[kind] !== null).length;
  expect(read('request') + requests.lost).toBe(2 * sent);
  expect(read('response') + responses.lost).toBe(2 * sent);
  expectNeverWrong(exchanges);
  expect(summary.exchanges).toBe(exchanges.length);
  expect(exchanges.length).toBeLessThan(2 * sent);
  expect(summary.losses.reduce((n, { bytes }) => n + bytes, 0)).toBeGreaterThanOrEqual(missed);
  return { exchanges, connections: status.connections };
}

when(it, ...needs)('the same with pipelining: a hole never shifts later pairs unmarked', async () => {
  await using cgroup = new Cgroup('conserve');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 1MiB\n' });
  // Each client is seen to pipeline before the first hole; after that they slide, and send in bursts as it comes.
  await using running = new Load({ port: server.port, connections: 8, depth: 3, mix: true, warmMs: 800 }, { cgroup });
  const inFirstBurst = (exchange: LoggedExchange): boolean => /^c\d-[012]$/.test(idIn(exchange));
  await agent.until((exchanges) => exchanges.filter(inFirstBurst).length === 2 * 8 * 3);
  const pipeline = pidOf(await statusOf(agent), 'pipeline');
  await answered(server, CALLS_AFTER);
  process.kill(pipeline, 'SIGSTOP');
  await answered(server, CALLS_UNREAD);
  process.kill(pipeline, 'SIGCONT');
  await answered(server, CALLS_AFTER);
  const { sent, answered: got, errors } = await running.finish();
  expect([got, errors]).toEqual([sent, []]);
  expectConserved(await settled(agent));
  const { exchanges } = await agent.stop();
  expectNeverWrong(exchanges);
  expect(exchanges.some((e) => e.losses.length > 0)).toBe(true);
});
