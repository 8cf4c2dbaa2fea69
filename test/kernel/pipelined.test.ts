/** Pipelined uploads of known length, far longer than the window: each header block is copied, wherever in a segment it lies. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { INGRESS } from '../../src/model/segment.ts';
import { Capture, cleanUp, freePort, imbalance, makeCgroup, type SeenSegment } from './rig.ts';
import { cutAt, cutEvery, type Range, sendSegments, whyNoSegments } from './segments.ts';

let port = 0;
const get = 'GET /next HTTP/1.1\r\nHost: x\r\n\r\n';

interface Message {
  readonly head: string;
  readonly body: string;
}
const post = (bytes: number, field = `Content-Length: ${bytes}`, body = 'x'.repeat(bytes)): Message => ({
  head: `POST /upload HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n${field}\r\nAccept: */*\r\n\r\n`,
  body,
});
const bare = (head: string): Message => ({ head, body: '' });
const textOf = (messages: readonly Message[]): string => messages.map((m) => m.head + m.body).join('');

/** Every so many places from one to another. */
const every = (step: number, from: number, to: number): number[] =>
  Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => from + i * step);

/** Which header blocks were not copied to their last byte. */
function missing(records: readonly SeenSegment[], messages: readonly Message[]): string[] {
  const have = new Uint8Array(textOf(messages).length);
  for (const { seq, payload } of records) {
    const at = (seq - records[0]!.seq) | 0;
    have.fill(1, at, at + payload.length);
  }
  let at = 0;
  return messages.flatMap(({ head, body }, i) => {
    const whole = have.subarray(at, at + head.length).every((byte) => byte === 1);
    at += head.length + body.length;
    return whole ? [] : [`head ${i} (${head.slice(0, head.indexOf(' '))})`];
  });
}

describe.skipIf(whyNoSegments !== '')('pipelined uploads', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  async function capture(messages: readonly Message[], ways: readonly Range[][]): Promise<[string[][], number]> {
    const cgroup = makeCgroup();
    const seen = new Capture(cgroup, { ringBytes: 128 << 20 });
    const stream = Buffer.from(textOf(messages));
    const ports = await seen.during(
      sendSegments(
        cgroup,
        port,
        ways.map((segments) => ({ stream, segments })),
      ),
    );
    const counters = seen.counters.read();
    expect(imbalance(counters)).toEqual({ segments: 0, bytes: 0 });
    const { copied } = counters.ledger;
    return [ports.map((of) => missing(seen.of(of, INGRESS), messages)), copied.bytes / ways.length / stream.length];
  }

  const mixed = [
    post(20_000),
    post(30_000, 'content-length: 30000'),
    bare(get),
    bare(get.replace('GET', 'DELETE')),
    post(25_000, 'CONTENT-LENGTH: 25000'),
    bare(get.replace('GET', 'OPTIONS')),
    post(0),
    post(40_000),
    post(1),
    post(2000),
    post(70_000),
    bare(get),
  ];

  it('are followed in segments of every size', async () => {
    const sizes = [536, 1000, 1448, 2896, 4096, 8192, 11_111, 16_000];
    const stream = Buffer.from(textOf(mixed));
    const [wrong, share] = await capture(
      mixed,
      sizes.map((size) => cutEvery(stream, size)),
    );
    expect(wrong).toEqual(sizes.map(() => []));
    expect(share).toBeLessThan(0.5);
  });

  it('are followed wherever in a header block a segment ends', async () => {
    const messages = [post(20_000), post(30_000), bare(get)];
    const [first, second] = messages.map(({ head, body }) => head.length + body.length) as [number, number, number];
    const stream = Buffer.from(textOf(messages));
    const cuts = Array.from({ length: messages[1]!.head.length + 2 }, (_, i) => first - 1 + i);
    const [wrong] = await capture(
      messages,
      cuts.map((cut) => cutAt(stream, [first - 500, cut, cut + 9000])),
    );
    expect(wrong.flat()).toEqual([]);
    const last = Array.from({ length: get.length }, (_, i) => first + second + i);
    const [late] = await capture(
      messages,
      last.map((cut) => cutAt(stream, [first - 500, first + 9000, cut])),
    );
    expect(late.flat()).toEqual([]);
  });

  it('are followed where the line that says the length comes in pieces', async () => {
    const long = `Content-Length: ${'2'.repeat(5)}`;
    const messages = [
      post(20_000),
      post(22_222, `Content-Language: en\r\nContent: x\r\nTrans: y\r\n${long}`),
      bare(get),
    ];
    const stream = Buffer.from(textOf(messages));
    const from = stream.lastIndexOf('Content-Language');
    const to = stream.indexOf('Accept', from) + 2;
    const steps = [1, 2, 3, 5, 7, 8, 11, 13, 14, 17, 23];
    const ways = steps.flatMap((step) => [every(step, from, to), every(step, from + 1, to)]);
    const [wrong] = await capture(
      messages,
      ways.map((cuts) => cutAt(stream, [from - 600, ...cuts])),
    );
    expect(wrong).toEqual(ways.map(() => []));
  });

  it('are not interrupted by what their bodies quote, where segments begin', async () => {
    const quote = `POST /quoted HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n${get}HTTP/1.1 200 OK\r\n\r\n`;
    const body = quote.repeat(600);
    const messages = [post(body.length, undefined, body), post(body.length, undefined, body), bare(get)];
    const stream = Buffer.from(textOf(messages));
    const { head } = messages[0]!;
    const second = head.length * 2 + body.length;
    const cuts = [1, 2, 100, 250, 400].map((n) => head.length + n * quote.length);
    const [wrong] = await capture(messages, [
      cutAt(stream, cuts),
      cutAt(stream, [second - 1000, ...cuts.map((cut) => cut + second - head.length)]),
    ]);
    expect(wrong).toEqual([[], []]);
  });

  it('are not followed where readers may disagree on how long they are', async () => {
    const odd = [
      'Content-Length: 020000',
      'Content-Length : 20000',
      'Content-Length: 20000\r\nContent-Length: 20000',
      'Content-Length: 20000, 20000',
      'Content-Length: 20000\r\n ',
      'Content-Length: +20000',
      'Content-Length: 0x4e20',
      'Content-Length: 20000\r\nTransfer-Encoding: identity',
      'Transfer-Encoding: identity\r\nContent-Length: 20000',
      'Content-Length: 9007199254740993',
    ];
    for (const field of odd) {
      const messages = [post(20_000, field), bare(get)];
      const stream = Buffer.from(textOf(messages));
      const from = stream.indexOf(field);
      const ways = [[], ...[1, 4, 9, 15, 18, 20].map((n) => [from + n]), every(3, from, from + field.length)];
      const [wrong] = await capture(
        messages,
        ways.map((cuts) => cutAt(stream, cuts)),
      );
      expect(wrong, field).toEqual(ways.map(() => ['head 1 (GET)']));
    }
  });
});
