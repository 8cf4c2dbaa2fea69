import { describe, expect, test } from 'vitest';
import { UNSEEN } from '../../src/base/clock.ts';
import type { SeriesState } from '../../src/stats/series.ts';
import { burnRate } from '../../src/stats/windows.ts';
import { type Call, connectionOf, Dice, FIRST_MINUTE, only, reportOf, StatsRig } from './stats-rig.ts';

const MINUTE = 60e9;
const MS = 1_000_000;

const stateOf = (...calls: Call[]): SeriesState => {
  const rig = new StatsRig();
  for (const call of calls) rig.call(call);
  return only(rig.engine);
};
const samples = (state: SeriesState): Record<string, number> => ({
  total: state.responseTime().count,
  ttfb: state.ttfb.count,
  upload: state.upload.count,
  think: state.think.count,
  download: state.download.count,
});
const at = (ns: number): Call => ({ times: [ns - 3 * MS, ns - 2 * MS, ns - MS, ns] });

describe('times of a call', () => {
  test('are response time, time to first byte, upload, think time, download', () => {
    const state = stateOf({ times: [10 * MS, 12 * MS, 17 * MS, 30 * MS] });
    expect(state.responseTime().sum).toBe(20 * MS);
    expect(state.ttfb.sum).toBe(7 * MS);
    expect(state.upload.sum).toBe(2 * MS);
    expect(state.think.sum).toBe(5 * MS);
    expect(state.download.sum).toBe(13 * MS);
  });

  test('that were not seen give no sample', () => {
    const none = { total: 0, ttfb: 0, upload: 0, think: 0, download: 0 };
    const unseen = stateOf({ times: [UNSEEN, UNSEEN, UNSEEN, UNSEEN] });
    expect(samples(unseen)).toEqual(none);
    expect(unseen.get('untimed')).toBe(1);
    expect(samples(stateOf({ request: false, outcome: 'truncated' }))).toEqual({ ...none, download: 1 });
    expect(samples(stateOf({ response: false, outcome: 'timeout' }))).toEqual({ ...none, upload: 1 });
    expect(samples(stateOf({ responseEnd: 'open', outcome: 'open' }))).toEqual({
      ...none,
      ttfb: 1,
      upload: 1,
      think: 1,
    });
    expect(samples(stateOf({ responseEnd: 'rst', outcome: 'reset_in_body' }))).toEqual({
      ...none,
      ttfb: 1,
      upload: 1,
      think: 1,
    });
    expect(samples(stateOf({ responseEnd: 'switched', outcome: 'upgraded', status: 101 }))).toEqual({
      ...none,
      ttfb: 1,
      upload: 1,
      think: 1,
    });
    expect(samples(stateOf({ requestEnd: 'lost', outcome: 'truncated' }))).toEqual({
      ...none,
      total: 1,
      ttfb: 1,
      download: 1,
    });
  });

  test('that contradict each other are counted, not recorded', () => {
    const back = stateOf({ times: [5 * MS, 6 * MS, 7 * MS, 4 * MS] });
    expect(back.get('disordered')).toBe(1);
    expect(back.responseTime().count).toBe(0);
    const early = stateOf({ times: [1 * MS, 9 * MS, 4 * MS, 10 * MS] });
    expect(early.get('early')).toBe(1);
    expect(early.think.count).toBe(0);
    expect(early.responseTime().sum).toBe(9 * MS);
  });
});

describe('percentiles', () => {
  test('of each route are within 1 % of the exact ones, at any mixture of loads', () => {
    const rig = new StatsRig();
    const dice = new Dice(11);
    const exact = new Map<string, number[]>();
    for (let i = 0; i < 30_000; i++) {
      const route = `/r${dice.below(3)}`;
      const length = Math.round(50_000 + dice.exponential(2 ** (10 + dice.below(20))));
      rig.call({ route, times: [1e9, 1e9 + 10, 1e9 + length, 1e9 + length], inFlight: 1 + dice.below(100) });
      const known = exact.get(route);
      if (known === undefined) exact.set(route, [length]);
      else known.push(length);
    }
    for (const row of reportOf(rig.engine.states()).routes) {
      const sorted = exact.get(row.route)!.sort((a, b) => a - b);
      expect(row.count).toBe(sorted.length);
      for (const [name, q] of [
        ['p50', 0.5],
        ['p90', 0.9],
        ['p95', 0.95],
        ['p99', 0.99],
        ['p999', 0.999],
      ] as const) {
        const truth = sorted[Math.ceil(q * sorted.length) - 1]!;
        expect(Math.abs(row.latency_ns[name]! / truth - 1)).toBeLessThan(0.01);
      }
      expect(row.latency_ns.max).toBe(sorted.at(-1));
      expect(row.latency_ns.mean).toBe(Math.round(sorted.reduce((a, b) => a + b) / sorted.length));
    }
  });
});

