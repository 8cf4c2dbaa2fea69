/** A segment of which the window ends where a chunk-size line stands: it is told in pieces that meet, each byte once. */
import { afterEach, describe, expect, it } from 'vitest';
import { INGRESS } from '../../src/model/segment.ts';
import { Capture, cleanUp, freePort, imbalance, makeCgroup } from './rig.ts';
import { cutAt, sendSegments, whyNoSegments } from './segments.ts';

const WINDOW = 8192;
/** From the line feed before a chunk-size line to the last byte of it, and beyond on both sides. */
const AROUND = 12;
const HEAD = 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n';

const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;

/** A body whose first chunk's data ends at `end` of the stream. */
const endingAt = (end: number): Buffer => {
  const first = end - HEAD.length - '1fff\r\n'.length;
  return Buffer.from(`${HEAD}${chunk(first)}${chunk(9000)}${chunk(20_000)}${chunk(7)}0\r\n\r\n`);
};

describe.skipIf(whyNoSegments !== '')('pieces', () => {
  afterEach(cleanUp);

  it('of a segment meet wherever the window ends', async () => {
    const port = await freePort();
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const streams = Array.from({ length: 2 * AROUND }, (_, i) => endingAt(WINDOW - AROUND + i));
    const sendings = streams.map((stream) => ({ stream, segments: cutAt(stream, []) }));
    const ports = await capture.during(sendSegments(cgroup, port, sendings));
    for (const [i, stream] of streams.entries()) {
      const what = `first chunk ends at ${WINDOW - AROUND + i}`;
      const records = capture.of(ports[i]!, INGRESS);
      const origin = records[0]!.seq;
      const have = new Uint8Array(stream.length);
      let end = 0;
      for (const { seq, length, payload, leftOut } of records) {
        const at = (seq - origin) | 0;
        expect(payload.length, what).toBeLessThanOrEqual(length);
        expect(leftOut, what).toBe(at - end);
        expect(payload.equals(stream.subarray(at, at + payload.length)), what).toBe(true);
        have.fill(1, at, at + payload.length);
        end = at + length;
      }
      expect(end, what).toBe(stream.length);
      expect(have.subarray(0, WINDOW).includes(0), what).toBe(false);
      const text = stream.toString('latin1');
      for (const { index, 0: line } of text.matchAll(/(?<=\r\n)[0-9a-f]+\r\n/g))
        expect(have.subarray(index, index + line.length).includes(0), `${what}: size line at ${index}`).toBe(false);
    }
    expect(imbalance(capture.counters.read())).toEqual({ segments: 0, bytes: 0 });
    expect(capture.ring.malformed).toBe(0);
  });
});
