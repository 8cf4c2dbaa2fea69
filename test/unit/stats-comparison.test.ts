/** Two ranges compared: what is called more than chance, and how it is shown. */
import { describe, expect, test } from 'vitest';
import { type Comparison, changed, compareRanges, type RouteComparison } from '../../src/stats/compare.ts';
import { comparisonMarkdown, comparisonText } from '../../src/stats/render-comparison.ts';
import type { StateSet } from '../../src/stats/state-set.ts';
import { StatsRig, traffic } from './stats-rig.ts';

const RANGE = { since: '2026-11-22T00:00:00.000Z', until: '2026-11-22T01:00:00.000Z' };
const compared = (routes: RouteComparison[], headers: Comparison['headers'] = []): Comparison => ({
  before: RANGE,
  after: RANGE,
  routes,
  headers,
});

describe('comparing two ranges', () => {
  const compare = (a: StateSet, b: StateSet, seconds = 60) =>
    compareRanges({ states: a, seconds: 60 }, { states: b, seconds });

  test('without a change finds none, in 200 pairs', () => {
    let alarms = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const [row] = compare(traffic(seed, 400, 10, 0.05), traffic(seed + 1_000, 400, 10, 0.05));
      if (changed(row!)) alarms++;
    }
    // Five comparisons at p < 0.001 in each pair.
    expect(alarms).toBeLessThanOrEqual(4);
  });

  test('finds slower answers, more errors, another rate, each alone', () => {
    const base = traffic(1, 4_000, 10, 0.02);
    const [slow] = compare(base, traffic(2, 4_000, 13, 0.02));
    expect(slow!.latency_ns.p50).toMatchObject({ significant: true });
    expect(slow!.latency_ns.p50.change).toBeCloseTo(0.3, 1);
    expect(slow!.error_ratio.significant || slow!.rate_per_s.significant).toBe(false);
    const [failing] = compare(base, traffic(3, 4_000, 10, 0.06));
    expect(failing!.error_ratio.significant).toBe(true);
    expect(failing!.latency_ns.p95.significant || failing!.rate_per_s.significant).toBe(false);
    const [busy] = compare(base, traffic(4, 4_000, 10, 0.02), 40);
    expect(busy!.rate_per_s).toMatchObject({ significant: true });
    expect(busy!.rate_per_s.change).toBeCloseTo(0.5, 5);
    expect(busy!.latency_ns.p50.significant || busy!.error_ratio.significant).toBe(false);
  });

  test('finds gRPC calls that began to fail behind a 200, by their status, with a call that shows it', () => {
    const rig = (failing: number): StateSet => {
      const all = new StatsRig();
      const statuses = [...Array(400 - failing).fill(0), ...Array(failing).fill(14), 5, null];
      for (const [ordinal, grpc] of statuses.entries()) all.call({ upgrade: 'grpc', grpc, ordinal });
      return all.engine.states();
    };
    const [before, after] = [rig(0), rig(40)];
    const [row] = compare(before, after);
    expect([changed(row!), row!.error_ratio.significant]).toEqual([true, false]);
    expect(row!.grpc).toEqual({
      failed_ratio: { before: 1 / 401, after: 41 / 401, change: expect.closeTo(40, 9), significant: true },
      statuses: [
        { status: 'NOT_FOUND', ratio: { before: 1 / 401, after: 1 / 401, change: 0, significant: false } },
        { status: 'UNAVAILABLE', ratio: { before: 0, after: 40 / 401, change: null, significant: true } },
      ],
      example: [...after][0]!.state.grpc!.first!.example,
    });
    const text = comparisonText(compared([row!]));
    expect(text).toMatch(new RegExp(`more gRPC failures +0\\.2 % +10\\.2 % +\\+4000 % +${row!.grpc!.example}\n`));
    expect(text).toMatch(/new: gRPC UNAVAILABLE +0\.0 % +10\.0 %/);
    const [back] = compare(after, before);
    expect(comparisonText(compared([back!]))).toMatch(/fewer gRPC failures +10\.2 % +0\.2 %/);
    expect(compare(before, before).some(changed)).toBe(false);
    expect(compare(traffic(1, 10, 10, 0), traffic(2, 10, 10, 0))[0]!.grpc).toBeNull();
  });

  test('few calls are no evidence; new and vanished routes are named', () => {
    const [few] = compare(traffic(1, 5, 10, 0), traffic(2, 5, 20, 0.5));
    expect(changed(few!)).toBe(false);
    const rows = compare(traffic(1, 50, 10, 0, { route: '/old' }), traffic(2, 60, 10, 0, { route: '/new' }));
    expect(rows.map(({ route, presence }) => [route, presence])).toEqual([
      ['/new', 'new'],
      ['/old', 'vanished'],
    ]);
    expect(rows[0]!.latency_ns.p50).toMatchObject({ before: null, change: null, significant: false });
    expect(comparisonText(compared(rows))).toContain('2 of 2 routes');
    // A path that is asked for now and then: one call more or less is no news, neither is that it failed, nor how long the other range was.
    const seldom = compare(traffic(1, 100, 10, 0), traffic(2, 1, 10, 1), 1);
    const others = compare(traffic(1, 3, 10, 0, { route: '/old' }), traffic(2, 1, 10, 1, { route: '/new' }), 600);
    for (const found of [seldom, others]) {
      expect(found.some(changed)).toBe(false);
      expect(comparisonText(compared(found))).toContain('Nothing changed by more than chance.');
    }
  });
});