describe('errors', () => {
  test('each call is in one class; aborts and what capture missed are apart', () => {
    const rig = new StatsRig();
    const calls: Call[] = [
      ...[200, 204, 302, 401, 403, 404, 404, 408, 429, 400, 422, 500, 503, 101].map((status) => ({ status })),
      { response: false, outcome: 'timeout' },
      { response: false, outcome: 'reset_before_headers' },
      { responseEnd: 'rst', outcome: 'reset_in_body', status: 200 },
      { responseEnd: 'rst', outcome: 'client_abort', status: 200 },
      { responseEnd: 'lost', outcome: 'truncated', status: 200 },
      { responseEnd: 'lost', outcome: 'truncated', status: 502 },
      { responseEnd: 'short', outcome: 'truncated', status: 200, anomalies: 1 << 16 },
      // An upload that its client closed in the middle.
      { response: false, requestEnd: 'short', outcome: 'truncated', anomalies: 1 << 16 },
      { outcome: 'protocol_error', status: 400 },
      { responseEnd: 'open', outcome: 'open', status: 200 },
    ];
    for (const call of calls) rig.call(call);
    const [row] = reportOf(rig.engine.states()).routes;
    expect(row!.errors.classes).toEqual({
      '401': 1,
      '403': 1,
      '404': 2,
      '408': 1,
      '429': 1,
      '4xx': 2,
      '5xx': 3,
      timeout: 1,
      reset_before_headers: 1,
      reset_in_body: 1,
      client_abort: 1,
      truncated: 3,
      protocol_error: 1,
    });
    // All but the aborts, that of the upload too, and the one truncated by capture.
    expect(row!.errors.total).toBe(16);
    expect(row!.errors.ratio).toBe(16 / calls.length);
    expect(row!.errors.interval[0]).toBeLessThan(row!.errors.ratio);
    expect(row!.errors.interval[1]).toBeGreaterThan(row!.errors.ratio);
    expect(row!.statuses).toMatchObject({ '200': 6, '404': 2, '502': 1 });
  });

  test('the first of each class keeps its time and an example', () => {
    const rig = new StatsRig();
    rig.call({ ...at(5 * MS), ordinal: 3, status: 500 });
    rig.call({ ...at(9 * MS), ordinal: 4, status: 503 });
    rig.engine.advance(3 * MINUTE);
    rig.call({ ...at(3 * MINUTE + MS), ordinal: 5, status: 500 });
    rig.call({ ...at(3 * MINUTE + MS), ordinal: 6, status: 404 });
    const [row] = reportOf(rig.engine.states(), 300).routes;
    const { id } = rig.connection;
    expect(row!.errors.first).toEqual([
      { class: '404', at: '2026-11-22T16:07:00.001Z', example: `r-${id}-6` },
      { class: '5xx', at: '2026-11-22T16:04:00.005Z', example: `r-${id}-3` },
    ]);
  });

  test('burn over 5 minutes, an hour and six', () => {
    const rig = new StatsRig();
    for (let minute = 0; minute < 400; minute++) {
      const status = minute >= 397 ? 500 : 200;
      for (let i = 0; i < 10; i++) rig.call({ ...at(minute * MINUTE + 10e9), status });
      rig.engine.advance(minute * MINUTE + 20e9);
    }
    const { burn } = [...rig.engine.burn(FIRST_MINUTE + 399)][0]!;
    expect(burn).toEqual({
      '5m': { calls: 50, errors: 30 },
      '1h': { calls: 600, errors: 30 },
      '6h': { calls: 3_600, errors: 30 },
    });
    expect(burnRate(burn['1h'], 0.99)).toBeCloseTo(5);
    // As it was a while ago.
    expect([...rig.engine.burn(FIRST_MINUTE + 396)][0]!.burn).toMatchObject({
      '5m': { calls: 50, errors: 0 },
      '6h': { calls: 3_570, errors: 0 },
    });
    expect(burnRate({ calls: 0, errors: 0 }, 0.99)).toBeNull();
  });
});

