import fc from 'fast-check';
import { expect, test } from 'vitest';
import { OTHER_ROUTE, ROUTE_LIMITS, RouteTable } from '../../src/exchange/route.ts';
import { segmentShape } from '../../src/exchange/segment-shape.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000) / 100;

const latin1 = fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: 40 });
const word = fc.constantFrom(
  'users',
  'v1',
  '7',
  'a',
  'b',
  '',
  '..',
  '%41',
  '{id}',
  'x;y',
  'app.3f9ac81b.js',
  '%2f',
  'é',
);
const target = fc.oneof(
  latin1,
  fc.array(fc.oneof(word, latin1), { maxLength: 20 }).map((words) => `/${words.join('/')}`),
  fc.tuple(latin1, word).map(([host, path]) => `http://${host}/${path}?${host}`),
);
const small = {
  ...ROUTE_LIMITS,
  children: 3,
  templates: 30,
  serviceTemplates: 20,
  nodes: 200,
  serviceNodes: 100,
  services: 2,
  paths: 4,
};

test('any targets: bounded, and the query never matters', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('a', 'b', 'c'), target, fc.boolean()), { maxLength: 80 }),
      (calls) => {
        const table = new RouteTable(small);
        for (const [service, t, proven] of calls) {
          const route = table.route(service, 'GET', t, proven);
          expect(route.length).toBeLessThanOrEqual((ROUTE_LIMITS.depth + 1) * (3 * 64 + 1));
          expect(table.route(service, 'GET', t, proven)).toBe(route);
          if (!t.includes('?') && !t.includes('#'))
            expect(table.route(service, 'GET', `${t}?q=/x/7`, proven)).toBe(route);
          const { templates, nodes } = table.stats;
          expect(templates).toBeLessThanOrEqual(small.templates);
          expect(nodes).toBeLessThanOrEqual(small.nodes + small.depth);
        }
      },
    ),
    { numRuns: RUNS },
  );
});

test('numbers and UUIDs never reach a template', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.nat().map(String), fc.uuid()), { minLength: 1, maxLength: 15 }), (ids) => {
      expect(new RouteTable().route('s', 'GET', `/${ids.join('/')}`)).toBe(`/${ids.map(() => '{id}').join('/')}`);
    }),
  );
});

test('random tokens of 20 characters and more are ids', () => {
  const runs = 5_000;
  let missed = 0;
  let state = 1;
  for (let run = 0; run < runs; run++) {
    let token = '';
    for (let i = 0; i < 22; i++) {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      token += 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789'[(state >>> 16) % 62]!;
    }
    if (segmentShape(token) !== '{id}') missed++;
  }
  expect(missed / runs).toBeLessThan(0.01);
});

test('templates are stable: routed again, a template is itself', () => {
  fc.assert(
    fc.property(target, (t) => {
      const once = new RouteTable().route('s', 'GET', t);
      if (once !== OTHER_ROUTE) expect(new RouteTable().route('s', 'GET', once)).toBe(once);
    }),
    { numRuns: RUNS },
  );
});
