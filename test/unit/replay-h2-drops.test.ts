/**
 * HTTP/2 conversations of which packets are missing: each one alone, runs of them, the beginning, whole directions. Whatever is missing, no call has
 * another one's fields, and what is not said to be missing is right.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import type { TcpPacket } from '../fixtures/pcap/write.ts';
import * as w from '../rig/h2/wire.ts';
import { type Replayed, type ReplayedExchange, replayed } from '../rig/replay.ts';
import { request } from './h2-peers.ts';
import { get, line } from './replay-lines.ts';

const CALLS = 14;
/** By streams; on an upgraded connection the first call is asked in HTTP/1 and answered on stream 1. */
const sent = (stream: number): number => (stream % 4 === 1 ? 0 : 60 + stream);
const received = (stream: number): number => (stream % 6 === 1 ? 0 : 300 - stream);
const group = (stream: number): string => `g${stream >> 3}`;

/** Calls two at a time, in segments of `size` bytes; `upgrade`: the first one asks for HTTP/2 in HTTP/1. */
function talk(size: number, opened: boolean, upgrade: boolean): Talk {
  const t = new Talk({ clientSeq: 0xffff_ff00, serverSeq: 5_000 });
  const client = new w.Encoder();
  const server = new w.Encoder(false);
  const say = (from: 'client' | 'server', ...frames: Buffer[]): void => {
    const bytes = Buffer.concat(frames);
    for (let at = 0; at < bytes.length; at += size) t[from](bytes.subarray(at, at + size));
  };
  const asked = (stream: number): Buffer[] => [
    w.headers(
      stream,
      client.block([
        ...request(sent(stream) > 0 ? 'POST' : 'GET', `/s${stream}`),
        ['x-stream', `${stream}`],
        ['x-group', group(stream)],
      ]),
      sent(stream) === 0,
    ),
    ...(sent(stream) > 0 ? [w.data(stream, 'u'.repeat(sent(stream)), true)] : []),
  ];
  const answered = (stream: number): Buffer[] => [
    w.headers(
      stream,
      server.block([
        [':status', '200'],
        ['x-stream', `${stream}`],
        ['x-group', group(stream)],
      ]),
      received(stream) === 0,
    ),
    ...(received(stream) > 0 ? [w.data(stream, 'b'.repeat(received(stream)), true)] : []),
  ];
  if (opened) t.open();
  if (upgrade) {
    t.client(get('/s1', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'));
    t.server('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
  }
  say('client', w.PREFACE, w.settings([3, 100]));
  say('server', w.settings([1, 4_096]), w.frame(w.TYPE.settings, 1, 0), ...(upgrade ? answered(1) : []));
  for (let stream = upgrade ? 3 : 1; stream < 2 * CALLS; stream += 4) {
    say('client', ...asked(stream), ...asked(stream + 2));
    say('server', ...answered(stream), ...answered(stream + 2));
  }
  return t.close();
}

const wrongFields = (x: ReplayedExchange): boolean => {
  const stream = x.stream_id ?? 1;
  return [x.request, x.response].some((message) =>
    (message?.headers ?? []).some(
      ([name, value]) =>
        (name === 'x-stream' && value !== `${stream}` && !value.startsWith('?')) ||
        (name === 'x-group' && value !== group(stream) && !value.startsWith('?')),
    ),
  );
};

function faults({ exchanges, summary }: Replayed): string[] {
  const named = new Set(summary.losses.map(({ reason }) => reason));
  const streams = exchanges.map(({ stream_id = 1 }) => stream_id);
  const twice = streams.filter((stream, i) => streams.indexOf(stream) !== i);
  const wrong = exchanges.filter((x) => {
    if (wrongFields(x) || x.losses.some(({ reason }) => !named.has(reason))) return true;
    if (x.losses.length > 0 || x.outcome === 'open') return false;
    const stream = x.stream_id ?? 1;
    const right =
      x.request?.target === `/s${stream}` &&
      x.response?.status === 200 &&
      (x.stream_id === undefined || x.request.body_bytes === sent(stream)) &&
      x.response.body_bytes === received(stream);
    return x.outcome !== 'complete' || !right;
  });
  return [...wrong.map((x) => `${x.stream_id} ${line(x)}`), ...twice.map((stream) => `stream ${stream} twice`)];
}

const SHAPES = [50, 400, 1_400].flatMap((size) =>
  [true, false].flatMap((opened) => [true, false].map((upgrade) => ({ size, opened, upgrade }))),
);

describe.each(SHAPES)(
  'segments of $size bytes, opening seen: $opened, upgraded: $upgrade',
  ({ size, opened, upgrade }) => {
    const { packets } = talk(size, opened, upgrade);
    const without = async (dropped: (packet: TcpPacket, i: number) => boolean): Promise<Replayed> =>
      await replayed(fileOf(packets.filter((packet, i) => !dropped(packet, i))));

    test('none missing', async () => {
      const { exchanges, summary } = await without(() => false);
      expect(exchanges.map(({ outcome, losses }) => [outcome, losses])).toEqual(
        Array(upgrade ? CALLS + 1 : CALLS).fill(['complete', []]),
      );
      expect(summary.losses).toEqual([]);
    });

    test('any packet missing: no call but those near it is missing', async () => {
      for (let gone = 0; gone < packets.length; gone++) {
        const said = await without((_, i) => i === gone);
        expect(faults(said), `without ${gone}`).toEqual([]);
        if (size === 1_400 && opened && gone >= 3) expect(said.exchanges.length).toBeGreaterThanOrEqual(CALLS - 2);
      }
    });

    test('any three in a row missing', async () => {
      for (let gone = 0; gone < packets.length; gone++)
        expect(faults(await without((_, i) => i >= gone && i < gone + 3)), `without ${gone} on`).toEqual([]);
    });

    test('a beginning missing, of any length', async () => {
      for (let first = 1; first < packets.length; first++)
        expect(faults(await without((_, i) => i < first)), `from ${first}`).toEqual([]);
    });

    test('a whole direction missing', async () => {
      for (const port of [80, 40_000]) expect(faults(await without(({ sport }) => sport === port))).toEqual([]);
    });
  },
);

test('any order, and some missing: both directions wait for one another, and a hole may be known before the call that was answered in it', async () => {
  const move = fc.tuple(fc.nat(400), fc.integer({ min: -40, max: 40 }));
  const drawn = [
    fc.constantFrom(30, 100, 400, 1_400),
    fc.boolean(),
    fc.array(move, { maxLength: 60 }),
    fc.array(fc.nat(400), { maxLength: 4 }),
  ] as const;
  await fc.assert(
    fc.asyncProperty(...drawn, async (size, opened, moves, missing) => {
      const { packets } = talk(size, opened, false);
      const opening = packets.slice(0, opened ? 3 : 0);
      const rest = packets.slice(opening.length);
      for (const [from, by] of moves) {
        const at = from % rest.length;
        rest.splice(Math.max(0, at + by), 0, ...rest.splice(at, 1));
      }
      for (const at of missing) rest.splice(at % rest.length, 1);
      expect(faults(await replayed(fileOf([...opening, ...rest])))).toEqual([]);
    }),
    // Its first calls are answered in a hole that is told before they are read.
    {
      numRuns: 60,
      seed: 17,
      examples: [
        [
          1_400,
          false,
          [
            [4, -3],
            [24, -3],
            [25, -3],
            [102, -3],
          ],
          [7, 221],
        ],
      ],
    },
  );
});

test('a call that was asked inside a hole of the answers is doubted', async () => {
  const client = new w.Encoder();
  const server = new w.Encoder(false);
  const ask = (stream: number): Buffer => w.headers(stream, client.block(request('GET', `/s${stream}`)), true);
  const answer = (stream: number): Buffer => w.headers(stream, server.block([[':status', '200']]), false);
  const bulk = w.data(3, 'y'.repeat(16_384), false);
  const first = w.data(1, 'x'.repeat(300), true);
  const { packets } = new Talk()
    .open()
    .client(Buffer.concat([w.PREFACE, w.settings(), ask(1)]))
    .server(Buffer.concat([w.settings(), answer(1), first.subarray(0, 200)]), first.subarray(200))
    .client(ask(3))
    .server(answer(3), ...new Array<Buffer>(6).fill(Buffer.concat([bulk, bulk, bulk])))
    .close('server');
  // The end of the first answer, and the head of the second. More comes behind than is held for a hole.
  const { exchanges } = await replayed(fileOf(packets.filter((_, i) => i !== 5 && i !== 7)));
  expect(exchanges.map(line)).toEqual(['h2c GET /s1 > 200 300 truncated gap:109', 'h2c GET /s3 > - truncated gap:0']);
});
