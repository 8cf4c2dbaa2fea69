/** Chunked bodies of which pressure left parts out, size lines among them. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Pair } from '../../../test/unit/h1-pair.ts';

const HEAD = 'HTTP/1.1 200 OK$Transfer-Encoding: chunked$$';
const LAST = 'HTTP/1.1 204 Last$$';
/** A body that quotes what HTTP is made of. */
const QUOTED = 'HTTP/1.1 200 OK$x-id: quoted$$10$0$$f$a line of text..$'.replaceAll('$', '\r\n');

const dataOf = (bytes: number, quoted: boolean): string =>
  quoted ? QUOTED.repeat(Math.ceil(bytes / QUOTED.length)).slice(0, bytes) : 'x'.repeat(bytes);

/** The coded body, cut into records as a server that writes each chunk at once does, or one that fills its records. */
function recordsOf(
  chunks: readonly number[],
  record: number,
  filled: boolean,
  quoted: boolean,
  trailer: string,
): string[] {
  const coded = chunks.map((bytes) => `${bytes.toString(16)}\r\n${dataOf(bytes, quoted)}\r\n`);
  coded.push(`0\r\n${trailer}\r\n`);
  const writes = filled ? [coded.join('')] : coded;
  return writes.flatMap((text) =>
    Array.from({ length: Math.ceil(text.length / record) }, (_, i) => text.slice(i * record, (i + 1) * record)),
  );
}

const shape = fc.record({
  chunks: fc.array(fc.integer({ min: 1, max: 9_000 }), { minLength: 1, maxLength: 12 }),
  record: fc.integer({ min: 600, max: 4_000 }),
  shown: fc.integer({ min: 1, max: 600 }),
  filled: fc.boolean(),
  quoted: fc.boolean(),
  trailer: fc.constantFrom('', 'X-Sum: 1\r\n'),
  from: fc.nat(20),
});

test('whatever is left out of them: each ends, close to as long as it was, and the next call is exact', () => {
  fc.assert(
    fc.property(fc.array(shape, { minLength: 1, maxLength: 4 }), (shapes) => {
      const pair = new Pair();
      const endsCut: boolean[] = [];
      for (const { chunks, record, shown, filled, quoted, trailer, from } of shapes) {
        pair.client('GET /a HTTP/1.1$Host: x$$').server(HEAD);
        const cuts = recordsOf(chunks, record, filled, quoted, trailer).map((text, i) => {
          const cut = i >= from && text.length > shown;
          if (cut) pair.server(text.slice(0, shown)).serverCut(text.slice(shown), 'shed_body');
          else pair.server(text);
          return cut;
        });
        // The trailer section may begin in the last record but one.
        endsCut.push(cuts.slice(-2).some(Boolean));
      }
      pair.client('GET /last HTTP/1.1$Host: x$$').server(LAST);
      const answers = pair.log.filter((line) => line.startsWith('<'));
      expect(answers).toHaveLength(shapes.length + 1);
      expect(answers.at(-1)).toBe('< 204 framed 0');
      for (const [i, { chunks, quoted }] of shapes.entries()) {
        const [, status, end, bytes] = answers[i]!.split(' ');
        const length = chunks.reduce((sum, n) => sum + n, 0);
        expect(status).toBe('200');
        // A trailer section of which a part is missing says so.
        if (end !== 'lost' || !endsCut[i]) expect(end).toBe('framed');
        // Of framing that was not seen, as much counts as data: a size line and two line ends for each chunk, and what is last.
        // Data that quotes a last chunk just behind what is missing is taken for one, and what follows it for what it is: a loss.
        if (!quoted) expect(Number(bytes)).toBeGreaterThanOrEqual(length);
        expect(Number(bytes)).toBeLessThanOrEqual(length + 8 * chunks.length + 20);
      }
      if (!shapes.some(({ quoted }) => quoted)) expect(pair.losses.totals()).toEqual([]);
    }),
  );
});

