/** What the format remembers from line to line (connections, header blocks, status lines, seconds) must change nothing. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { TimeFormatter, UNSEEN } from '../../src/base/clock.ts';
import { Memory } from '../../src/base/memory.ts';
import { LineBuffer } from '../../src/export/log/line.ts';
import { NdjsonFormat } from '../../src/export/log/ndjson.ts';
import { HeaderSelection } from '../../src/export/log/selection.ts';
import { Connection } from '../../src/model/connection.ts';
import type { Exchange } from '../../src/model/exchange.ts';
import { FieldBlock, FieldLine, HeaderName } from '../../src/model/fields.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { exchangeOf, id, policy, time } from './log-rig.ts';
import { validLine } from './log-schema.ts';

const SHARED = new Map<string, FieldLine>();
/** As the line predictor leaves it: one object for a line that repeats; value null: it differs from block to block. */
function lineOf(raw: string, value: string | null): FieldLine {
  const key = `${raw}\0${value ?? '\0'}`;
  let line = SHARED.get(key);
  if (line === undefined) {
    line = new FieldLine(new HeaderName(SHARED.size + 1, raw.toLowerCase()), raw, value);
    SHARED.set(key, line);
  }
  return line;
}

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: 60 });
const text = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom('a', '12', 'gzip, br', 'W/"5e2c"', 'x y', 'Bearer not-a-real-token-0123456789'),
  },
  { weight: 1, arbitrary: latin1 },
);
const name = fc.constantFrom(
  'Host',
  'X-A',
  'x-b',
  'X-Request-Id',
  'Authorization',
  'Set-Cookie',
  'X-\u00e9',
  'ETag',
  'via"',
);
const fieldLine = fc.tuple(name, text, fc.boolean());
/** Few templates, so that the same lines come again and again with other values. */
const template = fc.array(fieldLine, { maxLength: 6 });

const step = (templates: number) =>
  fc.record({
    connection: fc.constantFrom(0, 1, 2),
    request: fc.nat(templates - 1),
    response: fc.nat(templates - 1),
    trailers: fc.oneof({ weight: 5, arbitrary: fc.constant(-1) }, { weight: 1, arbitrary: fc.nat(templates - 1) }),
    values: fc.array(text, { minLength: 3, maxLength: 3 }),
    target: fc.constantFrom('/', '/v1/x?y=1', 'http://u@a.example/x', '*', 'h.example:443', '/caf\u00e9', '/"'),
    method: fc.constantFrom('GET', 'CONNECT', 'OPTIONS', 'ODD\u0080'),
    version: fc.constantFrom(10, 11, 20),
    protocol: fc.constantFrom('http/1.0' as const, 'http/1.1' as const, 'h2' as const),
    status: fc.constantFrom(200, 264, 404, 0),
    reason: fc.constantFrom('OK', 'Not Found', '', 'caf\u00e9', 'O"K'),
    upgrade: fc.constantFrom('', '', 'websocket'),
    interim: fc.boolean(),
    ordinal: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 2 ** 40 })),
    first: fc.oneof(
      fc.constant(UNSEEN),
      fc.integer({ min: 0, max: 3_000_000_000 }),
      fc.integer({ min: 0, max: 2 ** 45 }),
    ),
    service: fc.constantFrom('nginx.service', 'api'),
    outcome: fc.constantFrom('complete' as const, 'timeout' as const),
    missing: fc.constantFrom('none', 'none', 'none', 'request', 'response'),
    route: fc.constantFrom('/v1/{id}', '', '/caf\u00e9'),
    lossy: fc.boolean(),
  });
type Step = typeof step extends (n: number) => fc.Arbitrary<infer S> ? S : never;
type Template = typeof template extends fc.Arbitrary<infer T> ? T : never;

const connections = [1, 1 + 1_024, 70].map((n) => {
  const c = new Connection(n, { address: '127.0.0.1', port: 80 }, { address: '::1', port: n });
  c.side = 'server';
  return c;
});