describe('traffic', () => {
  test('bytes by direction, protocols, connections and their reuse, rate', () => {
    const rig = new StatsRig();
    const old = connectionOf();
    old.start = 'joined';
    for (let i = 1; i <= 10; i++) rig.call({ ordinal: i, bytes: [100, 5, 200, 1_000] });
    rig.call({ connection: old, ordinal: 1, protocol: 'h2', upgrade: 'grpc', bytes: [1, 2, 3, 4] });
    rig.call({
      connection: old,
      ordinal: 2,
      outcome: 'upgraded',
      upgrade: 'websocket',
      status: 101,
      responseEnd: 'switched',
    });
    const report = reportOf(rig.engine.states(), 6);
    expect(report.routes[0]!.bytes).toEqual({
      request_header: 1_101,
      request_body: 52,
      response_header: 2_203,
      response_body: 11_004,
    });
    expect(report.services).toMatchObject([
      {
        service: 'api',
        count: 12,
        rate_per_s: 2,
        connections: { opened: 1, joined: 1, calls_per_connection: 6 },
        protocols: { 'http/1.1': 11, h2: 1, grpc: 1, websocket: 1 },
      },
    ]);
  });

  test('rows are sorted by count, with all the names of the contract', () => {
    const rig = new StatsRig();
    rig.call({ route: '/b', method: 'POST' });
    for (let i = 0; i < 3; i++) rig.call({ route: '/a' });
    rig.call({ request: false, outcome: 'truncated' });
    const { routes, ledger, range } = reportOf(rig.engine.states());
    expect(routes.map(({ method, route, count }) => [method, route, count])).toEqual([
      ['GET', '/a', 3],
      ['', '', 1],
      ['POST', '/b', 1],
    ]);
    expect(ledger.exchanges).toBe(5);
    expect(range.since).toBe('2026-11-22T16:04:00.000Z');
    expect(Object.keys(routes[0]!)).toEqual(
      expect.arrayContaining([
        'service',
        'side',
        'method',
        'route',
        'count',
        'rate_per_s',
        'latency_ns',
        'ttfb_ns',
        'errors',
        'bytes',
        'load',
        'headers',
      ]),
    );
    expect(Object.keys(routes[0]!.latency_ns)).toEqual(['p50', 'p90', 'p95', 'p99', 'p999', 'max', 'mean']);
  });
});

