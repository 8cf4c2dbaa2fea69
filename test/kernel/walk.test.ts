/**
 * Of TLS and HTTP/2 the kernel copies what can carry headers or control, and of long data the beginning. The truth is a
 * model of a few lines, which walks the bytes that were sent; every cut of the stream into segments must agree with it.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type Direction, EGRESS, INGRESS } from '../../src/model/segment.ts';
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
  whyNot,
} from './rig.ts';

const WINDOW = 8192;
const STREAM_BUDGET = 256 * 1024;
const peer = join(import.meta.dirname, 'peer.ts');
let port = 0;

const HANDSHAKE = 22;
const APPLICATION = 23;

/** Bytes that differ from place to place, so that a copy of the wrong place is seen. */
const filler = (length: number, seed: number): Buffer => {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = i * 31 + seed * 17;
  return bytes;
};

const record = (type: number, length: number, version = 3): Buffer =>
  Buffer.concat([Buffer.from([type, 3, version, length >> 8, length & 255]), filler(length, length)]);

const frame = (type: number, stream: number, length: number): Buffer =>
  Buffer.concat([
    Buffer.from([length >> 16, (length >> 8) & 255, length & 255, type, 0]),
    Buffer.from([0, 0, stream >> 8, stream & 255]),
    filler(length, length),
  ]);
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

/** 1 for each byte that must leave the kernel when all this is one burst. */
function wantedOfTls(stream: Buffer): Uint8Array {
  const wanted = new Uint8Array(stream.length);
  let copied = 0;
  for (let at = 0; at < stream.length; ) {
    const length = stream.readUInt16BE(at + 3);
    let keep = length;
    if (stream[at] === APPLICATION) {
      if (copied + length > STREAM_BUDGET || (length > 4096 && copied >= WINDOW)) keep = Math.min(length, 512);
      copied += keep;
    }
    wanted.fill(1, at, at + 5 + keep);
    at += 5 + length;
  }
  return wanted;
}

function wantedOfFrames(stream: Buffer, from: number): Uint8Array {
  const wanted = new Uint8Array(stream.length).fill(1, 0, from);
  let copied = 0;
  for (let at = from; at < stream.length; ) {
    const length = stream.readUIntBE(at, 3);
    const type = stream[at + 3]!;
    let keep = length;
    if (type === 0 || type > 9) {
      if (copied + length > STREAM_BUDGET) keep = Math.min(length, 7);
      else if (length > 2048) keep = 240;
      copied += keep;
    }
    wanted.fill(1, at, at + 9 + keep);
    at += 9 + length;
  }
  return wanted;
}

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
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Sends a stream in the given pieces, each a segment (or several, when it is long), and waits until it has arrived. */
async function send(pieces: readonly Buffer[]): Promise<number> {
  const client = await Client.open(port);
  for (const piece of pieces) {
    await new Promise<void>((resolve) => client.socket.write(piece, () => resolve()));
    await turn();
  }
  client.socket.end();
  await client.untilEnded();
  return client.port;
}

const cutAt = (stream: Buffer, cuts: readonly number[]): Buffer[] =>
  [0, ...cuts].map((from, i) => stream.subarray(from, cuts[i] ?? stream.length)).filter((piece) => piece.length > 0);

/** A ClientHello (RFC 8446 4.1.2) that offers one suite and no protocol: where HTTP/2 may be inside, all is copied. */
const hello = Buffer.concat([
  Buffer.from([HANDSHAKE, 3, 1, 0, 47, 1, 0, 0, 43, 3, 3]),
  filler(32, 1),
  Buffer.from([0, 0, 2, 0x13, 1, 1, 0, 0, 0]),
]);
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

/** A ClientHello that is cut behind its first byte may offer HTTP/2: then everything is copied. */
function wantedWhenCut(stream: Buffer, cuts: readonly number[], wanted: (stream: Buffer) => Uint8Array): Uint8Array {
  const unknown = stream === tlsLong && cuts.some((cut) => cut > 1 && cut < hello.length);
  return unknown ? new Uint8Array(stream.length).fill(1) : wanted(stream);
}

const streams = [
  ['TLS', tlsShort, tlsLong, wantedOfTls],
  ['HTTP/2', h2Short, h2Long, (s: Buffer) => wantedOfFrames(s, PREFACE.length)],
] as const;