function block(lines: Template, values: readonly string[], into: FieldBlock): FieldBlock {
  into.clear();
  const own = lines.map(([, value], i) => values[i % values.length] ?? value);
  into.memory = Memory.from(Buffer.from(own.join(''), 'latin1'));
  let offset = 0;
  lines.forEach(([raw, value, shared], i) => {
    into.push(lineOf(raw, shared ? value : null), offset, own[i]!.length);
    offset += own[i]!.length;
  });
  return into;
}

function build(s: Step, templates: readonly Template[]): Exchange {
  const connection = connections[s.connection]!;
  connection.service = s.service;
  const { first } = s;
  const x = exchangeOf({
    connection,
    ordinal: s.ordinal,
    protocol: s.protocol,
    upgrade: s.upgrade,
    outcome: s.outcome,
    route: s.route,
    losses: s.lossy ? [{ reason: 'gap', bytes: 3 }] : [],
    interim: s.interim ? [{ status: 103, at: UNSEEN, fields: [['Link', '</a>']] }] : [],
    request: s.missing === 'request' ? null : { method: s.method, target: s.target, version: s.version, first },
    response: s.missing === 'response' ? null : { status: s.status, reason: s.reason, version: s.version },
  });
  if (x.request !== null) {
    block(templates[s.request]!, s.values, x.request.fields);
    if (s.trailers >= 0) x.request.trailers = block(templates[s.trailers]!, s.values, new FieldBlock());
  }
  if (x.response !== null) block(templates[s.response]!, s.values, x.response.fields);
  return x;
}

describe('what a format remembers', () => {
  test.each([
    ['all headers', undefined],
    ['some headers', new HeaderSelection(['x-*', 'host'], ['x-b'])],
  ])('changes no line: %s', (_, headers) => {
    const COUNT = 3;
    fc.assert(
      fc.property(
        fc.array(template, { minLength: COUNT, maxLength: COUNT }),
        fc.array(step(COUNT), { minLength: 1, maxLength: 30 }),
        (templates, steps) => {
          const redact = redactor(policy());
          const remembering = new NdjsonFormat({ id, time: time(), headers });
          for (const s of steps) {
            const x = redact(build(s, templates));
            const fresh = new NdjsonFormat({ id, time: time(), headers }).exchange(x);
            expect(remembering.exchange(x)).toBe(fresh);
            const record = JSON.parse(fresh);
            expect(validLine(record), JSON.stringify(validLine.errors)).toBe(true);
            expect(record.id).toBe(id(x.connection, x.ordinal));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('numbers and times as bytes', () => {
  const written = (write: (line: LineBuffer) => void): string => {
    const line = new LineBuffer();
    write(line);
    return line.toString();
  };
  const whole = fc.oneof(
    fc.nat(2_000),
    fc.integer({ min: 0, max: 2 ** 31 + 10 }),
    fc.constantFrom(0, 9, 10, 35, 36, 1_295, 1_296, 2 ** 31 - 1, 2 ** 31, Number.MAX_SAFE_INTEGER),
  );

  test('are what the language writes', () => {
    fc.assert(
      fc.property(whole, (n) => {
        expect(written((line) => line.integer(n))).toBe(`${n}`);
        expect(written((line) => line.base36(n))).toBe(n.toString(36));
        expect(written((line) => line.nineDigits(n % 1e9))).toBe(`${n % 1e9}`.padStart(9, '0'));
      }),
    );
  });

  test('a time split for bytes is the time as text', () => {
    const formatter = new TimeFormatter({ wallNs: 1_795_363_445_999_999_999n });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (ts) => {
        const nanoseconds = formatter.split(ts);
        const split = `${formatter.secondText}${`${nanoseconds}`.padStart(9, '0')}Z`;
        expect(formatter.format(ts)).toBe(split);
        expect(split).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
      }),
    );
  });

  test('text that needs escaping appends nothing', () => {
    fc.assert(
      fc.property(latin1, (value) => {
        const line = new LineBuffer();
        const plain = /^[\x20-\x7e]*$/.test(value) && !/["\\]/.test(value);
        expect(line.json(value)).toBe(plain);
        expect(line.toString()).toBe(plain ? value : '');
      }),
    );
  });
});
