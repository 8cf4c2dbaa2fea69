/** Connections summed for `why`: those that are open now, and those that have closed. */
import { expect, test } from 'vitest';
import { Connection } from '../model/connection.ts';
import { EGRESS, INGRESS } from '../model/segment.ts';
import { WHY_CLOSED_MAX } from '../model/why.ts';
import { ClosedConnections, whyGroups } from './why.ts';

/** A server's connection of process 7, on which `calls` calls were seen. */
function served(port: number, calls: number, pid = 7): Connection {
  const connection = new Connection(1, { address: '127.0.0.1', port }, { address: '127.0.0.1', port: 50_000 });
  connection.clientDirection = INGRESS;
  connection.side = 'server';
  connection.process = { pid, name: 'api', cgroup: '/a', container: null, evidence: 'writer' };
  connection.exchanges = calls;
  return connection;
}

const silent = { met: () => {}, named: () => {}, ended: () => {} };

test('closed connections are summed with the open ones that are alike', () => {
  let now = 0;
  const closed = new ClosedConnections(silent, () => now);
  const lossy = served(8080, 2);
  lossy.lost = [{ reason: 'gap', count: 1, bytes: 100 }];
  closed.ended(lossy, 'http');
  now = 4_000;
  closed.ended(served(8080, 3), 'http');
  closed.ended(served(9090, 1), 'h2');
  now = 10_000;
  const open = served(8080, 5);
  open.lost = [{ reason: 'gap', count: 1, bytes: 11 }];
  const { groups, more } = whyGroups([{ connection: open, guess: 'http' }], closed);
  expect(more).toBe(0);
  expect(groups).toMatchObject([
    {
      pid: 7,
      side: 'server',
      server_port: 8080,
      guess: 'http',
      open: 1,
      closed: 2,
      closed_s_ago: 6,
      exchanges: 10,
      losses: [{ reason: 'gap', count: 2, bytes: 111 }],
    },
    { server_port: 9090, guess: 'h2', open: 0, closed: 1, exchanges: 1, losses: [] },
  ]);
  // What was asked once is not counted again.
  expect(whyGroups([], closed).groups[0]).toMatchObject({ open: 0, closed: 2, exchanges: 5, losses: [{ bytes: 100 }] });
});

test('a bound holds, and those used last stay', () => {
  const closed = new ClosedConnections(silent, () => 0);
  for (let pid = 1; pid <= WHY_CLOSED_MAX; pid++) closed.ended(served(8080, 1, pid), 'http');
  closed.ended(served(8080, 1, 1), 'http');
  closed.ended(served(8080, 1, 5_000_000), 'http');
  const pids = new Set([...closed.groups().values()].map(({ pid }) => pid));
  expect(pids.size).toBe(WHY_CLOSED_MAX);
  expect([pids.has(1), pids.has(2), pids.has(3), pids.has(5_000_000)]).toEqual([true, false, true, true]);
});

test('the next in line is told of everything', () => {
  const told: unknown[] = [];
  const closed = new ClosedConnections(
    { met: () => told.push('met'), named: () => told.push('named'), ended: (_, guess) => told.push(guess) },
    () => 0,
  );
  const connection = served(1, 0);
  connection.clientDirection = EGRESS;
  closed.met(connection);
  closed.named(connection);
  closed.ended(connection, 'tls');
  expect(told).toEqual(['met', 'named', 'tls']);
});