describe('bounds', () => {
  test('100,000 paths, 1,000 services, 1,000 methods: bounded, counted, and no call is missing', () => {
    const limits = { services: 16, methods: 10, serviceSeries: 256, series: 600, bytes: 8 << 20 };
    const rig = new StatsRig({ limits });
    rig.call({ route: '/', service: 'api' });
    for (let i = 0; i < 1_000; i++) rig.call({ route: '/', service: 'api', method: `M${i}` });
    for (let i = 0; i < 100_000; i++) rig.call({ route: `/scan/${i}`, ...at(i * MS + 4 * MS), inFlight: 1 + (i % 50) });
    for (let i = 0; i < 1_000; i++) rig.call({ route: '/', service: `s${i}`, connection: connectionOf() });
    rig.call({ route: `/${'x'.repeat(5_000)}`, service: 'api' });
    const health = rig.engine.health();
    // 600, and for each of 17 groups its own row and `other`.
    expect(health.series).toBeLessThanOrEqual(600 + 17 * 2);
    expect(health.bytes).toBeLessThanOrEqual(limits.bytes * 1.1);
    expect(health.overflow).toMatchObject({ service: 985, method: 991, route: 99_755 });
    const { services, ledger, routes } = reportOf(rig.engine.states());
    expect(ledger.exchanges).toBe(102_002);
    expect(services.reduce((sum, { overflow }) => sum + overflow, 0)).toBeGreaterThanOrEqual(99_755 + 991);
    expect(routes.find(({ service, route }) => service === 'api' && route === 'other')!.count).toBe(99_755 + 991);
    expect(routes.find(({ service }) => service === 'other')!.count).toBe(985);
  });

  test('memory: response times of every magnitude on every route make histograms coarse, not large', () => {
    const bytes = 4 << 20;
    const rig = new StatsRig({ limits: { bytes } });
    for (let i = 0; i < 24_000; i++) {
      const length = 2 ** (1 + (i % 39));
      rig.call({
        route: `/r${i % 300}`,
        times: [1, 1 + length / 2, 1 + length / 2, 1 + length],
        inFlight: 1 + (i % 64),
      });
      if (i % 8_000 === 0) rig.engine.finish();
    }
    const health = rig.engine.health();
    expect(health.coarsened).toBeGreaterThan(0);
    // What was there before the bound was reached, and 640 bytes for each coarse histogram since.
    expect(health.bytes).toBeLessThan(4 * bytes);
    expect(reportOf(rig.engine.states()).ledger.exchanges).toBe(24_000);
  });

  test('series that nobody calls for an hour make room', () => {
    const rig = new StatsRig({ limits: { series: 20 } });
    for (let i = 0; i < 40; i++) rig.call({ route: `/old${i}`, ...at(1e9) });
    rig.engine.advance(100 * MINUTE);
    rig.call({ route: '/new', ...at(100 * MINUTE + 1e9) });
    rig.engine.advance(102 * MINUTE);
    rig.call({ route: '/newer', ...at(102 * MINUTE + 1e9) });
    const { routes } = reportOf(rig.engine.states(), 7_000);
    expect(routes.map(({ route, count }) => [route, count])).toEqual([
      ['other', 41],
      ['/newer', 1],
    ]);
    expect(rig.engine.health().overflow.folded).toBe(19);
  });

  test('of one service, too, when it has all that it may have', () => {
    const rig = new StatsRig({ limits: { serviceSeries: 20 } });
    for (let i = 0; i < 40; i++) rig.call({ route: `/old${i}`, ...at(1e9) });
    rig.engine.advance(100 * MINUTE);
    rig.call({ route: '/new', ...at(100 * MINUTE + 1e9) });
    rig.engine.advance(102 * MINUTE);
    rig.call({ route: '/newer', ...at(102 * MINUTE + 1e9) });
    const { routes } = reportOf(rig.engine.states(), 7_000);
    expect(routes.map(({ route, count }) => [route, count])).toEqual([
      ['other', 41],
      ['/newer', 1],
    ]);
  });

  test('methods that one client made up make room for those of others', () => {
    const rig = new StatsRig({ limits: { methods: 4 } });
    for (let i = 0; i < 9; i++) rig.call({ method: `M${i}`, ...at(1e9) });
    rig.call({ method: 'DELETE', ...at(1e9) });
    rig.engine.advance(100 * MINUTE);
    rig.call({ method: 'PATCH', ...at(100 * MINUTE + 1e9) });
    rig.engine.advance(102 * MINUTE);
    rig.call({ method: 'DELETE', ...at(102 * MINUTE + 1e9) });
    const { routes } = reportOf(rig.engine.states(), 7_000);
    expect(routes.map(({ method, count }) => [method, count])).toEqual([
      ['other', 11],
      ['DELETE', 1],
    ]);
  });

  test('services that are gone for an hour make room for new ones, as where every container has a name of its own', () => {
    const rig = new StatsRig({ limits: { services: 20 } });
    const working = connectionOf('working');
    working.load.enter(1);
    rig.call({ connection: working, ...at(1e9) });
    for (let hour = 0; hour < 24 * 30; hour++) {
      const now = hour * 60 * MINUTE;
      for (let i = 0; i < 3; i++) rig.call({ connection: connectionOf(`pod-${hour}-${i}`), ...at(now + 2e9) });
      rig.call({ connection: connectionOf('steady'), ...at(now + 2e9) });
      rig.engine.advance(now + 59 * MINUTE);
    }
    const { services, ledger } = reportOf(rig.engine.states(), 3_600 * 24 * 30);
    expect(ledger.exchanges).toBe(24 * 30 * 4 + 1);
    const names = services.map(({ service }) => service);
    // One has a call under way.
    expect(names).toContain('working');
    expect(names).toContain('steady');
    expect(names).toContain('pod-719-0');
    expect(names.length).toBeLessThanOrEqual(21);
    const { overflow, bytes, series } = rig.engine.health();
    // Those that came in a minute in which there were too many, until it was over.
    expect(overflow.service).toBeLessThan((24 * 30 * 3) / 5);
    expect(series).toBeLessThan(80);
    expect(bytes).toBeLessThan(4 << 20);
  });
});
