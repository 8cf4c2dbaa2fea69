import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UNSEEN } from '../../src/base/clock.ts';
import { Memory } from '../../src/base/memory.ts';
import { Base64 } from '../../src/http/grpc/base64.ts';
import { GrpcMessages } from '../../src/http/grpc/messages.ts';
import { ServerSentEvents } from '../../src/http/sse/events.ts';
import { JsonLines } from '../../src/http/sse/ndjson.ts';
import type { EventUnits, StreamFacts } from '../../src/model/units.ts';

/** One piece each, a thousand nanoseconds apart; a number is a hole of so many bytes. */
function factsOf(units: EventUnits, pieces: readonly (string | Uint8Array | number)[], whole = true): StreamFacts {
  let now = 0;
  for (const piece of pieces) {
    now += 1_000;
    if (typeof piece === 'number') units.skip(piece, 'left_out');
    else {
      const memory = Memory.from(Buffer.concat([Buffer.from('..'), Buffer.from(piece as string)]));
      units.read(memory, 2, memory.size, now);
    }
  }
  return units.facts(whole);
}
const sse = (...pieces: (string | Uint8Array | number)[]): StreamFacts => factsOf(new ServerSentEvents(), pieces);
const lines = (...pieces: (string | number)[]): StreamFacts => factsOf(new JsonLines(), pieces);

/** How many events a text/event-stream has, by the words of WHATWG HTML 9.2.6 on the whole text. */
function eventsIn(text: string): number {
  const all = text.replace(/^\xef\xbb\xbf/, '').split(/\r\n|\n|\r/);
  // What stands behind the last line end is no line.
  all.pop();
  let events = 0;
  let buffered = false;
  for (const line of all) {
    if (line === '') {
      if (buffered) events++;
      buffered = false;
    } else if (line.split(':', 1)[0] === 'data') buffered = true;
  }
  return events;
}

