/** The statistics as scrapes see them: the numbers of the calls, with calls to point at. */
import { describe, expect, test } from 'vitest';
import { decodeFamilies, labelsOf } from '../../../test/fixtures/client-model.ts';
import { Random } from '../../../test/fuzz/random.ts';
import { CREATED_MS, MS, scrape, sum } from '../../../test/unit/scrape.ts';
import { connectionOf, Dice, queue, reportOf, StatsRig } from '../../../test/unit/stats-rig.ts';
import { TlsFacts } from '../../model/tls.ts';
import { TLS_NAMES_MAX, TlsStatistics } from '../../stats/tls.ts';
import { CATALOGUE } from './catalogue.ts';
import { ProtobufExposition } from './protobuf.ts';
import { StatisticsMetrics } from './statistics.ts';

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
