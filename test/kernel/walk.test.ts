/**
 * Of TLS and HTTP/2 the kernel copies what can carry headers or control, and of long data the beginning. The truth is a
 * model of a few lines, which walks the bytes that were sent; every cut of the stream into segments must agree with it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Direction, EGRESS, INGRESS } from '../../src/model/segment.ts';
import { APPLICATION, frame, HANDSHAKE, hello, PREFACE, record, wantedOfFrames, wantedOfTls } from './framing.ts';
import {
  Capture,
  Client,
  cleanUp,
  freePort,
  imbalance,
  makeCgroup,
  makeFolder,
  start,
  until,
  untilListening,
} from './rig.ts';
import { cutAt, sendSegments, whyNoSegments } from './segments.ts';

const WINDOW = 8192;
const SWITCH = Buffer.from('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
const peer = join(import.meta.dirname, 'peer.ts');
let port = 0;

/** Compares what was captured of a direction with what was sent and wanted; every gap must be explained. */
function expectCopied(capture: Capture, of: number, direction: Direction, sent: Buffer, wanted: Uint8Array, what = '') {
  const records = capture.of(of, direction);
  expect(records.length, what).toBeGreaterThan(0);
  const origin = records[0]!.seq;
  const have = new Uint8Array(sent.length);
  let end = 0;
  for (const s of records) {
    const at = (s.seq - origin) | 0;
    // TCP may send again what it has sent.
    if (at >= end) expect(s.leftOut, `${what}: left out before byte ${at}`).toBe(at - end);
    expect(s.payload.equals(sent.subarray(at, at + s.payload.length)), `${what}: content at ${at}`).toBe(true);
    have.fill(1, at, at + s.payload.length);
    end = Math.max(end, at + s.length);
  }
  const wrong = wanted.findIndex((byte, i) => byte !== have[i]);
  expect({ wrong, wanted: wanted[wrong], have: have[wrong] }, what).toEqual({
    wrong: -1,
    wanted: undefined,
    have: undefined,
  });
}

const balanced = { segments: 0, bytes: 0 };
const split = (stream: Buffer, cuts: readonly number[]): Buffer[] =>
  [0, ...cuts].map((from, i) => stream.subarray(from, cuts[i] ?? stream.length)).filter((piece) => piece.length > 0);

const tlsShort = Buffer.concat([
  hello,
  record(20, 1),
  record(APPLICATION, 0),
  record(APPLICATION, 7),
  record(21, 2),
  record(APPLICATION, 25),
]);
const tlsLong = Buffer.concat([
  tlsShort,
  record(APPLICATION, 3000),
  record(APPLICATION, 16_401),
  record(APPLICATION, 4096),
  record(APPLICATION, 4097),
  record(HANDSHAKE, 9000),
  ...Array.from({ length: 12 }, (_, i) => record(APPLICATION, 16_384 - i)),
  record(APPLICATION, 90),
]);
const h2Short = Buffer.concat([
  PREFACE,
  frame(4, 0, 18),
  frame(8, 0, 4),
  frame(1, 1, 33),
  frame(0, 1, 5),
  frame(0, 1, 0),
  frame(9, 1, 3),
]);
const h2Long = Buffer.concat([
  h2Short,
  frame(1, 3, 3000),
  frame(0, 3, 2048),
  frame(0, 3, 2049),
  frame(9, 3, 10_000),
  ...Array.from({ length: 12 }, (_, i) => frame(i % 3 === 2 ? 1 : 0, 5, 16_384 - i)),
  frame(0x10, 0, 300),
  frame(0xbad % 256, 7, 5000),
  frame(0, 5, 70_000),
  frame(1, 7, 20),
]);

const streams = [
  ['TLS', tlsShort, tlsLong, wantedOfTls],
  ['HTTP/2', h2Short, h2Long, (s: Buffer) => wantedOfFrames(s, PREFACE.length)],
] as const;

