/** Chunked bodies far longer than the window, on connections whose sides speak at once: no size line and no header block behind is left out. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EGRESS, INGRESS } from '../../src/model/segment.ts';
import {
  Capture,
  Client,
  cleanUp,
  freePort,
  imbalance,
  makeCgroup,
  makeFolder,
  type SeenSegment,
  start,
  untilListening,
} from './rig.ts';
import { cutAt, sendSegments, whyNoSegments } from './segments.ts';

const peer = join(import.meta.dirname, 'peer.ts');
let port = 0;
const balanced = { segments: 0, bytes: 0 };

/** Text, whose bytes may be a method's. */
const chunk = (bytes: number): string => `${bytes.toString(16)}\r\n${'x'.repeat(bytes)}\r\n`;
const upload = (...chunks: number[]): string =>
  `POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunks.map(chunk).join('')}0\r\n\r\n`;
const get = 'GET /next HTTP/1.1\r\nHost: x\r\n\r\n';

/** What must be copied: each line but of chunk data. */
function framingOf(stream: string): Uint8Array {
  const wanted = new Uint8Array(stream.length);
  for (const { index, 0: line } of stream.matchAll(/[^\n]*\n/g))
    if (!/^x+\r\n$/.test(line)) wanted.fill(1, index, index + line.length);
  return wanted;
}

/** The first byte of a stream's framing that was not copied, if there is one. */
function firstMissing(records: readonly SeenSegment[], stream: string): string[] {
  const wanted = framingOf(stream);
  const have = new Uint8Array(stream.length);
  for (const { seq, payload } of records) {
    const at = (seq - records[0]!.seq) | 0;
    have.fill(1, at, at + payload.length);
  }
  const wrong = wanted.findIndex((byte, at) => byte === 1 && have[at] !== 1);
  return wrong < 0 ? [] : [`${JSON.stringify(stream.slice(wrong - 6, wrong + 20))} at ${wrong}`];
}

describe.skipIf(whyNoSegments !== '')('chunked uploads', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  /** Sends a stream once for each list of cuts; the server speaks at each of them. Returns what is missing of its framing. */
  async function missing(stream: string, ways: readonly (readonly number[])[]): Promise<string[]> {
    const cgroup = makeCgroup();
    start(cgroup, process.execPath, [peer, String(port), 'turns']);
    await untilListening(port);
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const bytes = Buffer.from(stream);
    const ports: number[] = [];
    await capture.during(
      (async () => {
        for (const cuts of ways) {
          const client = await Client.open(port);
          ports.push(client.port);
          for (const [from, to] of cutAt(bytes, cuts)) {
            const answered = once(client.socket, 'data');
            client.write(bytes.subarray(from, to));
            await answered;
          }
          client.socket.destroy();
        }
      })(),
    );
    expect(imbalance(capture.counters.read())).toEqual(balanced);
    return ports.flatMap((of, i) =>
      firstMissing(capture.of(of, INGRESS), stream).map((at) => `cut at ${ways[i]}: ${at}`),
    );
  }

  const first = upload(9000, 300, 14_000, 12_000);
  const stream = first + get + get + upload(10_000, 9000, 20_000) + get + upload(3, 30_000) + get;

  it('are followed on where the server speaks and a few bytes of chunk data come next', async () => {
    const ends = [...first.matchAll(/xx\r\n/g)].map((m) => m.index + 4);
    const ways = ends.flatMap((end) => Array.from({ length: 12 }, (_, i) => [end - 10 - i * 3, end - 3 - i * 2]));
    expect(await missing(stream, ways)).toEqual([]);
  });

  it('are followed on behind pipelined requests, wherever the server speaks in the middle of these', async () => {
    const ways = Array.from({ length: 180 }, (_, i) => [first.length - 60 + i]);
    expect(await missing(stream, ways)).toEqual([]);
  });
  it('are followed from a first segment on that has a part of the body, as networks without offloading make them', async () => {
    const cgroup = makeCgroup();
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const sizes = [Array.from({ length: 10 }, () => 40_000), [5_000, 195_000, 200_000], [300_000, 100_000]];
    const sent = sizes.flatMap((chunks) =>
      [1_000, 1_448, 3_000].flatMap((first) =>
        Array.from({ length: 8 }, (_, i) => {
          const text = upload(...chunks).replace('Host', `X: ${'y'.repeat(i * 13)}\r\nHost`);
          const stream = Buffer.from(text);
          return { first, text, stream, segments: cutAt(stream, [first]) };
        }),
      ),
    );
    const ports = await capture.during(sendSegments(cgroup, port, sent));
    const wrong = sent.flatMap(({ first, text }, i) =>
      firstMissing(capture.of(ports[i]!, INGRESS), text).map((at) => `first segment of ${first}: ${at}`),
    );
    expect(wrong).toEqual([]);
    const { copied, seen } = capture.counters.read().ledger;
    expect(copied.bytes).toBeLessThan(seen.bytes / 4);
  });

  // In 64 KiB, which loopback and offloading join. A record for each size line would be thirty times what the chunks are.
  it('of one byte are followed as many as one segment holds, in few records', async () => {
    const download = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunk(1).repeat(10_900)}0\r\n\r\n`;
    const cgroup = makeCgroup();
    const script = join(makeFolder(), 'script');
    writeFileSync(script, JSON.stringify([Buffer.from(download).toString('base64')]));
    start(cgroup, process.execPath, [peer, String(port), 'play', script]);
    await untilListening(port);
    const capture = new Capture(cgroup);
    const client = await Client.open(port);
    await capture.during(
      (async () => {
        client.write(get);
        await client.untilEnded();
      })(),
    );
    expect(client.total).toBe(download.length);
    const records = capture.of(client.port, EGRESS);
    expect(firstMissing(records, download)).toEqual([]);
    expect(records.length).toBeLessThan(20);
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });
});
