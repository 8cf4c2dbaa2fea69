/**
 * TLS in segments as long as loopback and offloading cards make them, which overtake one another: record headers lie in each of them,
 * so where the next record begins is lost every time. Nobody has said that any of it is not needed: all of it is copied.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INGRESS } from '../../src/model/segment.ts';
import { APPLICATION, hello, record } from './framing.ts';
import { Capture, cleanUp, freePort, imbalance, makeCgroup } from './rig.ts';
import { cutAt, cutEvery, type Range, sendSegments, whyNoSegments } from './segments.ts';

/** Records of what nginx, Go and a tunnel send. */
const stream = Buffer.concat([
  hello,
  ...Array.from({ length: 40 }, (_, i) => record(APPLICATION, [16_401, 26, 4_113, 8_218][i % 4]! - (i % 7))),
]);
const SEGMENT_BYTES = 15_000;
/** TLS_LEAST_BYTES of bpf/record.h. */
const LEAST_BYTES = 16;

const swapped = (ranges: readonly Range[], at: number): Range[] =>
  ranges.map((range, i) => (i === at ? ranges[at + 1]! : i === at + 1 ? ranges[at]! : range));

describe.skipIf(whyNoSegments !== '')('TLS out of order', () => {
  let port = 0;
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  it('every byte is copied', async () => {
    const cgroup = makeCgroup();
    // Room for all of it: what is looked at here is no pressure.
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const ranges = cutAt(
      stream,
      Array.from({ length: Math.ceil(stream.length / SEGMENT_BYTES) - 1 }, (_, i) => (i + 1) * SEGMENT_BYTES),
    );
    expect(ranges.length).toBeGreaterThan(15);
    // The first one has the ClientHello: by it the connection is known.
    const orders = [...ranges.keys()]
      .slice(1, -1)
      .filter((at) => at % 2 === 1)
      .map((at) => swapped(ranges, at));
    const ports = await capture.during(
      sendSegments(
        cgroup,
        port,
        orders.map((segments) => ({ stream, segments })),
      ),
    );
    for (const [i, of] of ports.entries()) {
      const records = capture.of(of, INGRESS);
      const origin = records.find((s) => s.payload.subarray(0, 3).equals(hello.subarray(0, 3)))!.seq;
      const have = new Uint8Array(stream.length);
      for (const { seq, payload } of records) {
        const at = (seq - origin) | 0;
        expect(payload.equals(stream.subarray(at, at + payload.length)), `order ${i}: content at ${at}`).toBe(true);
        have.fill(1, at, at + payload.length);
      }
      expect(have.indexOf(0), `order ${i}: the first byte that is missing`).toBe(-1);
    }
    expect(imbalance(capture.counters.read())).toEqual({ segments: 0, bytes: 0 });
    expect(capture.ring.malformed).toBe(0);
  });

  it('of a body that nobody needs only headers are copied again from the third segment behind the swapped ones on', async () => {
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const sizes = Array.from({ length: 60 }, (_, i) => [4_913, 5_026, 4_500, 6_218][i % 4]!);
    const body = Buffer.concat([hello, ...sizes.map((size) => record(APPLICATION, size))]);
    const ranges = cutEvery(body, SEGMENT_BYTES);
    const orders = [...ranges.keys()].slice(1, 8).map((at) => ({ at, stream: body, segments: swapped(ranges, at) }));
    const ports = await capture.during(
      sendSegments(cgroup, port, orders, 'in this order', (of, seq) => capture.spare(of, INGRESS, seq)),
    );
    for (const [i, { at }] of orders.entries()) {
      const records = capture.of(ports[i]!, INGRESS);
      const origin = records.find((s) => s.payload.subarray(0, 3).equals(hello.subarray(0, 3)))!.seq;
      const from = ranges[at + 4]![0];
      const behind = records.filter(({ seq }) => ((seq - origin) | 0) >= from);
      const begins: number[] = [];
      let place = hello.length;
      for (const size of sizes) {
        if (place >= from) begins.push(place);
        place += 5 + size;
      }
      expect(begins.length).toBeGreaterThan(20);
      const told = behind.filter(({ payload }) => payload.length > 0);
      expect(told.map(({ seq }) => (seq - origin) | 0).slice(-begins.length), `order ${i}`).toEqual(begins);
      for (const { payload } of told.slice(-begins.length)) expect(payload.length).toBe(5 + LEAST_BYTES);
    }
    expect(imbalance(capture.counters.read())).toEqual({ segments: 0, bytes: 0 });
  });
});