describe.skipIf(whyNoSegments !== '')('walk', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  async function startPeer(behaviour: string, script: readonly Buffer[] = []): Promise<Capture> {
    const cgroup = makeCgroup();
    const file = join(makeFolder(), 'script');
    writeFileSync(file, JSON.stringify(script.map((b) => b.toString('base64'))));
    start(cgroup, process.execPath, [peer, String(port), behaviour, file]);
    await untilListening(port);
    return new Capture(cgroup);
  }

  /** Sends a stream once for each list of places to cut it at. */
  async function sent(
    stream: Buffer,
    cuts: readonly (readonly number[])[],
    spared = true,
  ): Promise<{ capture: Capture; ports: number[] }> {
    const cgroup = makeCgroup();
    // Room for all of it, however long this process is kept from reading: what is looked at is no pressure.
    const capture = new Capture(cgroup, { ringBytes: 128 << 20 });
    const sendings = cuts.map((at) => ({ stream, segments: cutAt(stream, at) }));
    const ports = await capture.during(
      sendSegments(cgroup, port, sendings, undefined, spared ? (of, seq) => capture.spare(of, INGRESS, seq) : null),
    );
    expect(imbalance(capture.counters.read())).toEqual(balanced);
    expect(capture.ring.malformed).toBe(0);
    return { capture, ports };
  }

  it.each(streams)('%s cut in two at every byte of its first units', async (_, short, long, wanted) => {
    const { capture, ports } = await sent(
      long,
      Array.from({ length: short.length - 1 }, (_, i) => [i + 1]),
    );
    for (const [i, of] of ports.entries()) expectCopied(capture, of, INGRESS, long, wanted(long), `cut at ${i + 1}`);
  });

  it.each(streams)('%s byte by byte, by odd sizes, in Ethernet sizes and at once', async (_, short, long, wanted) => {
    const every = (size: number, until: number, rest: number): number[] => {
      const cuts: number[] = [];
      for (let at = size; at < long.length; at += at < until ? size : rest) cuts.push(at);
      return cuts;
    };
    const all = [
      every(1, short.length + 20, 1448),
      every(3, 200, 4099),
      every(1448, long.length, 1448),
      every(8192, long.length, 8192),
      every(8193, long.length, 8193),
      every(16_384, long.length, 16_384),
      [],
    ];
    const { capture, ports } = await sent(long, all);
    for (const [i, cuts] of all.entries()) {
      const what = `${cuts.length} cuts, the first at ${cuts[0]}`;
      expectCopied(capture, ports[i]!, INGRESS, long, wanted(long), what);
    }
  });

  it.each([
    // Nobody has said that it is not needed.
    ['TLS', hello, tlsLong, (s: Buffer) => new Uint8Array(s.length).fill(1)],
    ['HTTP/2', PREFACE, h2Long.subarray(PREFACE.length), (s: Buffer) => wantedOfFrames(s, 0)],
  ] as const)('%s that the server sends', async (_, opening, stream, wanted) => {
    const capture = await startPeer('play', split(stream, [3, 4, 100, 3000, 3001, 50_000, 51_448]));
    const client = await Client.open(port);
    client.keep = false;
    await capture.during(
      (async () => {
        client.write(opening);
        await client.untilEnded();
      })(),
    );
    expect(client.total).toBe(stream.length);
    expectCopied(capture, client.port, EGRESS, stream, wanted(stream));
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  // Apache answers so when it is faster than the client.
  it.each([
    ['in one write', []],
    ['frames in a write of their own', [SWITCH.length]],
    ['some frames with it', [SWITCH.length + 60, SWITCH.length + 9_000]],
  ])('HTTP/2 behind a 101, before the client has said a word of it: %s', async (_, cuts) => {
    const frames = [
      frame(4, 0, 18),
      frame(8, 0, 4),
      frame(1, 1, 33),
      ...Array.from({ length: 20 }, () => frame(0, 1, 4000)),
    ];
    const stream = Buffer.concat([SWITCH, ...frames, frame(1, 1, 50)]);
    const capture = await startPeer('play', split(stream, cuts));
    const client = await Client.open(port);
    await capture.during(
      (async () => {
        client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n');
        await client.untilEnded();
      })(),
    );
    expect(client.total).toBe(stream.length);
    expectCopied(capture, client.port, EGRESS, stream, wantedOfFrames(stream, SWITCH.length));
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('many small frames and records in one segment', async () => {
    const frames = Buffer.concat([
      PREFACE,
      ...Array.from({ length: 900 }, (_, i) => frame(i % 2, 1 + 2 * (i >> 1), 20 + (i % 40))),
    ]);
    const records = Buffer.concat([
      hello,
      ...Array.from({ length: 900 }, (_, i) => record(APPLICATION, 10 + (i % 40))),
    ]);
    for (const stream of [frames, records]) {
      port = await freePort();
      const { capture, ports } = await sent(stream, [[]]);
      expectCopied(capture, ports[0]!, INGRESS, stream, new Uint8Array(stream.length).fill(1));
    }
  });

  // As many as 64 KiB hold, which loopback and offloading join: records of one byte in TLS 1.3, empty frames.
  it.each([
    ['records', hello, Array.from({ length: 2_840 }, () => record(APPLICATION, 18))],
    ['frames', PREFACE, Array.from({ length: 7_270 }, () => frame(0, 1, 0))],
  ] as const)('as many %s as one segment holds', async (_, opening, units) => {
    const stream = Buffer.concat(units);
    const capture = await startPeer('play', [stream]);
    const client = await Client.open(port);
    client.keep = false;
    await capture.during(
      (async () => {
        client.write(opening);
        await client.untilEnded();
      })(),
    );
    expect(client.total).toBe(stream.length);
    expectCopied(capture, client.port, EGRESS, stream, new Uint8Array(stream.length).fill(1));
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('what a burst of HTTP/2 may copy ends: the rest keeps its headers', async () => {
    const frames = Buffer.concat([PREFACE, ...Array.from({ length: 400 }, () => frame(0, 1, 1500)), frame(1, 3, 500)]);
    const one = await sent(frames, [[30_000, 60_000, 90_001]]);
    expectCopied(one.capture, one.ports[0]!, INGRESS, frames, wantedOfFrames(frames, PREFACE.length));
  });

  it('TLS is copied whole as long as nobody says that it is not needed', async () => {
    const { capture, ports } = await sent(tlsLong, [[30_000, 60_000, 90_001]], false);
    expectCopied(capture, ports[0]!, INGRESS, tlsLong, new Uint8Array(tlsLong.length).fill(1));
  });

  it('garbage after a start: bounded and counted', async () => {
    for (const opening of [hello, Buffer.concat([PREFACE, frame(4, 0, 0)])]) {
      port = await freePort();
      const { capture, ports } = await sent(Buffer.concat([opening, Buffer.alloc(300_000, 0xff)]), [[opening.length]]);
      const captured = capture.of(ports[0]!, INGRESS).reduce((n, s) => n + s.payload.length, 0);
      expect(captured).toBeGreaterThanOrEqual(opening.length);
      expect(captured).toBeLessThan(WINDOW + opening.length + 1);
    }
  });

  it('a ring without room: framing is not lost, and what is missing is counted as that', async () => {
    const cgroup = makeCgroup();
    start(cgroup, process.execPath, [peer, String(port), 'sink']);
    await untilListening(port);
    const capture = new Capture(cgroup, { ringBytes: 65536 });
    const client = await Client.open(port);
    let sent = 0;
    const stream = Buffer.concat([hello, ...Array.from({ length: 300 }, () => record(APPLICATION, 3000))]);
    for (const piece of split(stream, [hello.length, 40_000, 200_000, 500_000])) {
      client.write(piece);
      sent += piece.length;
      await until(() => capture.counters.read().ledger.seen.bytes >= sent, 'all of it to arrive');
    }
    capture.drain();
    const last = record(APPLICATION, 50);
    client.write(last);
    client.socket.end();
    await client.untilEnded();
    capture.drain();
    const records = capture.of(client.port, INGRESS);
    expect(records.at(-1)!.payload.equals(last)).toBe(true);
    const told = records.reduce((n, s) => n + s.length + s.leftOut + s.lostBytes, 0);
    expect(told).toBe(stream.length + last.length);
    const counters = capture.counters.read();
    expect(counters.ledger.lost.bytes + counters.ledger.shed.bytes).toBeGreaterThan(100_000);
    expect(imbalance(counters)).toEqual(balanced);
  });
});
