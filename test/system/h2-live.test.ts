/** HTTP/2 as the kernel hands it over: both sides of every call, none lost and none mixed up, by the ids in it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test as it } from 'vitest';
import { Agent, field } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import type { Truth } from '../rig/h2/node-peers.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';

const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');

when(
  it,
  'root',
  'cgroup2',
  'bpf',
)('100 streams at once, with bodies larger than the window', async () => {
  await using cgroup = new Cgroup('h2');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const said = JSON.parse(
    await must([NODE, join(import.meta.dirname, '../rig/h2/node-peers.ts')], { cgroup }),
  ) as Truth[];
  const { exchanges, summary } = await agent.stop();
  expect(summary.losses).toEqual([]);
  for (const side of ['server', 'client']) {
    const calls = exchanges.filter((x) => x.side === side);
    expect(calls.length).toBe(said.length);
    const byId = new Map(calls.map((x) => [field(x.request, 'x-id'), x]));
    for (const call of said) {
      const x = byId.get(call.id);
      expect(x, `${side} ${call.id} ${call.path}`).toMatchObject({
        protocol: 'h2c',
        outcome: call.outcome,
        request: { method: call.method, target: call.path },
        losses: [],
      });
      if (call.outcome !== 'complete') continue;
      expect(x!.request.body_bytes).toBe(call.sent);
      expect(field(x!.response, 'x-id')).toBe(call.id);
      expect(x!.response).toMatchObject({ status: call.status, body_bytes: call.received });
    }
  }
});

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'h2load',
)('bodies that wait for their receiver: small windows are told from large ones', async () => {
  using folder = new Folder();
  await must(['chmod', '755', folder.path]);
  writeFileSync(folder.file('big'), 'a'.repeat(300_000));
  const port = await freePort();
  writeFileSync(
    folder.file('nginx.conf'),
    `daemon off; pid ${folder.file('pid')}; error_log ${folder.file('err')}; events {}
     http { access_log off; server { listen 127.0.0.1:${port} http2; root ${folder.path}; } }`,
  );
  await using cgroup = new Cgroup('h2');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  await using nginx = new Program(['nginx', '-c', folder.file('nginx.conf')], { cgroup });
  const url = `http://127.0.0.1:${port}/big`;
  const ask = ['curl', '-s', '-o', '/dev/null', '--http2-prior-knowledge', url];
  await nginx.until('answer', async () => (await run(ask)).code === 0);
  // The one that was answered.
  let calls = 1;
  const load = async (bits: string): Promise<void> => {
    await must(['h2load', '-n', '10', '-c', '1', '-m', '1', '-w', bits, '-W', '30', url]);
    calls += 10;
    await agent.untilStatus(`${calls} calls`, ({ ledger }) => ledger.exchanges === calls);
  };
  await load('30');
  const nothing = { count: 0, open: 0, seconds: 0 };
  expect((await agent.status()).connections.window_stalls).toEqual({ stream: nothing, connection: nothing });
  await load('14');
  const { stream, connection } = (await agent.status()).connections.window_stalls;
  // nginx sends the first window at once, of each of ten.
  expect(stream.count).toBeGreaterThanOrEqual(10);
  expect(stream).toMatchObject({ open: 0 });
  expect(stream.seconds).toBeGreaterThan(0);
  expect(connection).toEqual(nothing);
});
