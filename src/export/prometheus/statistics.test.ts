/** The statistics as scrapes see them one after the other: bounded, never falling, with calls to point at. */
import { describe, expect, test } from 'vitest';
import { decodeFamilies, labelsOf } from '../../../test/fixtures/client-model.ts';
import { type Family, parseOpenMetrics, type Sample } from '../../../test/fixtures/openmetrics.ts';
import { Random } from '../../../test/fuzz/random.ts';
import { connectionOf, Dice, queue, reportOf, StatsRig, WALL_NS } from '../../../test/unit/stats-rig.ts';
import { TlsFacts } from '../../model/tls.ts';
import { TLS_NAMES_MAX, TlsStatistics } from '../../stats/tls.ts';
import { CATALOGUE } from './catalogue.ts';
import { ProtobufExposition } from './protobuf.ts';
import { type HeaderMetrics, StatisticsMetrics } from './statistics.ts';
import { TextExposition } from './text.ts';
import type { ServiceTls } from './tls.ts';

const CREATED_MS = Number(WALL_NS / 1_000_000n);
const MINUTE = 60e9;
const HOUR = 60 * MINUTE;
const MS = 1e6;

/** One scrape, read by the strict reader. */
function scrape(
  metrics: StatisticsMetrics,
  headers: HeaderMetrics | null = null,
  tls?: Iterable<ServiceTls>,
): Map<string, Family> {
  const out = new TextExposition(CREATED_MS);
  for (const _ of metrics.write(headers, out, tls));
  return parseOpenMetrics([...out.finish()].join(''));
}

const matches = (sample: Sample, labels: Record<string, string>): boolean =>
  Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
