/** Connections share what reads a part of a message: whatever comes in turn, each gives what it gives alone. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { LogSink } from '../fuzz/h1-rig.ts';
import * as w from '../rig/h2/wire.ts';
import { Peers, request, response } from './h2-peers.ts';
import { H2Rig, type Piece } from './h2-rig.ts';

/** Which connection goes on, and with how many bytes; in HTTP/1 some of them are missing. */
const steps = fc.array(fc.record({ who: fc.nat(5), bytes: fc.integer({ min: 1, max: 90 }), missing: fc.nat(30) }), {
  minLength: 1,
  maxLength: 120,
});
type Step = { readonly who: number; readonly bytes: number; readonly missing: number };

const text = (n: number): Buffer =>
  Buffer.from(
    [
      `POST /${n}/1 HTTP/1.1\r\nHost: h${n}\r\nX-${n}: ${'v'.repeat(n * 11)}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      `3\r\nabc\r\n0\r\nX-Sum: ${n}\r\n\r\n`,
      `GET /${n}/2 HTTP/1.1\r\nHost: h${n}\r\nX-Folded: a\r\n ${n}\r\n\r\n`,
      `PUT /${n}/3 HTTP/1.1\r\nHost: h${n}\r\nContent-Length: 4\r\n\r\nbody`,
      n % 2 === 0 ? `GET  /${n}/4 HTTP/1.1\r\n\r\n` : `GET /${n}/4 HTTP/1.1\r\nHost: h${n}\r\n\r\n`,
    ].join(''),
    'latin1',
  );

class Requests {
  readonly sink: LogSink;
  readonly #stream: H1Stream;
  readonly #bytes: Buffer;
  #at = 0;

  constructor(n: number, shared: H1Shared) {
    this.sink = new LogSink(shared);
    this.#stream = new H1Stream('request', this.sink, shared, new LossLedger(), 'opened');
    this.#bytes = text(n);
  }

  go({ bytes, missing }: Step): void {
    const from = this.#at;
    const to = Math.min(from + bytes, this.#bytes.length);
    this.#at = to;
    if (to === from) return;
    if (missing === 0) this.#stream.gap(from, to - from, 'gap', 1);
    else {
      const memory = Memory.from(this.#bytes.subarray(from, to));
      this.#stream.data(memory, 0, to - from, from, 1, -1);
      memory.buf.fill(0x2a);
    }
  }

  end(): string[] {
    this.#stream.end('fin', 2);
    return this.sink.log;
  }
}

test('HTTP/1: heads and trailers in parts, of many connections in turn', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const shared = new H1Shared();
      const together = [0, 1, 2, 3, 4, 5].map((n) => new Requests(n, shared));
      for (const step of all) together[step.who]!.go(step);
      const alone = together.map((_, n) => {
        const requests = new Requests(n, new H1Shared());
        for (const step of all) if (step.who === n) requests.go(step);
        return requests.end();
      });
      expect(together.map((requests) => requests.end())).toEqual(alone);
      expect(shared.pool.taken).toBe(0);
    }),
    { numRuns: 300 },
  );
});

function conversation(n: number): Piece[] {
  const peers = new Peers();
  for (const id of [1, 3, 5]) peers.call(id, ['x-request-id', `${n}-${id}-${'i'.repeat(9 * n)}`], ['x-client', `${n}`]);
  const block = peers.client.block(request('POST', `/${n}`, ['x-long', `${n}`.repeat(200)]));
  peers.add('client', w.frame(w.TYPE.headers, 0, 7, block.subarray(0, 40)));
  peers.add('client', w.frame(w.TYPE.continuation, w.END_HEADERS, 7, block.subarray(40)), w.data(7, 'x', true));
  const trailers = w.headers(7, peers.server.block([['x-sum', `${n}`]]), true);
  return peers.add('server', w.headers(7, peers.server.block(response(201)), false), w.data(7, 'y', false), trailers)
    .pieces;
}

/** Cuts the next bytes of a conversation off. */
function* cut(pieces: readonly Piece[]): Generator<Piece, undefined, number> {
  let size = yield { from: 'client', bytes: Buffer.alloc(0) };
  for (const { from, bytes } of pieces) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + size);
      at += part.length;
      size = yield { from, bytes: part };
    }
  }
  return undefined;
}

test('HTTP/2: frames and header blocks in parts, of many connections in turn', () => {
  fc.assert(
    fc.property(steps, (all) => {
      const run = (rig: H2Rig, ns: readonly number[]): string[] => {
        const under = ns.map((n) => ({ n, wire: rig.connection(), parts: cut(conversation(n)) }));
        for (const { parts } of under) parts.next(0);
        const go = (of: (typeof under)[number], bytes: number): boolean => {
          const { value } = of.parts.next(bytes);
          if (value !== undefined) of.wire.send(value.from, value.bytes);
          return value !== undefined;
        };
        for (const { who, bytes } of all) {
          const of = under.find(({ n }) => n === who);
          if (of !== undefined) go(of, bytes);
        }
        for (const of of under) while (go(of, 17));
        for (const { wire } of under) wire.end('fin');
        expect(rig.h1.pool.taken).toBe(0);
        return rig.seen.map((x) => JSON.stringify(x)).sort();
      };
      const ns = [0, 1, 2, 3, 4, 5];
      const alone = ns.flatMap((n) => run(new H2Rig(), [n]));
      expect(run(new H2Rig(), ns)).toEqual(alone.sort());
      expect(alone).toHaveLength(4 * ns.length);
      expect(alone.every((text) => text.includes('"outcome":"complete"'))).toBe(true);
    }),
    { numRuns: 25 },
  );
});
