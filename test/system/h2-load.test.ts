/** HTTP/2 under load, live: at a rate that the machine carries nothing is lost; beyond it, what is missing has a reason and nothing is mixed up. */
import { writeFileSync } from 'node:fs';
import { expect, test as it } from 'vitest';
import { Agent, field, type Log } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';

const URLS = 5_000;

/** `calls` by h2load, 10 streams on each of 10 connections, to nginx, which says in its answer what it was asked. */
async function logged(calls: number, config: string, ...pace: string[]): Promise<Log> {
  using folder = new Folder();
  await using cgroup = new Cgroup('h2-load');
  const port = await freePort();
  const conf = folder.file('nginx.conf');
  writeFileSync(
    conf,
    `daemon off; pid ${folder.file('pid')}; error_log ${folder.file('err')}; events {}
     http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:${port} http2;
       location / { add_header X-Id $arg_id; return 200 "$arg_id"; } } }`,
  );
  const urls = folder.file('urls');
  writeFileSync(urls, Array.from({ length: URLS }, (_, i) => `http://127.0.0.1:${port}/a?id=${i}\n`).join(''));
  await using server = new Program([findProgram('nginx')!, '-c', conf], { cgroup });
  const ask = async (): Promise<boolean> =>
    (await run(['curl', '-s', '--http2-prior-knowledge', `http://127.0.0.1:${port}/`])).code === 0;
  await server.until('answer', ask);
  await using agent = await Agent.start({ cgroups: [cgroup], config });
  const said = await must(['h2load', '-n', `${calls}`, '-c', '10', '-m', '10', ...pace, '-i', urls], {
    timeoutMs: 200_000,
  });
  expect(said).toContain(`${calls} succeeded`);
  return await agent.stop();
}

/** No call has another one's answer; a call that is not whole says what is missing. */
function expectNoneMixed({ exchanges }: Log): void {
  const wrong = exchanges.filter(({ request, response, outcome, losses }) => {
    if (losses.length > 0) return false;
    const id = request?.target.split('=')[1];
    return outcome !== 'complete' || response?.body_bytes !== id?.length || field(response, 'x-id') !== id;
  });
  expect(wrong).toEqual([]);
  // What was lost may leave a call without a half, or without names, but never with another's.
  const mixed = exchanges.filter(({ request, response }) => {
    const id = field(response, 'x-id');
    return request !== null && request.target !== '' && id !== undefined && id !== request.target.split('=')[1];
  });
  expect(mixed).toEqual([]);
}

const needs = when(it, 'root', 'cgroup2', 'bpf', 'nginx', 'h2load', 'curl');

// With room for all of them: how long a busy machine lets the pipeline wait is not what is asked.
needs('at 4,000 calls/s: each one, exactly', async () => {
  const log = await logged(12_000, 'capture:\n  ring: 64MiB\n', '--rps', '400');
  expect(log.summary.losses).toEqual([]);
  expect(log.exchanges.length).toBe(12_000);
  expectNoneMixed(log);
});

needs('as fast as h2load can: nothing is mixed up, and nothing is missing without a reason', async () => {
  const calls = 60_000;
  const log = await logged(calls, '');
  expectNoneMixed(log);
  expect(log.exchanges.length).toBeLessThanOrEqual(calls);
  if (log.summary.losses.length === 0) expect(log.exchanges.length).toBe(calls);
  else expect(log.summary.losses.every(({ reason }) => LOSSES_UNDER_LOAD.has(reason))).toBe(true);
});

const LOSSES_UNDER_LOAD: ReadonlySet<string> = new Set([
  'ring_full',
  'shed_body',
  'shed_head',
  'gap',
  'desync',
  'window',
  'hpack_context_lost',
  // The closing found no room in the ring.
  'end_unseen',
  'log_queue_full',
]);
