/** HTTP/2 heads of which the end never came: the lines before the cut are shown, whole ones only, and that they are not all. */
import { describe, expect, test } from 'vitest';
import type { LossReason } from '../../src/model/loss.ts';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request, response } from './h2-peers.ts';
import { H2Rig, type Seen } from './h2-rig.ts';

const PADDED = 0x08;
const PRIORITY = 0x20;
const PADDING = 7;
const FIELDS = [
  ['x-one', 'first'],
  ['x-two', 'a value of some length'],
  ['authorization', 'Bearer not-a-real-token'],
  ['x-three', 'third'],
] as const;

/** One call on a connection of its own; of the bytes with the head of `by` the frame's header and `kept` more come. */
function cut(
  rig: H2Rig,
  by: 'client' | 'server',
  frame: (block: Buffer) => Buffer,
  kept: number,
  huffman: boolean,
  why: LossReason = 'snaplen',
): Seen[] {
  const peers = new Peers();
  const client = new w.Encoder(huffman);
  const server = new w.Encoder(huffman);
  const asked = client.block([...request('POST', '/v1/items'), ...FIELDS]);
  const answered = server.block([...response(201), ...FIELDS]);
  const wire = play(peers.pieces, rig.connection());
  for (const [side, block] of [
    ['client', asked],
    ['server', answered],
  ] as const) {
    const bytes = side === by ? frame(block) : w.headers(1, block, true);
    const there = side === by ? 9 + kept : bytes.length;
    wire.send(side, bytes.subarray(0, there));
    if (there < bytes.length) wire.gap(side, bytes.length - there, why);
  }
  wire.end('fin');
  return rig.seen.splice(0);
}

const whole = { client: request('POST', '/v1/items'), server: response(201) };

/** What is told of the head that was cut begins as the sent one, line by line. */
function expectBeginning(by: 'client' | 'server', [x, ...more]: Seen[]): number {
  expect(more).toEqual([]);
  expect(x).toMatchObject({ outcome: 'truncated', anomalies: [] });
  expect(x!.losses.map(({ reason }) => reason)).toContain('snaplen');
  const told = by === 'client' ? x!.request! : x!.response!;
  const sent = [...whole[by], ...FIELDS].filter(([name]) => !name.startsWith(':'));
  expect(sent.slice(0, told.headers.length)).toEqual(told.headers);
  const words = told.line.split(' ');
  if (by === 'client') {
    expect(['POST', '']).toContain(words[0]);
    expect(['/v1/items', '']).toContain(words[2]);
  } else expect(['201', '0']).toContain(words[0]);
  return told.headers.length;
}

const SHAPES: Record<string, (block: Buffer) => Buffer> = {
  plain: (block) => w.headers(1, block, true),
  padded: (block) =>
    w.frame(
      w.TYPE.headers,
      w.END_STREAM | w.END_HEADERS | PADDED,
      1,
      Buffer.concat([Buffer.from([PADDING]), block, Buffer.alloc(PADDING)]),
    ),
  'with a priority': (block) =>
    w.frame(
      w.TYPE.headers,
      w.END_STREAM | w.END_HEADERS | PRIORITY,
      1,
      Buffer.concat([Buffer.from([0, 0, 0, 0, 15]), block]),
    ),
};

describe.each(Object.entries(SHAPES))('%s', (_name, frame) => {
  test.each(['client', 'server'] as const)('the head of the %s, cut at each byte', (by) => {
    const rig = new H2Rig();
    for (const huffman of [true, false]) {
      const size = frame(Buffer.alloc(0)).length - 9;
      const block = new w.Encoder(huffman).block([...whole[by], ...FIELDS]).length;
      const counts: number[] = [];
      for (let kept = 0; kept < block + size; kept++)
        counts.push(expectBeginning(by, cut(rig, by, frame, kept, huffman)));
      expect(counts).toEqual(counts.toSorted((a, b) => a - b));
      // All but the last byte: all but the last line.
      expect(counts.at(-1)).toBeGreaterThanOrEqual(
        [...whole[by], ...FIELDS].filter(([name]) => name[0] !== ':').length - 1,
      );
    }
  });
});

test.each(['client', 'server'] as const)('a head of the %s that was shed as a body is no whole one', (by) => {
  const rig = new H2Rig();
  const size = new w.Encoder(false).block([...whole[by], ...FIELDS]).length;
  const [x] = cut(rig, by, SHAPES['plain']!, size - 1, false, 'shed_body');
  expect(x).toMatchObject({ outcome: 'truncated', anomalies: [] });
  expect(x!.losses).toEqual([
    { reason: 'shed_body', bytes: 1 },
    { reason: 'hpack_context_lost', bytes: 0 },
  ]);
});

test('in a CONTINUATION frame: what came before it, and in it', () => {
  const frames = (block: Buffer): Buffer =>
    Buffer.concat([
      w.frame(w.TYPE.headers, w.END_STREAM, 1, block.subarray(0, 20)),
      w.frame(w.TYPE.continuation, w.END_HEADERS, 1, block.subarray(20)),
    ]);
  const size = frames(new w.Encoder(false).block([...whole.client, ...FIELDS])).length - 9;
  const rig = new H2Rig();
  const counts: number[] = [];
  for (let kept = 20 + 9; kept < size; kept++)
    counts.push(expectBeginning('client', cut(rig, 'client', frames, kept, false)));
  expect(counts).toEqual(counts.toSorted((a, b) => a - b));
  expect(counts.at(-1)).toBeGreaterThan(counts[0]!);
});

test('an interim head that was cut is no final one', () => {
  const peers = new Peers();
  const rig = new H2Rig();
  peers.add('client', w.headers(1, peers.client.block(request('GET', '/hinted')), true));
  const wire = play(peers.pieces.splice(0), rig.connection());
  const hints = w.headers(
    1,
    peers.server.block([
      [':status', '103'],
      ['link', '</a.css>'],
    ]),
    false,
  );
  wire.send('server', hints.subarray(0, 9 + 8)).gap('server', hints.length - 17, 'snaplen');
  peers.add('server', w.headers(1, new w.Encoder(false).block(response(200)), true));
  play(peers.pieces.splice(0), wire).end('fin');
  expect(rig.seen).toMatchObject([{ request: { line: 'GET http://api.example /hinted' }, response: { line: '200' } }]);
});
