import { describe, expect, test } from 'vitest';
import { TlsFacts } from '../../src/model/tls.ts';
import { type PrintableReport, reportMarkdown, reportText } from '../../src/stats/render.ts';
import { buildReport } from '../../src/stats/report.ts';
import type { StateRow } from '../../src/stats/state-set.ts';
import { type TlsReport, TlsState, tlsReport } from '../../src/stats/tls.ts';
import { wilson } from '../../src/stats/wilson.ts';
import { validReport } from './report-schema.ts';
import { type Call, connectionOf, Dice, FIRST_MINUTE, StatsRig, traffic } from './stats-rig.ts';

const MS = 1_000_000;

const reportOf = (rows: Iterable<StateRow>, tls: readonly TlsReport[] = []): PrintableReport => ({
  ...buildReport({
    rows,
    sinceMs: FIRST_MINUTE * 60_000,
    untilMs: FIRST_MINUTE * 60_000 + 60_000,
    losses: [{ reason: 'ring_full', count: 2 }],
  }),
  tls,
});

/** `n` connections of a service whose peers offer a name of their own each. */
function tlsOf(n: number, facts: Partial<TlsFacts>): TlsReport {
  const state = new TlsState();
  for (let i = 0; i < n; i++)
    state.observe(
      Object.assign(new TlsFacts(), {
        version: '1.3',
        cipher: 'TLS_AES_256_GCM_SHA384',
        alpn: 'h2',
        resumed: i % 4 === 0,
        decrypted: i % 2 === 0,
        handshakeNs: 3e6,
        sni: `host-${i}.example`,
        certificateNotAfter: 1_800_000_000,
        ...facts,
      }),
    );
  return tlsReport('api', 'server', state);
}

const schemaErrors = (): string => JSON.stringify(validReport.errors);
describe('Wilson', () => {
  test('is the known interval', () => {
    // Newcombe (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for (const [hits, n, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ] as const) {
      const [a, b] = wilson(hits, n);
      expect(a).toBeCloseTo(low, 4);
      expect(b).toBeCloseTo(high, 4);
    }
    expect(wilson(0, 0)).toEqual([0, 1]);
    expect(wilson(5, 5)[1]).toBe(1);
  });

  test('holds the truth about 95 times in 100', () => {
    const dice = new Dice(5);
    let held = 0;
    for (let run = 0; run < 2_000; run++) {
      let hits = 0;
      for (let i = 0; i < 200; i++) if (dice.uniform() < 0.03) hits++;
      const [low, high] = wilson(hits, 200);
      if (low <= 0.03 && 0.03 <= high) held++;
    }
    expect(held / 2_000).toBeGreaterThan(0.93);
  });
});

