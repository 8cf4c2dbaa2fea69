/** R11: a thousand credentials in every place of a call, of which no output may show eight bytes in a row. */
import { describe, expect, test } from 'vitest';
import type { Exchange } from '../../src/model/exchange.ts';
import { redactor } from '../../src/redact/redacted.ts';
import {
  ANYWHERE,
  escaped,
  formsOf,
  headers,
  KNOWN,
  QUIET,
  RANDOM,
  SENSITIVE,
  type Shape,
  target,
  WELL_KNOWN,
} from '../fixtures/canaries.ts';
import { leak } from '../fixtures/leak.ts';
import { type ExchangeSpec, exchangeOf, har, ndjson, policy } from './log-rig.ts';
import { validLine } from './log-schema.ts';

const CANARIES = 1_000;

const redact = redactor(policy({ sensitive: ['x-own-*'], query: ['own_param'] }));
const formats = { ndjson: ndjson(), har: har() };

function outputs(x: Exchange): string[] {
  const line = formats.ndjson.exchange(redact(x));
  // What the lines' caches answer must be as clean as what was made first.
  expect(formats.ndjson.exchange(redact(x))).toBe(line);
  return [line, formats.har.exchange(redact(x))];
}

function check(
  shapes: Readonly<Record<string, Shape>>,
  places: Readonly<Record<string, (c: string) => ExchangeSpec>>,
  count: number,
): void {
  const kinds = Object.entries(shapes);
  const leaks: string[] = [];
  for (let n = 0; n < count; n++) {
    const [kind, shape] = kinds[n % kinds.length]!;
    const canary = shape(`${kind} ${n}`);
    const forms = formsOf(canary.secret);
    for (const [place, put] of Object.entries(places)) {
      const shown = outputs(exchangeOf(put(canary.text)));
      // Checking every line against the schema would take longer than all the rest.
      if (n < kinds.length) expect(validLine(JSON.parse(shown[0]!)), JSON.stringify(validLine.errors)).toBe(true);
      for (const output of shown) {
        const found = leak(output, forms);
        if (found !== undefined) leaks.push(`${kind} in ${place}: ${found} of ${canary.text}`);
      }
    }
  }
  expect([...new Set(leaks)].slice(0, 20)).toEqual([]);
}

describe('not eight bytes of a credential reach any output', () => {
  const all = { ...KNOWN, ...RANDOM, ...QUIET };
  const kinds = Object.keys(all).length;
  test(`${CANARIES} canaries of ${kinds} shapes in every sensitive place`, () => check(all, SENSITIVE, CANARIES));
  test('known and random shapes in any place', () => check({ ...KNOWN, ...RANDOM }, ANYWHERE, CANARIES));
  test('known shapes under well-known names, and as names', () => check(KNOWN, WELL_KNOWN, CANARIES));
});

test('the same credential has the same fingerprint wherever it stands, and another installation another', () => {
  const key = 'sk-proj-thisisnotarealkey0123';
  const printsOf = (text: string) => [...text.matchAll(/\[fp:([0-9a-f]{16})\]/g)].map((m) => m[1]);
  const specs = [
    headers('Authorization', `Bearer ${key}`),
    headers('X-Api-Key', key),
    target(`/?key=${key}`),
    target(`/?key=${escaped(key)}`),
    headers('X-Unknown', key),
    headers('Cookie', `k=${key}`),
  ];
  const prints = specs.flatMap((spec) => printsOf(formats.ndjson.exchange(redact(exchangeOf(spec)))));
  expect(prints).toHaveLength(specs.length);
  expect(new Set(prints).size).toBe(1);
});
