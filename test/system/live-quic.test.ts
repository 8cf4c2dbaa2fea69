/** UDP is not read, and nobody may take it for nothing: what an observed program sends as QUIC is a loss with its exact counts. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { run } from '../rig/program.ts';
import { statusOf } from './live/truth.ts';

interface Sent {
  readonly sent: number;
  readonly bytes: number;
  readonly arrived: number;
}

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'python3',
)('QUIC is counted by its datagrams, and other UDP apart from it', async () => {
  await using cgroup = new Cgroup('quic');
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const { code, stdout, stderr } = await run(['python3', join(import.meta.dirname, 'live/datagrams.py')], { cgroup });
  expect([code, stderr]).toEqual([0, '']);
  const { quic, other } = JSON.parse(stdout) as Record<'quic' | 'other', Sent>;
  expect([quic.arrived, other.arrived]).toEqual([quic.sent, other.sent]);
  // Both ends are in scope: sent and received.
  const twice = ({ sent, bytes }: Sent) => ({ datagrams: 2 * sent, bytes: 2 * bytes });
  const { udp, ledger, connections } = await statusOf(agent);
  expect(udp).toEqual({ quic: twice(quic), other: twice(other) });
  expect(ledger.losses).toEqual([{ reason: 'quic_unread', count: 2 * quic.sent, bytes: 2 * quic.bytes }]);
  expect(ledger.captured.seen.segments).toBe(0);
  expect(connections.total).toBe(0);
  const { summary, ended } = await agent.stop();
  expect(summary.losses).toEqual(ledger.losses);
  expect(ended.stderr).toContain('quic_unread');
});
