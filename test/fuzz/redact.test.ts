/** Hostile text: no throw, bounded output, valid lines, and a planted credential never shows. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OUTCOMES } from '../../src/model/exchange.ts';
import { HeaderName } from '../../src/model/fields.ts';
import { LOSS_REASONS } from '../../src/model/loss.ts';
import { KeepEverything } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { type ExchangeSpec, exchangeOf, har, ndjson, policy } from '../unit/log-rig.ts';
import { validLine } from '../unit/log-schema.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000) / 100;

/** Signs that rules look at, so that random text meets them. */
const SIGNS = [
  ...':=&?#/@%;,"\'\\[]{}<> \t._-+~',
  '//',
  '://',
  '%3D',
  '%26',
  '%25',
  '\\"',
  '":"',
  'token',
  'key',
  'password',
  'Bearer ',
  'Basic ',
  'Digest ',
  'sk-',
  'eyJ',
  'AKIA',
  '-----BEGIN ',
  'nonce',
  'realm',
  'http',
  '[fp:0123456789abcdef]',
];
const bytes = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b).toString('latin1'));
const utf8 = fc.string({ unit: 'grapheme', maxLength: 20 }).map((s) => Buffer.from(s).toString('latin1'));
const text = fc
  .array(fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...SIGNS) }, bytes, utf8, fc.string({ maxLength: 12 })), {
    maxLength: 14,
  })
  .map((parts) => Buffer.from(parts.join(''), 'latin1').toString('latin1'));
const names = fc.oneof(
  fc.constantFrom(
    'Authorization',
    'Cookie',
    'Set-Cookie',
    'WWW-Authenticate',
    'Authentication-Info',
    'X-Api-Key',
    'Host',
    'Referer',
    'Link',
    'Location',
    'User-Agent',
    'Content-Length',
    'X-Unknown',
    'X-Request-Id',
  ),
  text,
);
const pairs = fc.array(fc.tuple(names, text), { maxLength: 5 });
const at = fc.constantFrom(-1, 0, 1_000, 5e12);
const message = fc.record({
  method: text,
  target: text,
  status: fc.integer({ min: 0, max: 999 }),
  reason: text,
  version: fc.constantFrom(10, 11, 20),
  headers: pairs,
  trailers: pairs,
  first: at,
  last: at,
});
const exchanges: fc.Arbitrary<ExchangeSpec> = fc.record({
  protocol: fc.constantFrom('http/1.0', 'http/1.1', 'h2', 'h2c'),
  upgrade: text,
  outcome: fc.constantFrom(...OUTCOMES),
  route: text,
  anomalies: fc.integer({ min: 0, max: 0xfffff }),
  losses: fc.array(fc.record({ reason: fc.constantFrom(...LOSS_REASONS), bytes: fc.nat() }), { maxLength: 2 }),
  request: fc.option(message, { nil: null }),
  response: fc.option(message, { nil: null }),
  interim: fc.array(fc.record({ status: fc.constantFrom(100, 103), at, fields: pairs }), { maxLength: 2 }),
});

const redact = redactor(policy());
const keep = redactor(new KeepEverything());

/** The text that a reader must get for bytes given as latin1. */
function readable(latin1: string): string {
  const buf = Buffer.from(latin1, 'latin1');
  const decoded = buf.toString('utf8');
  return Buffer.from(decoded, 'utf8').equals(buf) ? decoded : latin1;
}
const readPairs = (list: readonly (readonly [string, string])[]): string[][] => list.map((pair) => pair.map(readable));

