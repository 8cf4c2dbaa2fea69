/**
 * R7 where nobody accepts: the accept queue is full, requests reach the listening socket again and again, and most of what is seen
 * finds no room in the ring. Each request is one, however often it came and whatever became of its copies.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';
import { expectConserved, pidOf, settled, statusOf } from './live/truth.ts';

const CLIENTS = 60;
const PAD_BYTES = 2_000;
/** Where the kernel has no bound on it the time between copies doubles with each. */
const PATIENCE_MS = 120_000;
const SCRIPT = join(import.meta.dirname, 'live/deferred.py');
/** When the ring is read: copies of one request are all told, some of them, or none. */
const READS = ['all the time', 'between the copies', 'after the answers'] as const;

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'python3',
)('a full accept queue and a ring of 64 KiB: every request and every connection is counted once', async () => {
  await using cgroup = new Cgroup('backlog');
  await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 64KiB\n' });
  const pipeline = pidOf(await statusOf(agent), 'pipeline');
  for (const reads of READS) {
    await using both = new Program(['python3', SCRIPT, String(CLIENTS), String(PAD_BYTES)], { cgroup });
    const said = (word: string): Promise<void> => both.until(word, () => both.stdout.includes(word), PATIENCE_MS);
    await said('connected');
    if (reads !== 'all the time') process.kill(pipeline, 'SIGSTOP');
    both.stdin.write('send\n');
    await said('sent');
    if (reads === 'between the copies') process.kill(pipeline, 'SIGCONT');
    both.stdin.write('accept\n');
    await said(`answered ${CLIENTS}`);
    if (reads === 'after the answers') process.kill(pipeline, 'SIGCONT');
    both.stdin.end();
    expect(await both.wait(PATIENCE_MS)).toMatchObject({ code: 0, stderr: '' });
  }
  const status = await settled(agent);
  expectConserved(status);
  const { exchanges, summary } = await agent.stop();
  const ends = 2 * READS.length * CLIENTS;
  const read = (kind: 'request' | 'response'): number => exchanges.filter((e) => e[kind] !== null).length;
  const { requests, responses } = status.ledger;
  expect(requests.lost).toBeGreaterThan(0);
  expect(read('request') + requests.lost).toBe(ends);
  expect(read('response') + responses.lost).toBe(ends);
  expect([status.connections.total, summary.connections]).toEqual([ends, ends]);
  // Sent at least three times each: the copies themselves are in the ledger.
  expect(status.ledger.captured.seen.bytes).toBeGreaterThan(READS.length * CLIENTS * PAD_BYTES * 3);
});
