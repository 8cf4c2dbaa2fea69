/** in_flight and service of a capture: all connections to one server count together, in the order of time. */
import { expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { get, ok } from './replay-lines.ts';

const MS = 1_000_000n;

test('overlapping calls of several connections, one server apart, one call after all others', async () => {
  const start = 1_700_000_000_000_000_000n;
  const talk = (clientPort: number, serverPort: number, beginsMs: bigint, takesMs: bigint): Talk =>
    new Talk({ clientPort, serverPort, ts: start + beginsMs * MS })
      .open()
      .client(get(`/${clientPort}`))
      .wait(takesMs * MS)
      .server(ok('x'))
      .close();
  const talks = [
    talk(40_001, 80, 0n, 100n),
    talk(40_002, 80, 20n, 100n),
    talk(40_003, 80, 40n, 10n),
    talk(40_004, 81, 45n, 10n),
    talk(40_005, 80, 70n, 10n),
    talk(40_006, 80, 300n, 10n),
  ];
  const packets = talks.flatMap((t) => t.packets).sort((a, b) => (a.ts! < b.ts! ? -1 : 1));
  const { exchanges } = await replayed(fileOf(packets));
  const seen = Object.fromEntries(exchanges.map(({ request, in_flight }) => [request!.target, in_flight]));
  expect(seen).toEqual({ '/40001': 1, '/40002': 2, '/40003': 3, '/40004': 1, '/40005': 3, '/40006': 1 });
  const apart = exchanges.find(({ request }) => request!.target === '/40004')!;
  expect(apart.service).toBe(`${apart.server.address}:81`);
  expect(new Set(exchanges.filter((x) => x !== apart).map(({ service }) => service))).toEqual(
    new Set([`${apart.server.address}:80`]),
  );
});
