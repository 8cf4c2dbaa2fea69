import { expect, test } from 'vitest';
import { CgroupPaths } from '../attacher/cgroups.ts';
import { HostFiles } from '../attacher/host.ts';
import { ProcessCache } from '../attacher/processes.ts';
import { Connection } from '../model/connection.ts';
import { INGRESS, SocketEvent } from '../model/segment.ts';
import { Owners } from './owners.ts';

const SERVICES = 4_096;
const host = new HostFiles('/nowhere');
const nobody = async (): Promise<{ ok: true; value: [] }> => ({ ok: true, value: [] });
let asked = 0;
const owners = (): Owners =>
  new Owners({
    client: {
      listeners: async () => {
        asked++;
        return nobody();
      },
      owners: nobody,
      processes: nobody,
    },
    processes: new ProcessCache(host),
    cgroups: new CgroupPaths(host, ''),
    rules: [],
    hidden: false,
  });

let connections = 0;
/** Each port is a service. */
const served = (port: number): Connection => {
  const connection = new Connection(
    ++connections,
    { address: '10.0.0.1', port },
    { address: '10.0.0.2', port: 40_000 },
  );
  connection.side = 'server';
  connection.clientDirection = INGRESS;
  return connection;
};

test('calls in flight are counted for each service, however many there have been', () => {
  const all = owners();
  const loadOf = (port: number) => {
    const connection = served(port);
    all.named(connection);
    return connection.load;
  };
  const busy = loadOf(1);
  busy.enter(1);
  const idle = loadOf(2);
  expect(loadOf(2)).toBe(idle);
  for (let port = 3; port < 3 + 2 * SERVICES; port++) loadOf(port);
  expect(loadOf(1)).toBe(busy);
  expect(loadOf(20_001)).not.toBe(loadOf(20_002));
  expect(loadOf(2)).not.toBe(idle);
});

test('who listens is asked of the attacher for each new port, however many there were that nobody could name', () => {
  const all = owners();
  const event = new SocketEvent();
  event.kind = 'owner';
  event.cgroupId = 7;
  for (let port = 1; port <= SERVICES; port++) all.told(served(port), event);
  for (let tries = 0; tries < 5; tries++) all.tick();
  const before = asked;
  expect(before).toBe(3);
  all.told(served(20_001), event);
  all.tick();
  expect(asked).toBe(before + 1);
});