/** Sum of the samples of `name` with these labels; NaN: there are none. */
function sum(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number {
  const family = [...families.values()].find((each) => each.samples.some((sample) => sample.name === name));
  const found = (family?.samples ?? []).filter((sample) => sample.name === name && matches(sample, labels));
  return found.length === 0 ? Number.NaN : found.reduce((total, { value }) => total + value, 0);
}
const routes = (families: Map<string, Family>): string[] =>
  families
    .get('headwater_failed_calls')!
    .samples.flatMap((s) => (s.name.endsWith('_total') ? [s.labels['route']!] : []));

/** Samples that may only rise: counters, and histograms' buckets, counts and sums. */
function rising(families: Map<string, Family>): Map<string, number> {
  const values = new Map<string, number>();
  for (const { type, samples } of families.values())
    if (type !== 'gauge')
      for (const { name, labels, value } of samples) values.set(`${name} ${JSON.stringify(labels)}`, value);
  return values;
}

function expectNoFall(
  before: Map<string, Family>,
  after: Map<string, Family>,
  mayGo = (_: string): boolean => false,
): void {
  const later = rising(after);
  for (const [series, value] of rising(before)) {
    if (!later.has(series) && mayGo(series)) continue;
    // Sums of seconds are floats.
    expect(later.get(series) ?? -1, series).toBeGreaterThanOrEqual(value - 1e-9);
  }
}

describe('one scrape', () => {
  test('every family of the catalogue is there, and numbers are those of the calls', () => {
    const rig = new StatsRig();
    const metrics = new StatisticsMetrics(rig.engine);
    rig.call({ ordinal: 1, times: [0, MS, 3 * MS, 9 * MS], bytes: [100, 7, 200, 1_000] });
    rig.call({ status: 503, inFlight: 5, times: [20 * MS, 21 * MS, 23 * MS, 50 * MS] });
    rig.call({
      status: 429,
      response: true,
      route: '/v1/pay',
      method: 'POST',
      protocol: 'h2',
      upgrade: 'grpc',
      grpc: null,
    });
    for (const grpc of [0, 0, 14])
      rig.call({ method: 'POST', route: '/shop.Cart/Add', protocol: 'h2', upgrade: 'grpc', grpc });
    rig.call({ outcome: 'timeout', response: false, route: '/v1/pay', method: 'POST' });
    const got = scrape(metrics);
    expect([...got.keys()]).toEqual(CATALOGUE.map(({ name }) => name));
    const users = { service: 'api', route: '/v1/users/{id}', http_request_method: 'GET' };
    expect(sum(got, 'http_server_request_duration_seconds_count', users)).toBe(2);
    expect(sum(got, 'http_server_request_duration_seconds_sum', users)).toBeCloseTo(0.039, 9);
    expect(sum(got, 'http_server_request_duration_seconds_bucket', { ...users, le: '0.01' })).toBe(1);
    expect(sum(got, 'headwater_calls_total', { http_response_status_code: '503' })).toBe(1);
    expect(sum(got, 'headwater_calls_total', { http_response_status_code: 'none', route: '/v1/pay' })).toBe(1);
    expect(sum(got, 'headwater_calls_total')).toBe(7);
    expect(sum(got, 'headwater_failed_calls_total', { route: '/v1/pay' })).toBe(2);
    expect(sum(got, 'headwater_errors_total', { error_class: '429' })).toBe(1);
    expect(sum(got, 'headwater_errors_total', { error_class: 'timeout' })).toBe(1);
    expect(sum(got, 'headwater_phase_duration_seconds_sum', { phase: 'ttfb', route: '/v1/users/{id}' })).toBeCloseTo(
      0.006,
      9,
    );
    expect(sum(got, 'headwater_traffic_bytes_total', { direction: 'request', part: 'header' })).toBe(700);
    expect(sum(got, 'headwater_traffic_bytes_total', { direction: 'request', part: 'body' })).toBe(7);
    expect(sum(got, 'headwater_protocol_calls_total', { protocol: 'grpc' })).toBe(4);
    const grpc = (route: string, status: string): number =>
      sum(got, 'headwater_grpc_calls_total', { side: 'server', route, rpc_response_status_code: status });
    expect([grpc('/shop.Cart/Add', 'OK'), grpc('/shop.Cart/Add', 'UNAVAILABLE')]).toEqual([2, 1]);
    expect([grpc('/v1/pay', 'none'), grpc('/v1/users/{id}', 'OK')]).toEqual([1, Number.NaN]);
    expect(sum(got, 'headwater_failed_calls_total', { route: '/shop.Cart/Add' })).toBe(0);
    expect(sum(got, 'headwater_service_connections_total', { start: 'opened' })).toBe(1);
    expect(sum(got, 'headwater_load_duration_seconds_count', { in_flight: '4' })).toBe(1);
    expect(sum(got, 'headwater_statistics_series', { state: 'shown' })).toBe(3);
  });

  test('what the dashboard makes of the load metrics is the throughput of the report, level by level', () => {
    const rig = new StatsRig();
    // Four servers; a burst now and then passes through the levels below.
    const speed = (n: number): number => Math.min(n, 4) * 1_000;
    queue(rig, new Dice(3), { calls: 5_000, rate: (served) => (served % 500 < 50 ? 9_000 : 2_500), speed, order: 4 });
    const got = scrape(new StatisticsMetrics(rig.engine));
    const { buckets } = reportOf(rig.engine.states()).routes[0]!.load;
    expect(buckets.length).toBeGreaterThan(5);
    for (const { in_flight, count, throughput_per_s } of buckets) {
      const at = { side: 'server', service: 'api', in_flight: `${in_flight}` };
      const of = (name: string): number => sum(got, `headwater_load_${name}`, at);
      expect(of('duration_seconds_count')).toBe(count);
      const mean = of('duration_seconds_sum') / of('duration_seconds_count');
      const throughput = of('call_seconds_total') / of('seconds_total') / mean;
      if (throughput_per_s === null) expect(throughput * of('seconds_total') * 2).toBeLessThan(count);
      else expect(throughput / throughput_per_s).toBeCloseTo(1, 6);
    }
  });

  test('TLS of each service: what was agreed on, how long it took, when the first certificate ends', () => {
    const tls = new TlsStatistics();
    const told = (of: Partial<TlsFacts>): TlsFacts =>
      Object.assign(new TlsFacts(), { version: '1.3', cipher: 'TLS_AES_128_GCM_SHA256', alpn: 'h2', ...of });
    tls.observe('api', 'server', told({ resumed: true, handshakeNs: 2e6, decrypted: true, certificateNotAfter: 2e9 }));
    tls.observe('api', 'server', told({ resumed: false, handshakeNs: 40e6, certificateNotAfter: 1.9e9 }));
    tls.observe('api', 'server', told({ version: '1.2', alpn: '' }));
    for (let i = 0; i < 200; i++) tls.observe('api', 'client', told({ cipher: `0x${i}"\n` }));
    const got = scrape(new StatisticsMetrics(new StatsRig().engine), null, tls);
    const own = { service: 'api', side: 'server' };
    const resumed = (value: string): number =>
      sum(got, 'headwater_tls_handshakes_total', { ...own, tls_resumed: value });
    expect([resumed('true'), resumed('false'), resumed('unknown')]).toEqual([1, 1, 1]);
    expect(sum(got, 'headwater_tls_version_connections_total', { ...own, tls_protocol_version: '1.3' })).toBe(2);
    expect(sum(got, 'headwater_tls_next_protocol_connections_total', own)).toBe(2);
    expect(sum(got, 'headwater_tls_read_connections_total', own)).toBe(1);
    expect(sum(got, 'headwater_tls_server_not_after_timestamp_seconds', own)).toBe(1.9e9);
    expect(sum(got, 'headwater_tls_handshake_duration_seconds_count', own)).toBe(2);
    expect(sum(got, 'headwater_tls_handshake_duration_seconds_sum', own)).toBeCloseTo(0.042, 9);
    expect(sum(got, 'headwater_tls_handshake_duration_seconds_bucket', { ...own, le: '0.005' })).toBe(1);
    // Names that peers send are bounded, and all connections are in one of them.
    const ciphers = got
      .get('headwater_tls_cipher_connections')!
      .samples.filter(({ labels }) => labels['side'] === 'client');
    expect(ciphers.filter(({ name }) => name.endsWith('_total'))).toHaveLength(TLS_NAMES_MAX + 1);
    expect(sum(got, 'headwater_tls_cipher_connections_total', { side: 'client' })).toBe(200);
    expect(sum(got, 'headwater_tls_server_not_after_timestamp_seconds', { side: 'client' })).toBeNaN();
  });

  test('the protobuf has the same counts and sums', () => {
    const rig = new StatsRig();
    const random = new Random(7);
    for (let i = 0; i < 500; i++) {
      const t0 = i * MS;
      rig.call({
        route: `/r/${random.below(5)}`,
        status: [200, 200, 404, 500][random.below(4)]!,
        inFlight: 1 + random.below(9),
        times: [t0, t0 + 5, t0 + random.below(1e6), t0 + 1e6 + random.below(1e8)],
      });
    }
    const metrics = new StatisticsMetrics(rig.engine);
    const out = new ProtobufExposition(CREATED_MS);
    for (const _ of metrics.write(null, out));
    const text = scrape(metrics);
    let compared = 0;
    for (const { name, metric } of decodeFamilies(Buffer.concat([...out.finish()] as Buffer[]))) {
      for (const each of metric) {
        const labels = labelsOf(each);
        const { histogram } = each;
        if (histogram === undefined) expect(sum(text, name, labels)).toBe((each.counter ?? each.gauge)!.value);
        else {
          expect(sum(text, `${name}_count`, labels)).toBe(histogram.sample_count);
          expect(sum(text, `${name}_sum`, labels)).toBe(histogram.sample_sum);
        }
        compared++;
      }
    }
    expect(compared).toBeGreaterThan(80);
  });

  test('services and routes with hostile names', () => {
    const rig = new StatsRig();
    const names = ['a"b', 'a\\', 'a\\n', 'a\n', '{x="y"}', '\u{1f600}', '', ' # {call_id="x"} 1'];
    for (const [i, name] of names.entries())
      rig.call({ connection: connectionOf(name), route: `/${name}`, method: i % 2 === 0 ? name : 'GET' });
    const got = scrape(new StatisticsMetrics(rig.engine)).get('http_server_request_duration_seconds')!;
    const found = got.samples.filter(({ name }) => name.endsWith('_count')).map(({ labels }) => labels['service']);
    expect(new Set(found)).toEqual(new Set(names));
  });

  test('header fields and changes', () => {
    const field = {
      side: 'server',
      service: 'api',
      direction: 'request',
      name: 'x-"v',
      presence: 0.5,
      distinct: 3,
      entropyBits: 1.5,
    };
    const got = scrape(new StatisticsMetrics(new StatsRig().engine), {
      fields: [
        { ...field, drift: 0.25 },
        { ...field, name: 'x-new', drift: null },
      ],
      changes: [{ side: 'server', service: 'api', kind: 'header_new', count: 2 }],
    });
    expect(sum(got, 'headwater_header_presence_ratio', { name: 'x-"v' })).toBe(0.5);
    expect(got.get('headwater_header_drift_ratio')!.samples.map(({ labels }) => labels['name'])).toEqual(['x-"v']);
    expect(sum(got, 'headwater_header_changes_total', { kind: 'header_new' })).toBe(2);
  });
});

describe('examples', () => {
  test('the slowest call since the last scrape, and the last failed one; an id is made once for each', () => {
    let made = 0;
    const rig = new StatsRig({
      id: (_, ordinal) => {
        made++;
        return `call-${ordinal}`;
      },
    });
    const metrics = new StatisticsMetrics(rig.engine);
    const call = (ordinal: number, ms: number, status = 200): void =>
      rig.call({ ordinal, status, times: [0, 1, 2, ms * MS] });
    const shown = (name: string): (string | undefined)[] =>
      scrape(metrics)
        .get(name)!
        .samples.flatMap(({ exemplar }) =>
          exemplar === null ? [] : [`${exemplar.labels['call_id']} ${exemplar.value}`],
        );
    call(2, 20);
    call(3, 30);
    call(4, 10);
    expect(made).toBe(0);
    expect(shown('http_server_request_duration_seconds')).toEqual(['call-3 0.03']);
    expect(made).toBe(1);
    // Nobody called since: it stays.
    expect(shown('http_server_request_duration_seconds')).toEqual(['call-3 0.03']);
    call(5, 5);
    expect(shown('http_server_request_duration_seconds')).toEqual(['call-5 0.005']);
    expect(made).toBe(2);
    expect(shown('headwater_failed_calls')).toEqual([]);
    for (let i = 0; i < 1_000; i++) call(100 + i, 1, 500);
    // The first error of its class has an id at once: it is kept with the minute.
    expect(made).toBe(3);
    expect(shown('headwater_failed_calls')).toEqual(['call-1099 1']);
    expect(made).toBe(5);
  });
});

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
