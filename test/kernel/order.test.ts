/**
 * Segments that overtake one another, as loopback senders make them when the scheduler moves them, and networks with several
 * ways: nothing of a header block is left out, and records, frames and chunks are followed on.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INGRESS } from '../../src/model/segment.ts';
import {
  APPLICATION,
  frame,
  headersOfFrames,
  headersOfTls,
  hello,
  PREFACE,
  record,
  wantedOfFrames,
  wantedOfTls,
} from './framing.ts';
import { Capture, cleanUp, expectSame, freePort, imbalance, makeCgroup } from './rig.ts';
import { cutAt, cutEvery, type Range, type Sending, sendSegments, whyNoSegments } from './segments.ts';

/** Ethernet's payload with time stamps. */
const SEGMENT = 1448;

/** Behind the first units long ones: a download's, of which only the beginnings are wanted. */
const records = Buffer.concat([
  hello,
  record(20, 1),
  ...Array.from({ length: 14 }, (_, i) => record(APPLICATION, 16_384 - i)),
]);
const frames = Buffer.concat([
  PREFACE,
  frame(4, 0, 18),
  frame(1, 1, 33),
  ...Array.from({ length: 14 }, (_, i) => frame(i % 5 === 4 ? 1 : 0, 1 + 2 * i, 16_384 - i)),
]);