describe('arbitrary bytes in every field', () => {
  test('give a valid line, redacted or not, and the same one from the caches', () => {
    const format = ndjson();
    fc.assert(
      fc.property(exchanges, (spec) => {
        const x = exchangeOf(spec);
        for (const view of [redact, keep, redact]) {
          const line = format.exchange(view(x));
          expect(line).toMatch(/^[\x20-\x7e]+\n$/);
          expect(validLine(JSON.parse(line)), JSON.stringify(validLine.errors)).toBe(true);
          expect(format.exchange(view(x))).toBe(line);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('parse back to the same text when nothing is redacted, with everything opaque listed', () => {
    const format = ndjson();
    fc.assert(
      fc.property(exchanges, (spec) => {
        const record = JSON.parse(format.exchange(keep(exchangeOf(spec))));
        expect(record.request === null).toBe(spec.request === null);
        const { request, response } = spec;
        if (request) {
          expect(record.request.method).toBe(readable(request.method!));
          expect(record.request.target).toBe(readable(request.target!));
          expect(record.request.headers).toEqual(readPairs(request.headers!));
          expect(record.request.trailers).toEqual(readPairs(request.trailers!));
        }
        if (response) {
          expect(record.response.reason).toBe(readable(response.reason!));
          expect(record.response.headers).toEqual(readPairs(response.headers!));
          expect(record.response.interim.map((i: { headers: unknown }) => i.headers)).toEqual(
            spec.interim!.map((i) => readPairs(i.fields)),
          );
          const opaque = [...response.headers!, ...response.trailers!].some((pair) =>
            pair.some((s) => /[\x80-\xff]/.test(s) && readable(s) === s),
          );
          if (opaque) expect(record.response.opaque).toBeDefined();
          if (record.response.opaque)
            expect([response, ...response.headers!, ...response.trailers!, ...spec.interim!].length).toBeGreaterThan(0);
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('give a HAR entry', () => {
    fc.assert(
      fc.property(exchanges, (spec) => {
        const format = har();
        const piece = format.exchange(redact(exchangeOf(spec)));
        const { entries } = JSON.parse(format.begin() + piece + format.end()).log;
        const { timings, time } = entries[0];
        expect(Object.values<number>(timings).reduce((sum, t) => sum + Math.max(0, t), 0)).toBe(time);
      }),
      { numRuns: RUNS },
    );
  });
});

test('bytes that are taken as they are need neither redaction nor escaping', () => {
  const rules = policy();
  const out = Buffer.alloc(1 << 12);
  const short = fc
    .array(fc.oneof(fc.constantFrom(...SIGNS), fc.stringMatching(/^[0-9A-Za-z :=-]{1,20}$/)), { maxLength: 4 })
    .map((parts) => parts.join(''));
  let taken = 0;
  fc.assert(
    fc.property(
      fc.constantFrom('x-unknown', 'user-agent', 'date', 'x-request-id', 'authorization', 'referer'),
      fc.oneof(text, short),
      (name, content) => {
        const bytes = Buffer.from(`--${content}--`, 'latin1');
        const header = new HeaderName(1, name);
        const end = rules.plain(header, bytes, 2, content.length, out, 5);
        if (end < 0) return;
        taken++;
        expect(out.latin1Slice(5, end)).toBe(content);
        expect(rules.value(header, content)).toBe(content);
        expect(JSON.parse(`"${content}"`)).toBe(content);
      },
    ),
    { numRuns: RUNS * 5 },
  );
  expect(taken).toBeGreaterThan(RUNS / 20);
});

describe('a planted credential never shows', () => {
  const SECRET = 'Zq7vK2mX9pT4wB8nR3cY6d';
  const shows = (out: string): boolean => {
    for (let i = 0; i + 8 <= SECRET.length; i++) if (out.includes(SECRET.slice(i, i + 8))) return true;
    return false;
  };
  const rules = policy();
  const value = (name: string, content: string): string => rules.value(new HeaderName(1, name), content);
  const quiet = text.filter((s) => !/[<>"]/.test(s));

  test.each(['authorization', 'cookie', 'set-cookie', 'x-api-key', 'www-authenticate', 'authentication-info'])(
    'in %s, whatever stands around it',
    (name) => {
      // Attribute grammars and public parameters may show a date or a realm, never what follows the credential's own name.
      fc.assert(
        fc.property(text, text, (before, after) => !shows(value(name, `${before} ${SECRET} ${after}`))),
        { numRuns: RUNS },
      );
    },
  );
  test('behind a sensitive key, whatever stands before', () => {
    fc.assert(
      fc.property(
        quiet,
        fc.constantFrom('token', 'api_key', 'X-Amz-Signature', 'pass%77ord', 'KEY'),
        (before, key) => !shows(rules.target(`/${before}?${key}=${SECRET}`)),
      ),
      { numRuns: RUNS },
    );
  });
  test('with a known shape, in any header and target', () => {
    fc.assert(
      fc.property(names, text, text, (name, before, after) => {
        const around = `${before} sk-proj-${SECRET} ${after}`;
        return !shows(value(name.toLowerCase(), around)) && !shows(rules.target(around)) && !shows(rules.text(around));
      }),
      { numRuns: RUNS },
    );
  });
  test('as random text in an unknown header', () => {
    fc.assert(
      fc.property(text, text, (before, after) => !shows(value('x-unknown', `${before} ${SECRET} ${after}`))),
      { numRuns: RUNS },
    );
  });
});

test('a flood of credentials in one value ends in one fingerprint, not in thousands', () => {
  const rules = policy();
  const name = (lower: string): HeaderName => new HeaderName(1, lower);
  const many = (make: (i: number) => string, glue: string): string =>
    Array.from({ length: 8_000 }, (_, i) => make(i)).join(glue);
  const shown = [
    rules.target(`/?${many((i) => `token=v${i}`, '&')}`),
    rules.target(many((i) => `//u${i}:p@h`, '')),
    rules.value(
      name('cookie'),
      many((i) => `a=v${i}`, ';'),
    ),
    rules.value(
      name('set-cookie'),
      many((i) => `a=v${i}`, ';'),
    ),
    rules.value(
      name('www-authenticate'),
      many((i) => `nonce=v${i}`, ','),
    ),
    rules.value(
      name('x-unknown'),
      many((i) => `sk-abcdefgh${i}`, ','),
    ),
    rules.value(
      name('x-unknown'),
      many((i) => `%74oken=v${i}`, ';'),
    ),
  ];
  for (const out of shown) {
    expect(out.split('[fp:').length).toBeLessThan(140);
    expect(out).not.toMatch(/v4000|p@h.*u4000|abcdefgh4000/);
  }
});
