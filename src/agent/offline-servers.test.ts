import { expect, test } from 'vitest';
import { Connection } from '../model/connection.ts';
import { EGRESS, INGRESS } from '../model/segment.ts';
import { OfflineServers, SERVERS_MAX } from './offline-servers.ts';

let made = 0;
function named(loads: OfflineServers, server: string, port: number, flipped = false): Connection {
  const client = { address: '10.0.0.1', port: 40_000 + (made % 20_000) };
  const end = { address: server, port };
  const connection = flipped ? new Connection(++made, client, end) : new Connection(++made, end, client);
  connection.clientDirection = flipped ? EGRESS : INGRESS;
  loads.named(connection);
  return connection;
}

test('connections to one address and port are one service and share their calls in flight, whichever end was noted first', () => {
  const loads = new OfflineServers();
  const [a, b] = [named(loads, '10.0.0.2', 80), named(loads, '10.0.0.2', 80, true)];
  expect([a.load.enter(1), b.load.enter(2)]).toEqual([1, 2]);
  expect([a.service, b.service]).toEqual(['10.0.0.2:80', '10.0.0.2:80']);
  expect(named(loads, '2001:db8::2', 80).service).toBe('[2001:db8::2]:80');
  expect(named(loads, '10.0.0.2', 81).load.enter(3)).toBe(1);
  expect(named(loads, '10.0.0.3', 80).load.enter(3)).toBe(1);
});

test('servers beyond the bound are one service', () => {
  const loads = new OfflineServers();
  for (let port = 1; port <= SERVERS_MAX; port++) named(loads, '10.0.0.2', port).load.enter(port);
  const [x, y] = [named(loads, '10.0.0.9', 1), named(loads, '10.0.0.9', 2)];
  expect(x.load).toBe(y.load);
  expect([x.load.enter(1), y.load.enter(2)]).toEqual([1, 2]);
  expect([x.service, y.service]).toEqual(['other', 'other']);
  expect(named(loads, '10.0.0.2', 7).load.inFlight).toBe(1);
});
