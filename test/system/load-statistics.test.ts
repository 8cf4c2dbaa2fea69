/** Latency under load of a real server whose capacity is known: the report finds its knee and its curve. */
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
  await using agent = await Agent.start({ cgroups: [serving], args: ['--listen', listen] });
  const truth = new Map<number, number>();
  for (const connections of CONNECTIONS) {
    const { perSecond } = await wrk({ url: `http://127.0.0.1:${port}/work`, seconds: 2, connections });
    truth.set(connections, perSecond);
  }
  // wrk leaves calls on their way: the numbers are asked for when the last one has ended.
  await agent.untilStatus('every call ended', ({ connections }) => connections.open === 0);
  const report = (await (await fetch(`http://${listen}/api/v1/report`)).json()) as Report;
  const { load } = report.routes.find(({ side, route }) => side === 'server' && route === '/work')!;
  const at = (n: number) => load.buckets.find((bucket) => bucket.in_flight === n)!;
  // The knee is where throughput bought with response time is best by the client's own count (X / R, and R = N / X), or next to it: a machine
  // that others use too gives a level less than its due now and then.
  const power = (connections: number): number => truth.get(connections)! ** 2 / connections;
  const best = Math.max(...CONNECTIONS.map(power));
  expect(power(load.knee!.in_flight) / best, `${load.knee!.in_flight}: ${[...truth]}`).toBeGreaterThan(0.6);
  expect(load.knee!.in_flight).toBeGreaterThan(1);
  expect(load.knee!.in_flight).toBeLessThan(16);
  expect(load.knee!.throughput_per_s / truth.get(load.knee!.in_flight)!).toBeGreaterThan(0.8);
  expect(load.knee!.throughput_per_s / truth.get(load.knee!.in_flight)!).toBeLessThan(1.2);
  expect(at(16).p50_ns).toBeGreaterThan(at(2).p50_ns);
  expect(load.little_error!).toBeLessThan(0.1);
  // Every level has the throughput that its client measured, however many answers come at once.
  for (const [connections, perSecond] of truth) {
    const { throughput_per_s: found } = at(connections);
    expect(found! / perSecond, `at ${connections}`).toBeGreaterThan(0.8);
    expect(found! / perSecond, `at ${connections}`).toBeLessThan(1.2);
  }
  // The curve is that of what the client measured, from one call at a time on.
  expect(load.usl_missing).toBe('');
  const { lambda, sigma, kappa } = load.usl!;
  for (const [n, perSecond] of truth) {
    const fitted = (lambda * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1));
    expect(fitted / perSecond, `fitted at ${n}: ${[...truth]}`).toBeGreaterThan(0.6);
    expect(fitted / perSecond, `fitted at ${n}: ${[...truth]}`).toBeLessThan(1.6);
  }
});