test('a chunk whose line end alone is missing ends where its size says', () => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
  pair.serverCut(`${'x'.repeat(60)}$`, 'shed_body').server('2$ab$0$$');
  expect(pair.log.at(-1)).toBe('< 200 framed 102');
});

test('size lines are believed again, and trailers read', () => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
  pair.serverCut('y'.repeat(500), 'shed_body').server(`y$3$abc$5$abcde$0$A: 1$$`);
  expect(pair.log.at(-1)).toBe('< 200 framed 551');
});

test.each([
  ['past a chunk', '64$', 101],
  ['in a size line', '6', 1],
])('what the window left out %s is a loss, and the body goes on', (_says, before, length) => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}${before}`);
  pair.serverCut('x'.repeat(length), 'left_out');
  expect(pair.log.at(-1)).toBe('> GET /a framed');
  expect(pair.losses.totals()).toEqual([{ reason: 'window', count: 1, bytes: length }]);
  pair.client('GET /last HTTP/1.1$Host: x$$').server(LAST);
  expect(pair.log.slice(-2)).toEqual([`< 200 framed ${length}`, '< 204 framed 0']);
});

test('an answer that is missing behind a body that went astray is not put in its place', () => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
  pair.serverCut('y'.repeat(500), 'shed_body');
  pair.client('GET /b HTTP/1.1$Host: x$$').serverCut(HEAD, 'shed_body').server('3$abc$3$abc$0$$');
  pair.client('GET /last HTTP/1.1$Host: x$$').server(LAST);
  expect(pair.log.slice(-2)).toEqual(['< 200 lost 608', '< 204 framed 0']);
});

test("of several answers that may be missing behind it, none is left to be another's", () => {
  const pair = new Pair().client(
    'GET /a HTTP/1.1$Host: x$$GET /b HTTP/1.1$Host: x$$POST /c HTTP/1.1$Host: x$Content-Length: 9$$',
  );
  pair.server(`${HEAD}64$${'x'.repeat(40)}`).serverCut('y'.repeat(500), 'left_out');
  // A turn of the client's that begins no call.
  pair.client('part of c').server(LAST);
  expect(pair.log.slice(-2)).toEqual(['< 200 lost 540', '< 204 framed 0']);
});

test.each(['fin', 'rst'] as const)(
  'answers that may be missing behind it when the connection ends by %s are not taken for none',
  (how) => {
    const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$GET /b HTTP/1.1$Host: x$$');
    pair.server(`${HEAD}64$${'x'.repeat(40)}`).serverCut('y'.repeat(500), 'left_out');
    pair.response.end(how, 9);
    expect(pair.log.at(-1)).toBe('< 200 lost 540');
  },
);

test.each(['fin', 'rst'] as const)(
  'the end of the connection by %s is the end of a body whose framing was not seen to the last',
  (how) => {
    const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
    pair.serverCut('y'.repeat(500), 'shed_body');
    pair.response.end(how, 9);
    expect(pair.log.at(-1)).toBe('< 200 fin 540');
  },
);

test.each([
  ['fin', `yyy$0$$`, 'fin'],
  ['rst', `yyy$0$A: 1$$`, 'fin'],
  ['fin', `yyy$3$abc$`, 'short'],
  ['rst', `yyy$3$abc$5$ab`, 'rst'],
  ['fin', 'yyyyy', 'short'],
] as const)('by %s behind bytes that were seen, %j: it is over where a last chunk may be', (how, tail, end) => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
  pair.serverCut('y'.repeat(500), 'shed_body').server(tail);
  pair.response.end(how, 9);
  expect(pair.log.at(-1)).toMatch(new RegExp(`^< 200 ${end} `));
});

test('a chunk that is believed again and left out in part has not ended', () => {
  const pair = new Pair().client('GET /a HTTP/1.1$Host: x$$').server(`${HEAD}64$${'x'.repeat(40)}`);
  pair.serverCut('y'.repeat(500), 'shed_body').server('3$abc$3$abc$64$').serverCut('z'.repeat(50), 'shed_body');
  pair.response.end('fin', 9);
  expect(pair.log.at(-1)).toMatch(/^< 200 short /);
});
