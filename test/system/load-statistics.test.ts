/** Latency under load of a real server whose capacity is known: the report finds its knee and its curve. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Report } from '../../src/query/report.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { wrk } from '../rig/clients/wrk.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { Server } from '../rig/servers/server.ts';

const PLACES = 4;
const SERVICE_MS = 10;
const CONNECTIONS = [1, 2, 3, 4, 6, 8, 16];

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'wrk',
)('the knee and the curve of a server with four places', async () => {
  await using serving = new Cgroup('load');
  const folder = new Folder();
  const port = await freePort();
  const script = `${import.meta.dirname}/prometheus/limited.ts`;
  const command = [process.execPath, script, String(port), String(PLACES), String(SERVICE_MS)];
  await using _server = await Server.start(
    { name: 'limited', port, command, log: folder.file('none'), resources: folder },
    { cgroup: serving },
  );
  const listen = `127.0.0.1:${await freePort()}`;
  await using _agent = await Agent.start({ cgroups: [serving], args: ['--listen', listen] });
  const truth = new Map<number, number>();
  for (const connections of CONNECTIONS) {
    const { perSecond } = await wrk({ url: `http://127.0.0.1:${port}/work`, seconds: 2, connections });
    truth.set(connections, perSecond);
  }
  await sleep(1_500);
  const report = (await (await fetch(`http://${listen}/api/v1/report`)).json()) as Report;
  const { load } = report.routes.find(({ side, route }) => side === 'server' && route === '/work')!;
  const at = (n: number) => load.buckets.find((bucket) => bucket.in_flight === n)!;
  // Beyond four they wait for each other: that is the knee, with the throughput that the client measured there.
  expect(load.knee!.in_flight).toBeGreaterThanOrEqual(3);
  expect(load.knee!.in_flight).toBeLessThanOrEqual(6);
  expect(load.knee!.throughput_per_s / truth.get(PLACES)!).toBeGreaterThan(0.8);
  expect(load.knee!.throughput_per_s / truth.get(PLACES)!).toBeLessThan(1.2);
  expect(at(16).p50_ns).toBeGreaterThan(2 * at(2).p50_ns);
  expect(load.little_error!).toBeLessThan(0.1);
  // Every level has the throughput that its client measured, however many answers come at once.
  for (const [connections, perSecond] of truth) {
    const { throughput_per_s: found } = at(connections);
    expect(found! / perSecond, `at ${connections}`).toBeGreaterThan(0.8);
    expect(found! / perSecond, `at ${connections}`).toBeLessThan(1.2);
  }
  // One call at a time takes ten milliseconds and a turn of the loop; four places are a limit, not a cost of each pair of calls.
  expect(load.usl_missing).toBe('');
  expect(load.usl!.r2).toBeGreaterThan(0.7);
  expect((load.usl!.lambda * SERVICE_MS) / 1_000).toBeGreaterThan(0.6);
  expect((load.usl!.lambda * SERVICE_MS) / 1_000).toBeLessThan(1.6);
  expect(load.usl!.sigma).toBeLessThan(0.6);
  expect(load.usl!.kappa).toBeLessThan(0.02);
});
