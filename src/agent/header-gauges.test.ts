import fc from 'fast-check';
import { expect, test } from 'vitest';
import { headerRows } from '../stats/headers/rows.ts';
import { HeaderState, NameState } from '../stats/headers/state.ts';
import { HeaderGauges } from './header-gauges.ts';

const DIRECTIONS = ['request', 'response'] as const;
const SERVICES_MAX = 32;

/** One name of one route in a window: of `messages`, `having` have it. */
interface Seen {
  readonly service: string;
  readonly route: string;
  readonly direction: (typeof DIRECTIONS)[number];
  readonly name: string;
  readonly value: number;
  readonly having: number;
  readonly messages: number;
}

function windowOf(all: readonly Seen[]): HeaderState {
  const state = new HeaderState();
  for (const { service, route, direction, name, value, having, messages } of all) {
    const group = state.group({ side: 'server', service, method: 'GET', route }, direction);
    group.messages += messages;
    const own = group.names.get(name) ?? new NameState(name);
    own.messages += having;
    own.lines += having;
    own.distinct.add(value * 0x9e3779b1, value * 0x85ebca6b);
    const known = own.values.get(`${value}`)?.count ?? 0;
    own.values.set(`${value}`, { count: known + having, late: 0, example: '' });
    group.names.set(name, own);
  }
  return state;
}

/** The routes of each service as one. */
function byService(states: readonly HeaderState[]): HeaderState {
  const whole = new HeaderState();
  for (const { groups } of states)
    for (const group of groups.values())
      whole.group({ ...group.key, method: '', route: '' }, group.direction).merge(group);
  return whole;
}

const seen = fc.record({
  service: fc.constantFrom('api', 'web'),
  route: fc.constantFrom('/a', '/b', '/c'),
  direction: fc.constantFrom(...DIRECTIONS),
  name: fc.constantFrom('host', 'x-a', 'x-b'),
  value: fc.integer({ min: 1, max: 5 }),
  having: fc.integer({ min: 1, max: 500 }),
  messages: fc.integer({ min: 500, max: 1_000 }),
});

test('after each window: its presence, distinct values and entropy, and its drift from all windows before', () => {
  fc.assert(
    fc.property(fc.array(fc.array(seen, { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 5 }), (specs) => {
      const gauges = new HeaderGauges();
      const windows = specs.map(windowOf);
      for (const [n, window] of windows.entries()) {
        for (const _ of gauges.ended(window)) void [...gauges.fields()];
        const last = byService([window]);
        const before = n === 0 ? null : byService(windows.slice(0, n));
        const expected = [...new Set([...last.groups.values()].map(({ key }) => key.service))].flatMap((service) =>
          headerRows(last, { side: 'server', service, method: '', route: '' }, before).map((row) => ({
            side: 'server',
            service,
            direction: row.direction,
            name: row.name,
            presence: row.presence,
            distinct: row.distinct,
            entropyBits: row.entropy_bits,
            drift: row.drift?.jensen_shannon ?? null,
          })),
        );
        const found = [...gauges.fields()];
        expect(found).toHaveLength(expected.length);
        expect(found).toEqual(expect.arrayContaining(expected));
        expect([...gauges.fields()]).toEqual(found);
      }
    }),
  );
});

const ofServices = (names: readonly string[]): HeaderState =>
  windowOf(
    names.map((service) => ({
      service,
      route: '/',
      direction: 'request',
      name: 'host',
      value: 1,
      having: 900,
      messages: 900,
    })),
  );
const shown = (gauges: HeaderGauges): Set<string> => new Set([...gauges.fields()].map(({ service }) => service));

test('a scrape amid the work on a window has the gauges of one window or the next, never none', () => {
  const gauges = new HeaderGauges();
  for (const _ of gauges.ended(ofServices(['a', 'b', 'c'])));
  let steps = 0;
  for (const _ of gauges.ended(ofServices(['a', 'b', 'c']))) {
    expect(shown(gauges)).toEqual(new Set(['a', 'b', 'c']));
    steps++;
  }
  expect(steps).toBe(6);
  expect([...gauges.fields()].map(({ drift }) => drift)).toEqual([0, 0, 0]);
});

test('services beyond the bound have no gauges until others are gone', () => {
  const names = Array.from({ length: SERVICES_MAX + 5 }, (_, i) => `s${i}`);
  const gauges = new HeaderGauges();
  for (const _ of gauges.ended(ofServices(names)));
  expect(shown(gauges)).toEqual(new Set(names.slice(0, SERVICES_MAX)));
  for (const _ of gauges.ended(ofServices(names.slice(3))));
  expect(shown(gauges)).toEqual(new Set(names.slice(3, SERVICES_MAX + 3)));
});