const upload = Buffer.from(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n${'u'.repeat(50_000)}`);

const sum = (bytes: Uint8Array): number => bytes.reduce((n, one) => n + one, 0);

const balanced = { segments: 0, bytes: 0 };
let port = 0;

const head = (fields: number): string =>
  `GET / HTTP/1.1\r\nHost: x\r\n${Array.from({ length: fields }, (_, i) => `X-${i}: ${String(i % 10).repeat(990)}\r\n`).join('')}\r\n`;

const swapped = (ranges: readonly Range[], at: number): Range[] =>
  ranges.map((_, i) => ranges[i === at ? at + 1 : i === at + 1 ? at : i]!);

/** Where a segment may be overtaken by the next one, which has none of the places in it that must be read in order. */
function overtakenWithout(places: readonly Range[], ranges: readonly Range[]): number[] {
  const free = [...ranges.keys()].filter((i) => {
    const over = ranges[i + 1];
    return over !== undefined && !places.some(([from, to]) => from < over[1] && to > over[0]);
  });
  expect(free.length).toBeGreaterThan(100);
  return free;
}

/** The same in another order: a different one for each seed (Park and Miller's generator). */
function shuffled(ranges: readonly Range[], seed: number): Range[] {
  const order = [...ranges];
  let random = seed;
  for (let i = order.length - 1; i > 0; i--) {
    random = (random * 48_271) % 2_147_483_647;
    const other = random % (i + 1);
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}

describe.skipIf(whyNoSegments !== '')('segments out of order', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  async function captured(
    sendings: readonly Sending[],
    how?: 'racing',
    spared = false,
  ): Promise<{ capture: Capture; ports: number[] }> {
    const cgroup = makeCgroup();
    // Room for all of it: what is looked at here is no pressure.
    const capture = new Capture(cgroup, { ringBytes: 64 << 20 });
    const ports = await capture.during(
      sendSegments(cgroup, port, sendings, how, spared ? (of, seq) => capture.spare(of, INGRESS, seq) : null),
    );
    expect(imbalance(capture.counters.read())).toEqual(balanced);
    expect(capture.ring.malformed).toBe(0);
    return { capture, ports };
  }

  it('a header block of 60 KiB is captured whole, and known for one, in every order', async () => {
    const stream = Buffer.from(head(60));
    const ranges = cutEvery(stream, 1300);
    const orders = [
      ranges.toReversed(),
      // The end of the block is seen, and then what lies before it.
      ...ranges.slice(1).map((_, i) => swapped(ranges, i)),
      ...Array.from({ length: 30 }, (_, i) => shuffled(ranges, i + 1)),
      [...ranges.slice(1), ranges[0]!],
      [ranges.at(-1)!, ...ranges.slice(0, -1)],
    ];
    const { capture, ports } = await captured(orders.map((segments) => ({ stream, segments })));
    for (const [i, of] of ports.entries()) expectSame(capture.requests(of), stream.latin1Slice(), `order ${i}`);
    expect(capture.counters.read().requests).toEqual({ seen: orders.length, lost: 0 });
  });

  it('a header block of 60 KiB is captured whole when two CPUs have its segments at once', async () => {
    const stream = Buffer.from(head(60));
    const segments = cutEvery(stream, 1300);
    const { capture, ports } = await captured(Array(40).fill({ stream, segments }), 'racing');
    for (const [i, of] of ports.entries()) expectSame(capture.requests(of), stream.latin1Slice(), `connection ${i}`);
  });

  it('what found no room and is sent again is told as such, without the sums that the next segment tells', async () => {
    const size = 8_000;
    const stream = Buffer.from(head(75)).subarray(0, 8 * size + 40);
    // The ring holds seven of the eight long ones, and short ones still.
    const again: Range = [7 * size + 100, 7 * size + 140];
    const next: Range = [8 * size, 8 * size + 40];
    const segments = [...cutEvery(stream.subarray(0, 8 * size), size), again, next];
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup, { ringBytes: 64 << 10 });
    const [of] = await sendSegments(cgroup, port, [{ stream, segments }]);
    capture.drain();
    const seen = capture.of(of!, INGRESS);
    const told = ([from, to]: Range) =>
      seen.find((s) => s.seq === (seen[0]!.seq + from) >>> 0 && s.length === to - from);
    expect(seen.filter((s) => s.length === size)).toHaveLength(7);
    expect(told(again)).toMatchObject({ again: true, lostBytes: 0, leftOut: 0 });
    expect(told(next)).toMatchObject({ again: false, lostBytes: size, lostSegments: 1 });
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('what is sent again while others are still to come is not taken for one of these', async () => {
    const ranges = cutEvery(upload, SEGMENT);
    const without = (...late: number[]): Range[] => ranges.filter((_, i) => !late.includes(i));
    const at = (i: number): Range => ranges[i]!;
    // Which one comes last, and all before it, some of them twice: from before it, behind it, out of another hole, all of them.
    const orders: readonly (readonly [last: number, before: readonly Range[]])[] = [
      ...[10, 19, 30].map((i) => [20, [...without(20), at(i)]] as [number, Range[]]),
      [20, [...without(10, 20), at(10), at(10)]],
      [20, [...without(10, 20, 30), at(30), at(10), at(30), at(10), at(2)]],
      [3, [...without(3), ...without(3)]],
    ];
    const sendings = orders.map(([last, before]) => ({ stream: upload, segments: [...before, at(last)] }));
    const { capture, ports } = await captured(sendings);
    for (const [i, of] of ports.entries()) {
      const seen = capture.of(of, INGRESS);
      const [from, to] = at(orders[i]![0]);
      const last = seen.findLast((s) => s.seq === (seen[0]!.seq + from) >>> 0);
      expect(last, `order ${i}`).toMatchObject({ length: to - from, again: false });
      // Each byte is told once, or in the sums.
      const told = new Uint8Array(upload.length);
      for (const s of seen) {
        const begin = (s.seq - seen[0]!.seq) >>> 0;
        told.fill(1, begin, begin + s.length);
      }
      expect(sum(told) + seen.reduce((n, s) => n + s.leftOut, 0), `order ${i}`).toBe(upload.length);
    }
  });

  it('chunk sizes are followed on behind chunk data that came out of order', async () => {
    const chunk = `${(60_000).toString(16)}\r\n${'c'.repeat(60_000)}\r\n`;
    const before = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';
    const stream = Buffer.from(`${before}${chunk.repeat(5)}0\r\n\r\n`);
    // The head by itself; then segments longer than those that are copied wherever they lie.
    const body = Array.from({ length: Math.ceil((stream.length - before.length) / 2100) }, (_, i) => i * 2100);
    const ranges = cutAt(
      stream,
      body.map((at) => before.length + at),
    );
    const sizes = Array.from({ length: 6 }, (_, i): Range => {
      const at = before.length + i * chunk.length;
      return [at - 2, i === 5 ? stream.length : at + 6];
    });
    const places = overtakenWithout(sizes, ranges);
    const { capture, ports } = await captured(places.map((at) => ({ stream, segments: swapped(ranges, at) })));
    for (const [i, of] of ports.entries()) {
      const have = held(capture, of, stream);
      for (const [from, to] of sizes.slice(1))
        expect(sum(have.subarray(from, to)), `swap at ${places[i]}, size line at ${from}`).toBe(to - from);
      // The window, and of what came out of order no more than lies within the bounds of a header block.
      expect(sum(have)).toBeLessThan(8192 + 4 * 2100);
    }
  });

  it.each([
    ['TLS', records, wantedOfTls(records), headersOfTls(records)],
    ['HTTP/2', frames, wantedOfFrames(frames, PREFACE.length), headersOfFrames(frames, PREFACE.length)],
  ] as const)(
    '%s is followed on behind a record that overtaking segments lie in',
    async (_, stream, wanted, headers) => {
      const ranges = cutEvery(stream, SEGMENT);
      const places = overtakenWithout(headers, ranges);
      const { capture, ports } = await captured(
        places.map((at) => ({ stream, segments: swapped(ranges, at) })),
        undefined,
        true,
      );
      for (const [i, of] of ports.entries()) {
        const have = held(capture, of, stream);
        const missing = wanted.findIndex((one, byte) => one > have[byte]!);
        expect(missing, `segments ${places[i]} and the next one swapped: the first byte missing`).toBe(-1);
        expect(sum(have)).toBeLessThanOrEqual(sum(wanted) + 2 * SEGMENT);
      }
    },
  );
});

/** 1 for each byte that was captured, each the right one. */
function held(capture: Capture, of: number, stream: Buffer): Uint8Array {
  const records = capture.of(of, INGRESS).toSorted((a, b) => (a.seq - b.seq) | 0);
  const have = new Uint8Array(stream.length);
  for (const s of records) {
    const at = (s.seq - records[0]!.seq) | 0;
    expect(s.payload.equals(stream.subarray(at, at + s.payload.length)), `content at ${at}`).toBe(true);
    have.fill(1, at, at + s.payload.length);
  }
  return have;
}
