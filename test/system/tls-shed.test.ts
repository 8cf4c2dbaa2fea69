/**
 * TLS beyond what can be read: the kernel leaves out whole calls and counts them, so that what the server answered is what was read
 * and what was lost, to the last call.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Workload } from '../../bench/workload.ts';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { TlsHome } from '../rig/tls/servers.ts';
import { expectConserved, pidOf, statusOf } from './live/truth.ts';

/** For the probe on libraries that nobody ran before. */
const TAP_MS = 1_200;
/** Holes at the end of the streams are declared within a second or two. */
const SETTLE_MS = 2_500;

interface Overload {
  /** What the server has answered, by its own log. */
  readonly answered: number;
  readonly exchanges: readonly LoggedExchange[];
  readonly status: Awaited<ReturnType<typeof statusOf>>;
}

/** nginx with TLS at saturation for a second and a half, and a ring of `ring`; `stopMs`: nobody reads it for so long meanwhile. */
async function overload(ring: string, stopMs: number, protocol = 'TLSv1.3'): Promise<Overload> {
  await using home = await TlsHome.open();
  await using cgroup = new Cgroup('tls-shed');
  await using agent = await Agent.start({ cgroups: [cgroup], secrets: true, config: `capture:\n  ring: ${ring}\n` });
  const { folder, env } = home;
  const log = folder.file('answered.log');
  const tls = { certificate: folder.file('cert.pem'), key: folder.file('key.pem'), env, protocol };
  await using workload = await Workload.start(cgroup, { tls, accessLog: log });
  await sleep(TAP_MS);
  const pipeline = pidOf(await statusOf(agent), 'pipeline');
  const load = workload.load(2, 16);
  await sleep(500);
  if (stopMs > 0) {
    process.kill(pipeline, 'SIGSTOP');
    await sleep(stopMs);
    process.kill(pipeline, 'SIGCONT');
  }
  await load;
  await sleep(SETTLE_MS);
  const status = await statusOf(agent);
  const { exchanges } = await agent.stop();
  const answered = readFileSync(log, 'latin1').split('\n').length - 1;
  return { answered, exchanges, status };
}

function expectEachCounted({ answered, exchanges, status }: Overload): void {
  expectConserved(status);
  const { requests, responses } = status.ledger;
  // wrk closes its connections with a call on its way: nginx logs it, or not, after what was seen of it.
  const slack = 16;
  for (const [kind, { lost }] of [['request', requests] as const, ['response', responses] as const]) {
    const read = exchanges.filter((exchange) => exchange[kind] !== null).length;
    expect(Math.abs(read + lost - answered), `${kind}s: ${read} read, ${lost} lost of ${answered}`).toBeLessThanOrEqual(
      slack,
    );
  }
  expect(requests.lost).toBeGreaterThan(answered / 20);
  expect(exchanges.length).toBeGreaterThan(100);
  // The calls that were not left out are whole, but for answers that found no room at all: those say so.
  const broken = exchanges.filter((x) => x.losses.length > 0 || x.outcome !== 'complete');
  expect(broken.filter((x) => x.losses.length === 0).length).toBeLessThanOrEqual(slack);
  expect(broken.length).toBeLessThan(exchanges.length / 4);
  for (const { request, response } of exchanges) {
    if (request === null || response === null) continue;
    const id = request.headers.find(([name]) => name === 'X-Request-Id')![1];
    expect(response.headers.find(([name]) => name === 'X-Request-Id')![1]).toBe(id);
  }
  const ids = exchanges.map(({ request }) => request?.headers.find(([name]) => name === 'X-Request-Id')?.[1]);
  expect(new Set(ids).size).toBe(ids.length);
  expect(status.tls.missed.calls).toBe(requests.lost);
  expect(status.tls.missed.records).toBeGreaterThanOrEqual(requests.lost + responses.lost);
  expect(status.tls.unread).toEqual([]);
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'openssl',
  'wrk',
)('more TLS than can be read', () => {
  test.each(['TLSv1.3', 'TLSv1.2'])('%s: a small ring: calls are read whole or counted as lost', async (protocol) => {
    expectEachCounted(await overload('256KiB', 0, protocol));
  });

  test('nobody reads for a second: the same', async () => {
    expectEachCounted(await overload('256KiB', 1_000));
  });
});
