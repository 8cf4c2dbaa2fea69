import { expect, test } from 'vitest';
import { parseRange, parseTime } from './calls-range.ts';

const NOW = Date.parse('2026-11-22T16:00:00Z');
const ns = (iso: string): bigint => BigInt(Date.parse(iso)) * 1_000_000n;

test.each([
  ['2026-11-22T16:04:05Z', '2026-11-22T16:04:05Z'],
  ['2026-11-22t16:04:05z', '2026-11-22T16:04:05Z'],
  ['2026-11-22 16:04:05+02:00', '2026-11-22T14:04:05Z'],
  ['2026-11-22T16:04Z', '2026-11-22T16:04:00Z'],
  ['2026-03-29 02:30+01:00', '2026-03-29T01:30:00Z'],
  ['2026-11-22', '2026-11-22T00:00:00Z'],
  ['15m', '2026-11-22T15:45:00Z'],
  ['2h', '2026-11-22T14:00:00Z'],
  ['7d', '2026-11-15T16:00:00Z'],
])('%s is %s', (text, iso) => {
  expect(parseTime(text, NOW)).toEqual({ ok: true, value: ns(iso) });
});

test('nanoseconds are kept', () => {
  expect(parseTime('2026-11-22T16:04:05.123456789Z', NOW)).toEqual({
    ok: true,
    value: ns('2026-11-22T16:04:05Z') + 123_456_789n,
  });
});

test('the hour that comes twice when clocks go back is two hours, by their zones', () => {
  expect(parseTime('2026-10-25T02:30:00+02:00', NOW)).toEqual({ ok: true, value: ns('2026-10-25T00:30:00Z') });
  expect(parseTime('2026-10-25T02:30:00+01:00', NOW)).toEqual({ ok: true, value: ns('2026-10-25T01:30:00Z') });
  expect(parseTime('2026-10-25T02:30:00', NOW)).toMatchObject({
    ok: false,
    error: { message: expect.stringContaining('has no zone') },
  });
});

test('the hour that is missing when clocks go forward is not guessed', () => {
  expect(parseTime('2026-03-29 02:30', NOW)).toMatchObject({
    ok: false,
    error: {
      message: '"2026-03-29 02:30" has no zone: write 2026-03-29T02:30:00Z for UTC, or 2026-03-29T02:30:00+02:00',
    },
  });
});

test.each([
  '',
  'yesterday',
  '15',
  '15x',
  '2026-02-30',
  '2026-02-30T00:00:00Z',
  '2026-13-01',
  '2026-11-22T25:00:00Z',
  '2026-11-22T16:04.5Z',
  '-1h',
  '1e3s',
  '2026-11-22T16:04:05.1234567890Z',
])('"%s" is no time', (text) => {
  expect(parseTime(text, NOW)).toMatchObject({ ok: false, error: { type: 'invalid' } });
});

test('a range that ends before it begins, and one of no length', () => {
  expect(parseRange('1h', '2h', NOW)).toMatchObject({
    ok: false,
    error: { message: expect.stringContaining('the range is empty') },
  });
  expect(parseRange('1h', '60m', NOW)).toMatchObject({ ok: false });
  expect(parseRange(undefined, undefined, NOW)).toEqual({ ok: true, value: { since: null, until: null } });
});