describe.skipIf(whyNot !== '')('walk', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);
  // Loopback delivers on the CPU that sends: a sender that moves to another one between two writes reorders its own segments,
  // and the walk then goes on at the next burst. What is compared here is the walk over segments in order.
  beforeAll(() => {
    spawnSync('taskset', ['-a', '-c', '-p', '0', String(process.pid)]);
  });

  async function startPeer(behaviour: string, script: readonly Buffer[] = []): Promise<Capture> {
    const cgroup = makeCgroup();
    const file = join(makeFolder(), 'script');
    writeFileSync(file, JSON.stringify(script.map((b) => b.toString('base64'))));
    start(cgroup, process.execPath, [peer, String(port), behaviour, file]);
    await untilListening(port);
    return new Capture(cgroup);
  }

  it.each(streams)('%s cut in two at every byte of its first units', async (_, short, long, wanted) => {
    const capture = await startPeer('sink');
    for (let from = 1; from < short.length; from += 8) {
      const cuts = Array.from({ length: Math.min(8, short.length - from) }, (_, i) => from + i);
      await capture.during(
        Promise.all(
          cuts.map(async (cut) => {
            const of = await send(cutAt(long, [cut]));
            return { of, cut };
          }),
        ).then((all) => {
          capture.drain();
          for (const { of, cut } of all)
            expectCopied(capture, of, INGRESS, long, wantedWhenCut(long, [cut], wanted), `cut at ${cut}`);
        }),
      );
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
    expect(capture.ring.malformed).toBe(0);
  });

  it.each(streams)('%s byte by byte, by odd sizes, in Ethernet sizes and at once', async (_, short, long, wanted) => {
    const capture = await startPeer('sink');
    const every = (size: number, until: number, rest: number): number[] => {
      const cuts: number[] = [];
      for (let at = size; at < long.length; at += at < until ? size : rest) cuts.push(at);
      return cuts;
    };
    for (const cuts of [
      every(1, short.length + 20, 1448),
      every(3, 200, 4099),
      every(1448, long.length, 1448),
      every(8192, long.length, 8192),
      every(8193, long.length, 8193),
      every(16_384, long.length, 16_384),
      [],
    ]) {
      const of = await capture.during(send(cutAt(long, cuts)));
      expectCopied(
        capture,
        of,
        INGRESS,
        long,
        wantedWhenCut(long, cuts, wanted),
        `${cuts.length} cuts, the first at ${cuts[0]}`,
      );
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it.each([
    ['TLS', hello, tlsLong, wantedOfTls],
    ['HTTP/2', PREFACE, h2Long.subarray(PREFACE.length), (s: Buffer) => wantedOfFrames(s, 0)],
  ] as const)('%s that the server sends', async (_, opening, stream, wanted) => {
    const capture = await startPeer('play', cutAt(stream, [3, 4, 100, 3000, 3001, 50_000, 51_448]));
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

  it('many small frames and records in one segment', async () => {
    const capture = await startPeer('sink');
    const frames = Buffer.concat([
      PREFACE,
      ...Array.from({ length: 900 }, (_, i) => frame(i % 2, 1 + 2 * (i >> 1), 20 + (i % 40))),
    ]);
    const records = Buffer.concat([
      hello,
      ...Array.from({ length: 900 }, (_, i) => record(APPLICATION, 10 + (i % 40))),
    ]);
    for (const stream of [frames, records]) {
      const of = await capture.during(send([stream]));
      expectCopied(capture, of, INGRESS, stream, new Uint8Array(stream.length).fill(1));
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('what a burst may copy ends: the rest keeps its headers', async () => {
    const capture = await startPeer('sink');
    const frames = Buffer.concat([PREFACE, ...Array.from({ length: 400 }, () => frame(0, 1, 1500)), frame(1, 3, 500)]);
    const records = Buffer.concat([hello, ...Array.from({ length: 400 }, () => record(APPLICATION, 1500))]);
    const one = await capture.during(send(cutAt(frames, [30_000, 60_000, 90_001])));
    expectCopied(capture, one, INGRESS, frames, wantedOfFrames(frames, PREFACE.length));
    const two = await capture.during(send(cutAt(records, [30_000, 60_000, 90_001])));
    expectCopied(capture, two, INGRESS, records, wantedOfTls(records));
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('garbage after a start: bounded and counted', async () => {
    const capture = await startPeer('sink');
    for (const opening of [hello, Buffer.concat([PREFACE, frame(4, 0, 0)])]) {
      const garbage = Buffer.alloc(300_000, 0xff);
      const of = await capture.during(send(cutAt(Buffer.concat([opening, garbage]), [opening.length])));
      const captured = capture.of(of, INGRESS).reduce((n, s) => n + s.payload.length, 0);
      expect(captured).toBeGreaterThanOrEqual(opening.length);
      expect(captured).toBeLessThan(WINDOW + opening.length + 1);
    }
    expect(imbalance(capture.counters.read())).toEqual(balanced);
  });

  it('a ring without room: framing is not lost, and what is missing is counted as that', async () => {
    const cgroup = makeCgroup();
    start(cgroup, process.execPath, [peer, String(port), 'sink']);
    await untilListening(port);
    const capture = new Capture(cgroup, { ringBytes: 65536 });
    const client = await Client.open(port);
    let sent = 0;
    const stream = Buffer.concat([hello, ...Array.from({ length: 300 }, () => record(APPLICATION, 3000))]);
    for (const piece of cutAt(stream, [hello.length, 40_000, 200_000, 500_000])) {
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