describe('server-sent events', () => {
  test('an event ends with the empty line behind it; its time is that of the piece with this line', () => {
    expect(sse('event: a\ndata: 1\n', '\ndata: 2\n\n', ': ping\n\n', 'data: 3\n\n')).toEqual({
      kind: 'sse',
      events: 3,
      firstAt: 2_000,
      lastAt: 4_000,
      maxGapNs: 2_000,
      partial: false,
    });
  });

  test.each([
    ['no data', 'event: x\nid: 1\n\n', 0],
    ['comments alone', ': ping\n\n: ping\n\n', 0],
    ['two lines of data are one event', 'data: 1\ndata: 2\n\n', 1],
    ['data without a colon', 'data\n\n', 1],
    ['another field that begins so', 'database: 1\n\n', 0],
    ['a space before', ' data: 1\n\n', 0],
    ['upper case', 'Data: 1\n\n', 0],
    ['CR alone', 'data: 1\r\rdata: 2\r\r', 2],
    ['CRLF', 'data: 1\r\n\r\ndata: 2\r\n\r\n', 2],
    ['no empty line at the end', 'data: 1\n\ndata: 2\n', 1],
    ['byte order mark', '\xef\xbb\xbfdata: 1\n\n', 1],
    ['half a byte order mark', '\xef\xbbdata: 1\n\n', 0],
    ['byte order mark later', 'data: 1\n\n\xef\xbb\xbfdata: 2\n\n', 1],
    ['empty', '', 0],
  ])('%s', (_, text, events) => {
    const bytes = Buffer.from(text, 'latin1');
    expect(eventsIn(text)).toBe(events);
    expect(sse(bytes).events).toBe(events);
    expect(sse(...Array.from(bytes, (_byte, i) => bytes.subarray(i, i + 1))).events).toBe(events);
  });

  test('no event, no times', () => {
    expect(sse(': ping\n\n')).toMatchObject({ events: 0, firstAt: UNSEEN, lastAt: UNSEEN, maxGapNs: UNSEEN });
  });

  test('after a hole, what was seen is counted; the gap over it and a first event behind it are not known', () => {
    expect(sse('data: 1\n\nda', 90, 'ta: 2\n\n', 'data: 3\n\n', 'data: 4\n\n')).toEqual({
      kind: 'sse',
      events: 3,
      firstAt: 1_000,
      lastAt: 5_000,
      maxGapNs: 1_000,
      partial: true,
    });
    expect(sse(90, '\ndata: 1\n\n')).toMatchObject({ events: 1, firstAt: UNSEEN, lastAt: 2_000, partial: true });
  });

  const text = fc
    .array(
      fc.constantFrom(
        'data',
        'dat',
        ':',
        ': x',
        '\n',
        '\r',
        '\r\n',
        '\n\n',
        ' ',
        'event: a',
        '\xef',
        '\xbb',
        '\xbf',
        'z',
      ),
      { maxLength: 60 },
    )
    .map((parts) => parts.join(''));

  test('any text, cut anyhow: as the specification says of the whole', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat(12), { maxLength: 40 }), (whole, sizes) => {
        const bytes = Buffer.from(whole, 'latin1');
        const pieces: Buffer[] = [];
        let at = 0;
        for (const size of sizes) {
          pieces.push(bytes.subarray(at, at + size));
          at = Math.min(bytes.length, at + size);
        }
        pieces.push(bytes.subarray(at));
        expect(sse(...pieces).events).toBe(eventsIn(whole));
      }),
      { numRuns: 3_000 },
    );
  });

  test('with a hole anywhere: never more events than there are', () => {
    fc.assert(
      fc.property(text, fc.nat(100), fc.integer({ min: 1, max: 30 }), (whole, from, size) => {
        const bytes = Buffer.from(whole, 'latin1');
        const facts = sse(bytes.subarray(0, from), size, bytes.subarray(from + size));
        expect(facts.events).toBeLessThanOrEqual(eventsIn(whole));
        expect(facts.partial).toBe(true);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('lines of JSON', () => {
  test('lines that are not blank, the last one with or without a newline', () => {
    expect(lines('{"a":1}\n{"b"', ':2}\r\n\n \t\r\n', '{"c":3}')).toEqual({
      kind: 'ndjson',
      events: 3,
      firstAt: 1_000,
      lastAt: 3_000,
      maxGapNs: 1_000,
      partial: false,
    });
  });

  test('a last line of a body that was cut is none', () => {
    expect(factsOf(new JsonLines(), ['{}\n{"a":'], false).events).toBe(1);
  });

  test('asked twice, it says the same', () => {
    const units = new JsonLines();
    factsOf(units, ['{}\n{}']);
    expect(units.facts(true).events).toBe(2);
  });

  test('a line with a hole in it does not count', () => {
    expect(lines('{}\n{"a":', 10, '1}\n{}\n')).toMatchObject({ events: 2, partial: true, maxGapNs: UNSEEN });
  });
});

describe('gRPC-Web', () => {
  const message = (flags: number, text: string): Buffer => {
    const head = Buffer.alloc(5);
    head[0] = flags;
    head.writeUInt32BE(text.length, 1);
    return Buffer.concat([head, Buffer.from(text)]);
  };
  const read = (units: GrpcMessages, bytes: Buffer, size: number): GrpcMessages => {
    for (let at = 0; at < bytes.length; at += size) {
      const memory = Memory.from(bytes.subarray(at, at + size));
      units.read(memory, 0, memory.size);
    }
    return units;
  };
  const trailers = message(0x80, 'grpc-message: no such user\r\ngrpc-status: 5\r\n');
  const body = Buffer.concat([message(0, 'abc'), message(1, ''), trailers]);

  test('its status is in the last message, however it is cut', () => {
    for (const size of [1, 2, 7, 1_000]) {
      const units = read(new GrpcMessages('grpc-web'), body, size);
      expect(units).toMatchObject({ count: 2, exact: true, status: 5 });
      expect(read(new GrpcMessages('grpc-web', true), Buffer.from(body.toString('base64')), size)).toMatchObject({
        count: 2,
        exact: true,
        status: 5,
      });
    }
  });

  test('base64 in padded parts, one for each message', () => {
    const parts = [message(0, 'a'), message(0, 'bc'), trailers].map((part) => part.toString('base64')).join('');
    expect(read(new GrpcMessages('grpc-web', true), Buffer.from(parts), 3)).toMatchObject({ count: 2, status: 5 });
  });

  test('what was not seen to its end says nothing: trailers cut short, compressed, or with a hole', () => {
    expect(read(new GrpcMessages('grpc-web'), body.subarray(0, -3), 9).status).toBe(null);
    expect(read(new GrpcMessages('grpc-web'), message(0x81, 'grpc-status: 0\r\n'), 9).status).toBe(null);
    const holed = read(new GrpcMessages('grpc-web'), body.subarray(0, -9), 9);
    holed.skip(9);
    expect(holed).toMatchObject({ status: null, exact: false });
    expect(read(new GrpcMessages('grpc'), body, 9)).toMatchObject({ count: 3, status: null });
    expect(read(new GrpcMessages('grpc-web', true), Buffer.from('AAAA!AAA'), 9).exact).toBe(false);
  });

  test('trailers without end are not kept', () => {
    const units = new GrpcMessages('grpc-web');
    read(units, Buffer.from([0x80, 0xff, 0xff, 0xff, 0xff]), 5);
    read(units, Buffer.from(`grpc-status: 3\r\n${'x'.repeat(100_000)}`), 1_000);
    expect(units.status).toBe(null);
  });

  test('base64 of any bytes, cut anyhow', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), fc.integer({ min: 1, max: 900 }), (bytes, size) => {
        const base64 = new Base64();
        const text = Buffer.from(Buffer.from(bytes).toString('base64'));
        const out: Buffer[] = [];
        for (let from = 0; from < text.length; from += size) {
          const memory = Memory.from(text.subarray(from, from + size));
          for (let at = 0; at < memory.size; ) {
            at = base64.decode(memory.view, at, memory.size);
            out.push(Buffer.from(base64.out.buf.subarray(0, base64.length)));
          }
        }
        expect(base64.broken).toBe(false);
        expect(Buffer.concat(out)).toEqual(Buffer.from(bytes));
      }),
    );
  });
});
