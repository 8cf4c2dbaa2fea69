/** Connections that are older than the agent: what can be read of them is, and what cannot be is named. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, Program } from '../rig/program.ts';
import { expectConserved, statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;
const CALLS = 5;

class Joined implements AsyncDisposable {
  readonly program: Program;
  #calls = 0;

  constructor(args: readonly string[], cgroup: Cgroup) {
    this.program = new Program([process.execPath, join(import.meta.dirname, 'live/joined.ts'), ...args], { cgroup });
  }

  /** The next call was answered. */
  async answered(): Promise<void> {
    const line = `/call/${this.#calls++}\n`;
    await this.program.until(`${line} to be answered`, () => this.program.stdout.endsWith(line));
  }

  async call(): Promise<void> {
    this.program.stdin.write('\n');
    await this.answered();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}

when(it, ...needs)('TLS: nothing is invented, and its bytes are named', async () => {
  await using cgroup = new Cgroup('joined');
  using folder = new Folder();
  const [key, cert] = [folder.file('key.pem'), folder.file('cert.pem')];
  await must(
    `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost -keyout ${key} -out ${cert}`.split(
      ' ',
    ),
  );
  await using joined = new Joined(['tls', folder.path], cgroup);
  await joined.answered();
  await using agent = await Agent.start({ cgroups: [cgroup] });
  for (let i = 0; i < CALLS; i++) await joined.call();
  const status = await agent.untilStatus('both ends known to be unread', ({ tls }) =>
    tls.unread.some(({ connections }) => connections === 2),
  );
  expectConserved(status);
  expect(status.connections).toMatchObject({ open: 2, by_guess: { tls: 2 } });
  const why = JSON.parse((await agent.get('/v1/why')).body) as { groups: unknown[] };
  expect(why.groups).toMatchObject([
    { guess: 'tls', joined: 2, unread: [{ cause: 'handshake_unseen', connections: 2 }], exchanges: 0 },
  ]);
  const { exchanges, summary } = await agent.stop();
  expect(exchanges).toEqual([]);
  // Both ends of it, each call a segment either way: the first ones were looked at, the others never left the kernel.
  expect(summary.segments).toBe(4 * CALLS);
  expect(summary.losses.map(({ reason, count }) => [reason, count])).toEqual([
    ['joined_midstream', 4 * CALLS - 4],
    ['tls_no_secret', 4],
  ]);
  expect(summary.losses.reduce((n, { bytes }) => n + bytes, 0)).toBe(summary.bytes);
});

when(it, ...needs)('h2c: calls after the start are there, and say that what they refer to was not seen', async () => {
  await using cgroup = new Cgroup('joined');
  await using joined = new Joined(['h2c'], cgroup);
  await joined.answered();
  await using agent = await Agent.start({ cgroups: [cgroup] });
  for (let i = 0; i < CALLS; i++) await joined.call();
  await agent.until((exchanges) => exchanges.length >= 2 * CALLS);
  const status = await statusOf(agent);
  expectConserved(status);
  expect(status.connections).toMatchObject({ open: 2, by_guess: { h2: 2 } });
  const { exchanges, summary } = await agent.stop();
  for (const side of ['server', 'client']) {
    const calls = exchanges.filter((exchange) => exchange.side === side);
    expect(calls.map(({ request, response }) => [request.target, response?.status])).toEqual(
      Array.from({ length: CALLS }, (_, i) => [`/call/${i + 1}`, 200]),
    );
    // What the table held before is not invented: the lines that refer to it have a number for a name.
    for (const { protocol, request, losses, outcome } of calls) {
      expect([protocol, outcome, losses]).toEqual(['h2c', 'truncated', [{ reason: 'hpack_context_lost', bytes: 0 }]]);
      expect(request.headers.every(([name, value]) => /^\?\d+$/.test(name) && name === value)).toBe(true);
    }
  }
  expect(summary.losses.map(({ reason }) => reason)).toEqual(['hpack_context_lost']);
});