describe('as text', () => {
  test('a comparison names what is more than chance, the worst first, with a call; or says that nothing is', () => {
    const [before, after] = [traffic(1, 4_000, 10, 0.02), traffic(2, 4_000, 20, 0.02, { ordinal: 7 })];
    for (const [set, route, ms, errors] of [
      [before, '/failing', 10, 0],
      [after, '/failing', 10, 0.04],
      [before, '/gone', 10, 0],
      [after, '/came', 10, 0],
    ] as const)
      for (const { key, state } of traffic(3, 4_000, ms, errors, { route, ordinal: 7 })) set.merge(key, state);
    const rows = compareRanges({ states: before, seconds: 60 }, { states: after, seconds: 60 });
    const text = comparisonText(compared(rows));
    expect(text).toContain('More than chance (p < 0.001): 4 of 4 routes');
    const findings = text.slice(text.indexOf('More than'), text.indexOf('All routes'));
    const whats = [...findings.matchAll(/(more errors|new: 5xx|p\d+ slower|new route|no more calls)/g)].map(
      ([what]) => what,
    );
    expect(whats.slice(0, 4)).toEqual(['more errors', 'new: 5xx', 'p50 slower', 'p95 slower']);
    expect(whats.slice(-2).sort()).toEqual(['new route', 'no more calls']);
    const id = after
      .get({ service: 'api', side: 'server', method: 'GET', route: '/failing' })!
      .firstErrors.find(Boolean)!.example;
    expect(findings).toMatch(new RegExp(`new: 5xx +0\\.0 % +[34]\\.\\d % +${id}\n`));
    expect(comparisonMarkdown(compared(rows))).toContain('| new: 5xx | 0.0 % |');
    const same = compareRanges({ states: before, seconds: 60 }, { states: before, seconds: 60 });
    expect(comparisonText(compared(same))).toContain('Nothing changed by more than chance.');
    for (const columns of [80, 100, 200])
      for (const line of comparisonText(compared(rows), columns).split('\n'))
        expect(line.length, line).toBeLessThanOrEqual(columns);
  });

  test('header fields that changed alike in several routes are one line; a credential is told as one', () => {
    const key = {
      service: 'api',
      side: 'server',
      method: 'GET',
      direction: 'request',
      kind: 'values' as const,
      example: 'r-1-2',
    };
    const rotated = {
      ...key,
      name: 'authorization',
      before: 1,
      after: 1,
      value_before: 'Bearer [fp:01]',
      jensen_shannon: null,
      value_after: 'Bearer [fp:02]',
    };
    const added = {
      ...key,
      kind: 'new' as const,
      name: 'x-new',
      before: null,
      after: 0.98,
      value_before: null,
      jensen_shannon: null,
      value_after: '|<script>\u202e',
    };
    const text = comparisonText(
      compared(
        [],
        [
          { ...rotated, route: '/a' },
          { ...rotated, route: '/b' },
          { ...added, route: '/a' },
        ],
      ),
    );
    expect(text).toMatch(/2 routes +request +authorization +credential +Bearer \[fp:01\] +Bearer \[fp:02\] +r-1-2\n/);
    expect(text).toMatch(/\/a +request +x-new +new +absent +\|<script>\? \(in 98\.0 %\) +r-1-2\n/);
    expect(comparisonMarkdown(compared([], [{ ...added, route: '/a' }]))).not.toMatch(/(?<!\\)<script/);
  });

  test('hostile names do not get through', () => {
    const hostile = traffic(1, 10, 1, 0, { route: '/\u001b[2J\r\n<script>|`x`\u202e', method: '*bold*' });
    const comparison = compareRanges({ states: hostile, seconds: 1 }, { states: hostile, seconds: 1 });
    expect(comparisonText(compared(comparison))).not.toMatch(/[\u001b\u202e\r]/);
    expect(comparisonMarkdown(compared(comparison))).not.toMatch(/(?<!\\)<script/);
  });
});
