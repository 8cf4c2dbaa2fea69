/** The budget of series: bounded, and counters never fall whatever is folded away. */
import { describe, expect, test } from 'vitest';
import { parseOpenMetrics } from '../../../test/fixtures/openmetrics.ts';
import { Random } from '../../../test/fuzz/random.ts';
import { CREATED_MS, expectNoFall, HOUR, MINUTE, MS, routes, scrape, sum } from '../../../test/unit/scrape.ts';
import { connectionOf, StatsRig } from '../../../test/unit/stats-rig.ts';
import { COUNTER } from '../../stats/series.ts';
import { StatisticsMetrics } from './statistics.ts';
import { TextExposition } from './text.ts';

describe('the budget', () => {
  test('beyond it everything goes to "other", and what had metrics keeps them', () => {
    const rig = new StatsRig();
    const metrics = new StatisticsMetrics(rig.engine, 3);
    for (let i = 0; i < 3; i++) rig.call({ route: `/r/${i}` });
    expect(routes(scrape(metrics))).toEqual(['/r/0', '/r/1', '/r/2']);
    for (let i = 0; i < 50; i++) rig.call({ route: `/s/${i}`, status: i % 2 === 0 ? 200 : 500 });
    rig.call({ route: '/r/1' });
    const got = scrape(metrics);
    expect(routes(got)).toEqual(['/r/0', '/r/1', '/r/2', 'other']);
    expect(sum(got, 'headwater_calls_total', { route: 'other' })).toBe(50);
    expect(sum(got, 'headwater_failed_calls_total', { route: 'other' })).toBe(25);
    expect(sum(got, 'headwater_calls_total', { route: '/r/1' })).toBe(2);
    expect(sum(got, 'headwater_statistics_series', { state: 'hidden' })).toBe(50);
  });

  test("the engine's own overflow and hidden series are one 'other'", () => {
    const rig = new StatsRig({ limits: { serviceSeries: 4 } });
    const metrics = new StatisticsMetrics(rig.engine, 2);
    for (let i = 0; i < 10; i++) rig.call({ route: `/r/${i}` });
    const got = scrape(metrics);
    expect(routes(got)).toEqual(['/r/0', '/r/1', 'other']);
    expect(sum(got, 'headwater_calls_total', { route: 'other' })).toBe(8);
    expect(sum(got, 'headwater_statistics_overflow_total', { dimension: 'route' })).toBe(6);
  });

  test('paths that only scanners ask for are no series; one that answers becomes one, and nothing falls or counts twice', () => {
    const rig = new StatsRig();
    const metrics = new StatisticsMetrics(rig.engine);
    rig.call({ route: '/real' });
    for (let i = 0; i < 200; i++) rig.call({ route: `/scan/${i}`, status: 404 });
    rig.call({ route: '/late', status: 404, times: [0, 1, 2, 3 * MS] });
    const one = scrape(metrics);
    expect(routes(one)).toEqual(['/real', 'other']);
    expect(sum(one, 'headwater_calls_total', { route: 'other', http_response_status_code: '404' })).toBe(201);
    rig.call({ route: '/late', status: 404 });
    rig.call({ route: '/late', status: 200 });
    const two = scrape(metrics);
    expectNoFall(one, two);
    rig.call({ route: '/late', status: 200, times: [0, 1, 2, 7 * MS] });
    rig.call({ route: '/late', status: 404 });
    const three = scrape(metrics);
    expectNoFall(two, three);
    expect(routes(three)).toEqual(['/real', '/late', 'other']);
    expect(sum(three, 'headwater_calls_total')).toBe(206);
    expect(sum(three, 'http_server_request_duration_seconds_count')).toBe(206);
    expect(sum(three, 'headwater_calls_total', { route: '/late' })).toBe(2);
    expect(sum(three, 'http_server_request_duration_seconds_sum', { route: '/late' })).toBeCloseTo(0.009, 9);
  });

  test('counters never fall: a day of routes that come, answer, fail, go idle and are folded away', () => {
    const rig = new StatsRig({ limits: { series: 40, serviceSeries: 30 } });
    const metrics = new StatisticsMetrics(rig.engine, 12);
    const random = new Random(11);
    const services = ['a', 'b', 'c'].map((name) => connectionOf(name));
    let before = scrape(metrics);
    let calls = 0;
    for (let minute = 1; minute <= 24 * 60; minute += 7) {
      const now = minute * MINUTE;
      rig.engine.advance(now);
      for (let i = 0; i < 20; i++) {
        // Routes move on: each is called for some hours.
        const route = `/r/${Math.floor((minute * MINUTE) / (5 * HOUR)) * 6 + random.below(9)}`;
        const status = [200, 404, 404, 404, 500, 301][random.below(6)]!;
        const t3 = now + random.below(1e9);
        rig.call({
          connection: services[random.below(3)]!,
          route,
          status,
          times: [t3 - 2e6 - random.below(1e6), t3 - 2e6, t3 - 1e6, t3],
        });
        calls++;
      }
      const after = scrape(metrics);
      // What is folded vanishes, but "other" stays.
      expectNoFall(before, after, (series) => !series.includes('"route":"other"') && series.includes('"route"'));
      expect(sum(after, 'headwater_protocol_calls_total')).toBe(calls);
      before = after;
    }
    expect(sum(before, 'headwater_statistics_folded_series_total')).toBeGreaterThan(20);
    expect(sum(before, 'headwater_statistics_series', { state: 'shown' })).toBeLessThanOrEqual(12);
    // Folded ones gave their place back: routes of the last hours are shown.
    expect(routes(before).some((route) => Number(route.slice(3)) >= 24)).toBe(true);
  });

  test('counters never fall, and nothing counts twice: services that come, go and are folded away', () => {
    const rig = new StatsRig({ limits: { services: 6, serviceSeries: 5 } });
    const metrics = new StatisticsMetrics(rig.engine, 12);
    const random = new Random(13);
    let before = scrape(metrics);
    let calls = 0;
    for (let minute = 1; minute <= 24 * 60; minute += 7) {
      const now = minute * MINUTE;
      rig.engine.advance(now);
      for (let i = 0; i < 20; i++) {
        // Each lives for some hours; now and then there are too many.
        const age = Math.floor((minute * MINUTE) / (3 * HOUR)) * 2;
        const service = `pod-${age + random.below(random.below(9) === 0 ? 6 : 3)}`;
        const status = [200, 404, 500][random.below(3)]!;
        const t3 = now + random.below(1e9);
        const seen = { route: `/r/${age}-${random.below(9)}`, request: random.below(3) > 0 };
        rig.call({ connection: connectionOf(service), ...seen, status, times: [t3 - 3e6, t3 - 2e6, t3 - 1e6, t3] });
        calls++;
      }
      const after = scrape(metrics);
      const mayGo = (series: string): boolean =>
        series.includes('"service":"pod-') || (series.includes('"route"') && !series.includes('"route":"other"'));
      expectNoFall(before, after, mayGo);
      // What was shown of a service that is gone is not shown again.
      const beyond = sum(after, 'headwater_statistics_overflow_total', { dimension: 'service' });
      expect(sum(after, 'headwater_calls_total', { service: 'other' }) || 0).toBeLessThanOrEqual(beyond);
      expect(sum(after, 'headwater_protocol_calls_total', { service: 'other' }) || 0).toBe(beyond);
      before = after;
    }
    const exchanges = [...rig.engine.states()].reduce((total, { state }) => total + state.counters[COUNTER.calls]!, 0);
    expect(exchanges).toBe(calls);
    expect(sum(before, 'headwater_statistics_folded_series_total')).toBeGreaterThan(20);
    const shown = before.get('headwater_failed_calls')!.samples.map(({ labels }) => labels['service']!);
    expect(shown.some((service) => Number(service.slice(4)) >= 14)).toBe(true);
  });

  test('counters never fall: a server that answers with every status code there is, in changing order, late calls too', () => {
    const rig = new StatsRig({ limits: { series: 20, serviceSeries: 15 } });
    const metrics = new StatisticsMetrics(rig.engine, 4);
    const random = new Random(12);
    let before = scrape(metrics);
    for (let minute = 1; minute <= 120; minute++) {
      rig.engine.advance(minute * MINUTE);
      for (let i = 0; i < 30; i++) {
        const t3 = (minute - random.below(3)) * MINUTE + random.below(1e9);
        const route = `/r/${random.below(4) + Math.floor(minute / 50)}`;
        rig.call({ route, status: 100 + random.below(900), times: [t3 - 3e6, t3 - 2e6, t3 - 1e6, t3] });
      }
      const after = scrape(metrics);
      expectNoFall(before, after, (series) => !series.includes('"route":"other"') && series.includes('"route"'));
      expect(sum(after, 'headwater_calls_total')).toBe(30 * minute);
      before = after;
    }
    const shown = before
      .get('headwater_calls')!
      .samples.filter(({ name, labels }) => name.endsWith('_total') && labels['route'] !== 'other');
    expect(shown.some(({ labels }) => labels['http_response_status_code'] === 'other')).toBe(true);
    expect(shown.length).toBeLessThanOrEqual(4 * 25);
  });

  test('a hundred thousand paths of a scanner: the answer stays small', () => {
    const rig = new StatsRig();
    const metrics = new StatisticsMetrics(rig.engine);
    for (let i = 0; i < 100_000; i++) rig.call({ route: `/${i.toString(36)}.php`, status: i % 10 === 0 ? 403 : 404 });
    const got = scrape(metrics);
    expect(sum(got, 'headwater_calls_total')).toBe(100_000);
    expect(routes(got).length).toBeLessThan(1_025);
  });

  test('series that are folded while a scrape is on its way stay until it is done', () => {
    const rig = new StatsRig({ limits: { series: 8 } });
    const metrics = new StatisticsMetrics(rig.engine, 2);
    for (let i = 0; i < 6; i++) rig.call({ route: `/r/${i}` });
    const before = scrape(metrics);
    const out = new TextExposition(CREATED_MS);
    const work = metrics.write(null, out);
    work.next();
    for (let minute = 1; minute < 200; minute++) {
      rig.engine.advance(minute * MINUTE);
      rig.call({
        route: `/later/${minute}`,
        times: [minute * MINUTE, minute * MINUTE, minute * MINUTE, minute * MINUTE],
      });
    }
    for (const _ of work);
    const during = parseOpenMetrics([...out.finish()].join(''));
    expectNoFall(before, during);
    expect(sum(during, 'headwater_statistics_folded_series_total')).toBe(0);
    rig.engine.advance(300 * MINUTE);
    expect(sum(scrape(metrics), 'headwater_statistics_folded_series_total')).toBeGreaterThan(0);
  });
});