describe('as text', () => {
  test('each statistic has its table, and the ledger is there', () => {
    const text = reportText(reportOf(traffic(1, 1_000, 10, 0.1)));
    for (const title of ['Response time', 'Errors', 'Traffic', 'Services', 'Latency under load'])
      expect(text).toContain(`\n${title}\n`);
    expect(text).toMatch(/api \(server\) {2}GET {5}\/v1\/users\/\{id\} +1000 +\d/);
    expect(text).toContain('5xx ');
    expect(text).toContain('1000 calls seen; lost: ring_full 2');
    expect(reportText(reportOf(traffic(1, 1, 10, 0)))).toContain('\n1 call seen; lost: ring_full 2');
    expect(text.split('\n').every((line) => line === line.trimEnd())).toBe(true);
  });

  test('the first call of each class of a service, over all its routes, with its id; none, no table', () => {
    const rig = new StatsRig();
    const at = (ms: number): NonNullable<Call['times']> => [ms * MS, ms * MS + 1, ms * MS + 2, ms * MS + 3];
    const calls: readonly (readonly [ms: number, route: string, status: number, service: string])[] = [
      [900, '/a', 503, 'api'],
      [100, '/b', 503, 'api'],
      [500, '/a', 404, 'api'],
      [300, '/a', 200, 'api'],
      [700, '/c', 503, 'other'],
      [1_200, '/b', 503, 'api'],
      [1_300, '/a', 404, 'api'],
    ];
    for (const [ms, route, status, service] of calls)
      rig.call({ times: at(ms), route, status, connection: connectionOf(service) });
    const report = reportOf(rig.engine.states());
    const example = (route: string, name: string): string =>
      report.routes.find((row) => row.route === route)!.errors.first.find((first) => first.class === name)!.example;
    const table = reportText(report)
      .split('\n\n')
      .find((part) => part.startsWith('First errors'))!
      .split('\n')
      .slice(2)
      .map((line) => line.split(/ {2,}/).map((cell) => cell.replace(/^.*T\d\d:\d\d:/, '')));
    expect(table.sort()).toEqual([
      ['api (server)', '404', '00.500Z', 'GET', '/a', example('/a', '404'), '2'],
      ['api (server)', '5xx', '00.100Z', 'GET', '/b', example('/b', '5xx'), '3'],
      ['other (server)', '5xx', '00.700Z', 'GET', '/c', example('/c', '5xx'), '1'],
    ]);
    expect(reportText(reportOf(traffic(1, 10, 10, 0)))).not.toContain('First errors');
  });

  test.each([80, 100, 120, 160])(
    'fits %d columns, with one service and with several, and says what is left out',
    (columns) => {
      const rig = new StatsRig();
      for (let i = 0; i < 200; i++)
        for (const route of ['/v1/users/{id}/orders/{id}/items/with-a-long-name', '/a']) {
          const times = [1_000, 1_500, 2_000 + i * 1_000_000, 3_000 + i * 1_000_000] as [
            number,
            number,
            number,
            number,
          ];
          rig.call({ route, times, inFlight: 1 + (i % 30), status: i % 3 === 0 ? 503 : i % 5 === 0 ? 429 : 200 });
        }
      const one = reportText(reportOf(rig.engine.states()), columns);
      for (let i = 0; i < 50; i++)
        rig.call({ route: '/b', connection: connectionOf(`a-service-with-a-name-that-is-long-${i % 2}.service`) });
      const several = reportText(reportOf(rig.engine.states()), columns);
      for (const text of [one, several]) {
        for (const line of text.split('\n')) expect(line.length, line).toBeLessThanOrEqual(columns);
        expect(text).toMatch(/p50 +.*p95/);
      }
      expect(one).toContain('Response time: api (server)');
      expect(several).not.toContain('Response time: api (server)');
      expect(several).toMatch(/^api \(ser/m);
    },
  );

  test('Markdown tables have as many cells in each row as in their head', () => {
    const markdown = reportMarkdown(reportOf(traffic(1, 100, 10, 0.1, { route: '/a|b' })));
    expect(markdown.startsWith('# API runtime statistics\n')).toBe(true);
    for (const block of markdown.split('\n\n')) {
      const widths = block
        .split('\n')
        .filter((line) => line.startsWith('|'))
        .map((line) => line.split(/(?<!\\)\|/).length);
      expect(new Set(widths).size).toBeLessThanOrEqual(1);
    }
  });

  test('hostile names do not get through', () => {
    const hostile = traffic(1, 10, 1, 0, { route: '/\u001b[2J\r\n<script>|`x`\u202e', method: '*bold*' });
    const markdown = reportMarkdown(reportOf(hostile));
    expect(markdown).not.toMatch(/(?<!\\)<script|\u001b|\u202e|\r/);
    expect(markdown).toContain('\\<script\\>\\|\\`x\\`');
    expect(reportText(reportOf(hostile))).not.toMatch(/[\u001b\u202e\r]/);
  });

  test('TLS has a table where there were handshakes, and names of peers neither get through nor fill it', () => {
    const calls = traffic(1, 10, 1, 0);
    expect(reportText(reportOf(calls))).not.toContain('\nTLS\n');
    const report = reportOf(calls, [tlsOf(8, {}), tlsOf(1, { sni: '\u001b[2J|<script>\u202e', resumed: null })]);
    const text = reportText(report);
    expect(text).toContain('\nTLS\n');
    expect(text).toMatch(
      /api \(server\) +8 +4 +3 ms +3 ms +25\.0 % +1\.3 8 +TLS_AES_256_GCM_SHA384 8 +h2 8 +host-0\.example 1, .*, 5 more +2027-01-15/,
    );
    expect(text).toMatch(/api \(server\) +1 +1 +3 ms +3 ms +- +1\.3 1 /);
    expect(text).not.toMatch(/[\u001b\u202e]/);
    // What was agreed on is not seen without secrets; what the client offered is.
    const offers = tlsOf(2, { alpn: '', decrypted: false, alpnOffered: ['h2', '\u001b[2J'] });
    expect(reportText(reportOf(calls, [offers]))).toMatch(/ 2 +0 +3 ms .*offered: h2,\S*\[2J 2 +host-0/);
    const markdown = reportMarkdown(report);
    expect(markdown).toContain('\n## TLS\n');
    expect(markdown).not.toMatch(/(?<!\\)<script/);
    for (const columns of [80, 100, 120])
      for (const line of reportText(report, columns).split('\n'))
        expect(line.length, line).toBeLessThanOrEqual(columns);
  });

  test('gRPC calls by their own status, apart from the classes, of each route and of the service; none, no table', () => {
    const rig = new StatsRig();
    const add = { method: 'POST', route: '/shop.Cart/Add', protocol: 'h2', upgrade: 'grpc' } as const;
    for (let i = 0; i < 6; i++) rig.call({ ...add, ordinal: i + 1, grpc: i % 3 === 0 ? 14 : 0 });
    rig.call({ ...add, route: '/shop.Cart/Pay', ordinal: 7, grpc: 5 });
    rig.call({ ...add, route: '/shop.Cart/Pay', ordinal: 8, grpc: null, outcome: 'reset_in_body' });
    rig.call({ ordinal: 9 });
    const report = reportOf(rig.engine.states());
    expect(
      validReport({ ...report, routes: report.routes.map((row) => ({ ...row, blocks: [] })) }),
      schemaErrors(),
    ).toBe(true);
    expect(report.routes.map(({ route, grpc, errors }) => [route, errors.total, grpc])).toEqual([
      [
        '/shop.Cart/Add',
        0,
        {
          calls: 6,
          failed: 2,
          ratio: 2 / 6,
          interval: wilson(2, 6),
          statuses: { OK: 4, UNAVAILABLE: 2 },
          first: { at: expect.any(String), example: `r-${rig.connection.id}-1` },
        },
      ],
      [
        '/shop.Cart/Pay',
        1,
        {
          calls: 2,
          failed: 1,
          ratio: 1,
          interval: wilson(1, 1),
          statuses: { NOT_FOUND: 1, none: 1 },
          first: { at: expect.any(String), example: `r-${rig.connection.id}-7` },
        },
      ],
      ['/v1/users/{id}', 0, null],
    ]);
    expect(report.services[0]!.grpc).toMatchObject({
      calls: 8,
      failed: 3,
      statuses: { OK: 4, NOT_FOUND: 1, UNAVAILABLE: 2, none: 1 },
    });
    const text = reportText(report);
    expect(text).toContain('OK 4, UNAVAILABLE 2');
    expect(text).toContain('api (server): 3 of 8 calls ended with another status than OK');
    expect(reportMarkdown(report)).toContain('3 of 8 calls ended with another status than OK');
    expect(reportText(reportOf(traffic(1, 5, 10, 0)))).not.toContain('gRPC');
  });

  test('nothing seen is a report too', () => {
    const empty = { ...buildReport({ rows: [], sinceMs: 0, untilMs: 0, losses: [] }), tls: [] };
    expect(empty).toMatchObject({ routes: [], services: [], changes: [], ledger: { exchanges: 0, losses: [] } });
    expect(reportText(empty)).toContain('0 calls seen in this range; lost: nothing');
  });
});
