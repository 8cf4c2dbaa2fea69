/**
 * Mutated inputs from the saved corpus. Seeded, so that a failure repeats; HEADWATER_FUZZ sets the number of mutations
 * (200,000 of them in CI). A failing input is printed as hex: save it in the corpus.
 */
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { classifyStart } from '../../src/http/detect.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import { LineTable } from '../../src/http/lines.ts';
import { NameTable } from '../../src/http/names.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { Message, MessageKind } from '../../src/model/message.ts';
import { MessagePool } from '../../src/model/pool.ts';
import { every, run } from './h1-rig.ts';

const MUTATIONS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
const FOLDER = new URL('corpus/h1/', import.meta.url);

interface Input {
  name: string;
  kind: MessageKind;
  bytes: Uint8Array;
}
const CORPUS: Input[] = readdirSync(FOLDER)
  .sort()
  .map((name) => ({
    name,
    kind: name.startsWith('request') ? 'request' : 'response',
    bytes: readFileSync(new URL(name, FOLDER)),
  }));
const METHODS = ['GET', 'HEAD', 'GET', 'CONNECT'];

describe('split invariance', () => {
  for (const { name, kind, bytes } of CORPUS) {
    test(`${name} at every chunk size`, () => {
      for (const methods of [[], METHODS]) {
        const whole = run(kind, bytes, [], { methods });
        for (let size = 1; size < bytes.length; size += size < 64 ? 1 : 37) {
          const cut = run(kind, bytes, every(size, bytes.length), { methods });
          expect(cut.log, `in pieces of ${size}`).toEqual(whole.log);
        }
        // Once more on a connection that has learnt the lines.
        expect(run(kind, bytes, [], { methods, shared: whole.shared }).log).toEqual(whole.log);
      }
    });
  }

  test('any two segmentations of any mixture', () => {
    const cuts = fc.array(fc.nat(1_500), { maxLength: 12 }).map((list) => list.sort((a, b) => a - b));
    const input = fc.constantFrom(...CORPUS);
    fc.assert(
      fc.property(input, input, cuts, cuts, (one, two, first, second) => {
        const bytes = Buffer.concat([one.bytes, two.bytes]);
        const a = run(one.kind, bytes, first, { methods: METHODS });
        const b = run(one.kind, bytes, second, { methods: METHODS });
        expect(a.log).toEqual(b.log);
      }),
      { numRuns: 500, seed: 11 },
    );
  });
});

/** xorshift32. */
class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 1;
  }
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return (x >>> 0) % n;
  }
}

const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  ',',
  ';',
  '0',
  '5',
  'ffffffffffffff',
  '0x',
  '-1',
  '+5',
  'Content-Length: 5\r\n',
  'Content-Length: 6\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Transfer-Encoding : chunked\r\n',
  'HTTP/1.1 200 OK\r\n',
  'GET / HTTP/1.1\r\n',
  'HTTP/1.0',
  'HEAD',
  'CONNECT',
  'Upgrade: h2c\r\n',
  '\r\n ',
  '\x80',
  '0\r\n\r\n',
  '5;a=b\r\nhello\r\n',
  'Host: x\r\n',
].map((text) => Buffer.from(text, 'latin1')); // prettier-ignore

/** Changes bytes in place of `out`, which has room; returns the new length. */
function mutate(random: Random, input: Uint8Array, out: Buffer): number {
  out.set(input);
  let length = input.length;
  for (let n = 1 + random.below(4); n > 0; n--) {
    const at = random.below(length + 1);
    switch (random.below(5)) {
      case 0:
        if (at < length) out[at] = random.below(256);
        break;
      case 1: {
        const cut = Math.min(length - at, 1 + random.below(12));
        out.copyWithin(at, at + cut, length);
        length -= cut;
        break;
      }
      case 2:
      case 3: {
        const token = TOKENS[random.below(TOKENS.length)]!;
        out.copyWithin(at + token.length, at, length);
        out.set(token, at);
        length += token.length;
        break;
      }
      default: {
        const copied = Math.min(length - at, 1 + random.below(40));
        out.copyWithin(at + copied, at, length);
        length += copied;
      }
    }
  }
  return length;
}

test(`${MUTATIONS} mutations: no throw, every message ends once, bounded state, the same at other cuts`, () => {
  const random = new Random(0x4ead);
  const names = new NameTable(300);
  const lines = new LineTable(names, { entries: 256, bytes: 8_192 });
  const pool = new MessagePool({ freeMessages: 64, freeSlabBytes: 65_536, largeBytes: 1 << 20 });
  const shared = new H1Shared(names, lines, pool);
  const losses = new LossLedger();
  const memory = Memory.alloc(16_384);
  const request = pool.take('request');
  let heads = 0;
  let ends = 0;
  let asked = 0;
  const sink = {
    head: (m: Message): void => {
      heads++;
      for (let i = 0; i < m.fields.count; i++) m.fields.value(i);
    },
    interim: (): void => {},
    end: (m: Message): void => {
      ends++;
      if (m.endOffset < m.startOffset || m.bodyBytes < 0) throw new Error('offsets run backwards');
      pool.give(m);
    },
    requestFor: (): Message | null => {
      request.method = METHODS[asked++ % METHODS.length]!;
      return asked % 3 === 0 ? null : request;
    },
  };
  for (let n = 0; n < MUTATIONS; n++) {
    const input = CORPUS[n % CORPUS.length]!;
    const length = mutate(random, input.bytes, memory.buf);
    const stream = new H1Stream(input.kind, sink, shared, losses, n % 7 === 0 ? 'joined' : 'opened');
    const other = new H1Stream(input.kind === 'request' ? 'response' : 'request', sink, shared, losses, 'opened');
    if (input.kind === 'request') H1Stream.pair(stream, other);
    else H1Stream.pair(other, stream);
    try {
      classifyStart(memory, 0, Math.min(length, 40));
      let at = 0;
      let back = 0;
      while (at < length) {
        const piece = Math.min(length - at, 1 + random.below(n % 3 === 0 ? 7 : 400));
        if (random.below(24) === 0) stream.gap(at, piece, random.below(2) === 0 ? 'left_out' : 'gap', n);
        else stream.data(memory, at, piece, at, n, random.below(3) === 0 ? -1 : 0);
        if (random.below(40) === 0) {
          other.data(memory, 0, Math.min(20, length), back, n, at);
          back += Math.min(20, length);
        }
        at += piece;
      }
      stream.end((['fin', 'rst', 'capture_end', 'evicted', 'vanished'] as const)[random.below(5)]!, n);
      other.end('fin', n);
      if (heads !== ends) throw new Error(`${heads} heads and ${ends} ends`);
      if (pool.taken !== 1) throw new Error(`${pool.taken - 1} messages kept`);
    } catch (error) {
      throw new Error(`${input.name}, mutation ${n}: ${memory.buf.toString('hex', 0, length)}`, { cause: error });
    }
    if (n % 100 === 0) {
      const bytes = Uint8Array.prototype.slice.call(memory.buf, 0, length);
      const whole = run(input.kind, bytes, [], { methods: METHODS });
      const cut = run(input.kind, bytes, every(1 + random.below(9), length), { methods: METHODS });
      expect(cut.log, Buffer.from(bytes).toString('hex')).toEqual(whole.log);
    }
  }
  expect(pool.largeBytes).toBe(0);
  expect(pool.free).toBeLessThanOrEqual(64);
  expect(names.size).toBe(300);
  expect(lines.bytes).toBeLessThanOrEqual(8_192);
  expect(ends).toBeGreaterThan(MUTATIONS / 2);
});
