/**
 * Conversations of which packets are missing: each one alone, runs of them, whole directions. Whatever is missing, what the records say is right
 * or says that it is not whole, and the summary knows every reason that a record names.
 */
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import type { TcpPacket } from '../fixtures/pcap/write.ts';
import { type Replayed, replayed } from '../rig/replay.ts';
import { line } from './replay-lines.ts';

interface Told {
  readonly method: string;
  readonly status: number;
  readonly sent: number;
  readonly received: number;
}

const ids = (id: string): string => `Host: a\r\nX-Id: ${id}\r\n`;

/** A call on the wire, as its truth names it. */
function call(id: string, { method, status, sent, received }: Told, chunked: boolean): [string, string] {
  const body = (bytes: number): string =>
    chunked
      ? `Transfer-Encoding: chunked\r\n\r\n${bytes === 0 ? '' : `${bytes.toString(16)};x=y\r\n${'b'.repeat(bytes)}\r\n`}0\r\nX-T: 1\r\n\r\n`
      : `Content-Length: ${bytes}\r\n\r\n${'b'.repeat(bytes)}`;
  const none = status === 304 || status === 204;
  return [
    `${method} /${id} HTTP/1.1\r\n${ids(id)}${method === 'POST' ? body(sent) : '\r\n'}`,
    `HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 ${status} X\r\n${ids(id)}${none ? '\r\n' : method === 'HEAD' ? 'Content-Length: 9\r\n\r\n' : body(received)}`,
  ];
}

const CALLS: readonly Told[] = [
  { method: 'GET', status: 200, sent: 0, received: 130 },
  { method: 'POST', status: 200, sent: 70, received: 10 },
  { method: 'HEAD', status: 200, sent: 0, received: 0 },
  { method: 'GET', status: 304, sent: 0, received: 0 },
  { method: 'POST', status: 204, sent: 30, received: 0 },
  { method: 'GET', status: 404, sent: 0, received: 300 },
];

/** `depth` calls at a time, each burst in segments of `size` bytes; numbers go round on the way. */
function talk(depth: number, size: number, opened: boolean): Talk {
  const t = new Talk({ clientSeq: 0xffff_ff80, serverSeq: 0xffff_fe00 });
  if (opened) t.open();
  for (let at = 0; at < CALLS.length; at += depth) {
    const burst = CALLS.slice(at, at + depth).map((told, i) => call(`id${at + i}`, told, (at + i) % 2 === 1));
    t.split('client', burst.map(([asked]) => asked).join(''), size);
    t.split('server', burst.map(([, answered]) => answered).join(''), size);
  }
  return t.close();
}

const payload = ({ payload: bytes = '' }: TcpPacket): number => bytes.length;

/** What is wrong with a record that says that it is whole. */
function faults({ exchanges, summary }: Replayed): string[] {
  const named = new Set(summary.losses.map(({ reason }) => reason));
  return exchanges.flatMap((x) => {
    const unknown = x.losses.filter(({ reason }) => !named.has(reason));
    if (unknown.length > 0) return [`${line(x)}: the summary knows nothing of it`];
    if (x.losses.length > 0) return [];
    const id = x.request?.target.slice(1) ?? '';
    const told = CALLS[Number(id.slice(2))];
    const answered = x.response?.headers.find(([name]) => name === 'X-Id')?.[1];
    if (x.request === null || told === undefined || (answered !== undefined && answered !== id)) return [line(x)];
    // The capture may end before the rest comes: that is no loss that anybody could know of.
    if (x.outcome !== 'complete') return x.outcome === 'open' ? [] : [line(x)];
    const right =
      x.response?.status === told.status &&
      x.request.body_bytes === told.sent &&
      x.response.body_bytes === told.received;
    return right ? [] : [line(x)];
  });
}

const lost = ({ summary }: Replayed, reason: string): number =>
  summary.losses.find((loss) => loss.reason === reason)?.bytes ?? 0;

const SHAPES = [1, 3].flatMap((depth) =>
  [40, 150, 1_400].flatMap((size) => [true, false].map((opened) => ({ depth, size, opened }))),
);

describe.each(SHAPES)('$depth calls at a time in segments of $size bytes, opening seen: $opened', (shape) => {
  const { packets } = talk(shape.depth, shape.size, shape.opened);
  const without = async (dropped: (packet: TcpPacket, i: number) => boolean): Promise<Replayed> =>
    await replayed(fileOf(packets.filter((packet, i) => !dropped(packet, i))));

  test('any packet missing', async () => {
    for (let gone = 0; gone < packets.length; gone++) {
      const said = await without((_, i) => i === gone);
      expect(faults(said), `without ${gone}`).toEqual([]);
      // Its bytes were acknowledged, and are missed to the byte.
      if (shape.opened && gone >= 3) expect(lost(said, 'gap'), `without ${gone}`).toBe(payload(packets[gone]!));
    }
  });

  test('any three in a row missing', async () => {
    for (let gone = 0; gone < packets.length; gone++) {
      expect(faults(await without((_, i) => i >= gone && i < gone + 3)), `without ${gone} to ${gone + 2}`).toEqual([]);
    }
  });

  test('a whole direction missing', async () => {
    for (const port of [80, 40_000]) expect(faults(await without(({ sport }) => sport === port))).toEqual([]);
  });
});
