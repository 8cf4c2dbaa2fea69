/** `headwater demo` as a user runs it: what it shows, and that nothing of it stays. */
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { unifiedMount } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { Program, run } from '../rig/program.ts';

const command = [join(import.meta.dirname, '../../bin/headwater'), 'demo'];
const needs = ['root', 'cgroup2', 'bpf'];

/** Cgroups and folders of demos that run or were left behind. */
const traces = (): string[] =>
  [unifiedMount()!, tmpdir()].flatMap((folder) =>
    readdirSync(folder).filter((name) => name.startsWith('headwater-demo-')),
  );

when(it, ...needs)('shows both legs of every call, redacted, the ledger and the five statistics', async () => {
  const before = traces();
  const { code, stdout, stderr } = await run(command);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  for (let call = 1; call <= 7; call++) expect(stdout).toContain(`\n── ${call}  `);
  expect(stdout.match(/client → gateway {2}/g)).toHaveLength(7);
  // One call was tried twice.
  expect(stdout.match(/gateway → provider(, attempt 2)? {2}/g)).toHaveLength(8);
  expect(stdout).toMatch(
    /authorization: Bearer sk-\[fp:[0-9a-f]{16}\] += authorization: Bearer sk-\[fp:[0-9a-f]{16}\]/,
  );
  expect(stdout).toMatch(/\n +\+ x-api-key: sk-ant-\[fp:[0-9a-f]{16}\]\n/);
  expect(stdout).not.toMatch(/not-a-real-key|not-a-real-cookie/);
  expect(stdout).toContain('429 Too Many Requests');
  expect(stdout).toContain('503 Service Unavailable');
  expect(stdout).toContain('7 made, 7 captured, with 8 calls upstream');
  expect(stdout).toMatch(/losses +none\n/);
  const [, busyMade, busyCaptured] = /busy +([\d,]+) made, ([\d,]+) captured/.exec(stdout)!;
  expect(busyCaptured).toBe(busyMade);
  const statistics = stdout.slice(stdout.indexOf('── Statistics of the gateway')).replace(/\n +/g, ' ');
  const told = [...stdout.matchAll(/ at a time: (\d+) calls/g)].map(([, calls]) => Number(calls));
  expect(told).toHaveLength(6);
  const busy = told.reduce((sum, calls) => sum + calls, 0);
  expect(busyMade).toBe(busy.toLocaleString('en-US'));
  const all = (busy + 7).toLocaleString('en-US');
  expect(statistics).toMatch(
    /response time +POST \/v1\/chat\/completions: [\d,]+ calls, p50 \S+, p95 \S+, p99 \S+, max /,
  );
  expect(statistics).toMatch(new RegExp(`errors +2 of ${all} calls: .*404 1x, 429 1x`));
  expect(statistics).toMatch(/traffic +\d+\.\d calls\/s on \d+ connections/);
  expect(statistics).toMatch(/under load +p50\/p95 with so many calls in flight: 1: .* 16: [^;]+; best at /);
  expect(statistics).toMatch(/headers +\d+ names in both directions: \d+ constant/);
  expect(statistics).toMatch(
    /changed: x-client-version in requests of \/v1\/chat\/completions: 1\.4\.0 > 1\.5\.0, see call /,
  );
  expect(stdout).not.toContain('\u001b');
  expect(traces()).toEqual(before);
});

when(it, ...needs)('takes everything away when it is interrupted', async () => {
  const before = traces();
  await using demo = new Program(command);
  await demo.until('its first call', () => demo.stdout.includes('  1  OpenAI SDK'));
  const ended = await demo.stop('SIGINT');
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain('the demo was interrupted');
  expect(traces()).toEqual(before);
});

when(
  it,
  'root',
  'cgroup2',
  'readable',
)('says what is missing without rights, with exit code 3', async () => {
  const before = traces();
  const { code, stderr } = await run(['setpriv', '--reuid', '65534', '--clear-groups', ...command]);
  expect(stderr).toMatch(/^headwater: cannot make the cgroup .*EACCES\n {2}run the demo as root/);
  expect(code).toBe(3);
  expect(traces()).toEqual(before);
});
