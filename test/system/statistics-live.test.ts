/**
 * The report of live traffic against the header log of the same run, every number computed twice: a proxy and its upstream under changing load,
 * and a server whose calls end in every way there is. The clients' own count says how many calls there were.
 */
import { Agent as HttpAgent, request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Report } from '../../src/query/report.ts';
import { Agent, type LoggedExchange, type LoggedMessage } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw, type Step } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { nginx } from '../rig/servers/nginx.ts';
import { Server } from '../rig/servers/server.ts';
import { nodeSite } from '../rig/servers/site.ts';
import {
  bits,
  counted,
  errorClass,
  fieldCount,
  inFlight,
  isFailure,
  levelOf,
  levels,
  quantile,
  times,
  total,
  wilson,
} from './statistics-live/recount.ts';

const LOADS = [1, 2, 4, 8];
const CALLS_A_LOAD = 40;
const PATHS = [
  '/bytes/3000',
  '/slow/3',
  '/bytes/90000',
  '/sink',
  '/status/401',
  '/status/404',
  '/status/418',
  '/status/429',
  '/status/500',
  '/status/503',
];
const PHASES = ['latency_ns', 'ttfb_ns', 'upload_ns', 'think_ns', 'download_ns'] as const;
const QUANTILES = { p50: 0.5, p90: 0.9, p95: 0.95, p99: 0.99, p999: 0.999 } as const;
/** A response takes longer than this: the call is given up. */
const RESPONSE_LIMIT_MS = 1_000;
/** Events of connections that are read in turn may be out of order by as much as the work between two packets. */
const OUT_OF_TURN = 0.05;
const ERROR_MAX = 0.01;

let scope: AsyncDisposableStack;
let report: Report;
let log: readonly LoggedExchange[];
const ports = { proxy: 0, site: 0, ends: 0 };
/** Calls that clients made: of the proxy, cut short there by the client, and of the other servers. */
const made = { proxy: 0, cut: 0, ends: 0 };

function call(client: HttpAgent, port: number, path: string, n: number): Promise<number> {
  const isUpload = path === '/sink';
  const headers = {
    'x-request-id': `live-${n}`,
    'x-tier': `t${n % 3}`,
    ...(n % 4 === 0 ? { 'x-now-and-then': 'yes' } : {}),
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({
      agent: client,
      port,
      host: '127.0.0.1',
      path,
      method: isUpload ? 'POST' : 'GET',
      headers,
    });
    // nginx answers an upload before it has all of it: the client goes on only when the rest is sent too.
    const sent = new Promise((done) => outgoing.once('finish', done));
    outgoing.once('error', reject).once('response', (response) => {
      response
        .resume()
        .once('error', reject)
        .once('end', () => void sent.then(() => resolve(response.statusCode!)));
    });
    if (!isUpload) {
      outgoing.end();
      return;
    }
    outgoing.write('first half, ');
    setTimeout(() => outgoing.end('second half'), 4);
  });
}

/** Some at a time. */
async function load(port: number, atOnce: number): Promise<void> {
  const client = new HttpAgent({ keepAlive: true, maxSockets: atOnce });
  const worker = async (): Promise<void> => {
    for (let i = 0; i < CALLS_A_LOAD; i++) {
      const n = made.proxy++;
      await call(client, port, PATHS[n % PATHS.length]!, n);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  client.destroy();
}

const get = (path: string): Step => ({ send: `GET ${path} HTTP/1.1\r\nHost: ends.test\r\n\r\n` });

/** An upload that is answered at once, and that the client then does not finish. */
async function cutShort(): Promise<void> {
  made.cut++;
  const half = 'POST /sink HTTP/1.1\r\nHost: cut.test\r\nContent-Length: 20\r\n\r\nhalf of it';
  await raw(ports.proxy, [{ send: half }, { until: 'ok\n' }]);
}

async function ended(): Promise<void> {
  const of = (port: number, ...steps: Step[]): Promise<unknown> => {
    made.ends++;
    return raw(port, steps);
  };
  // Whoever writes says who serves the port: a server that only resets is nobody's.
  await of(ports.ends, get('/idle'), { untilEnd: true });
  const twice = 'POST /sink HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc';
  const paths = ['/reset-before', '/reset-in-body', '/short', '/until-fin', '/idle', '/reset-before'];
  await Promise.all([
    ...paths.map((path) => of(ports.ends, get(path), { untilEnd: true })),
    // The client goes away: in the body, and before the first byte.
    of(ports.site, get('/stall'), { until: '0123456789' }, { reset: true }),
    of(ports.site, get('/slow/3000'), { pauseMs: 100 }, { reset: true }),
    of(ports.site, get(`/slow/${2 * RESPONSE_LIMIT_MS}`), { until: 'slow' }),
    of(ports.site, { send: twice }, { untilEnd: true }),
  ]);
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
)('the report of live traffic is what the log says', () => {
  beforeAll(async () => {
    scope = new AsyncDisposableStack();
    const cgroup = scope.use(new Cgroup('numbers'));
    const site = scope.use(await nodeSite({ cgroup }));
    const proxy = scope.use(await nginx({ cgroup, upstream: site.port }));
    const port = await freePort();
    const command = [process.execPath, join(import.meta.dirname, 'live/ends.ts'), String(port)];
    const resources = new Folder();
    scope.use(await Server.start({ name: 'ends', port, command, log: resources.file('none'), resources }, { cgroup }));
    Object.assign(ports, { proxy: proxy.port, site: site.port, ends: port });
    const agent = scope.use(
      await Agent.start({ cgroups: [cgroup], config: `timeouts:\n  response: ${RESPONSE_LIMIT_MS}ms\n` }),
    );
    for (const atOnce of LOADS) await load(proxy.port, atOnce);
    await cutShort();
    await ended();
    // nginx answers uploads itself; the rest is seen at both of its sides, and at its upstream.
    const uploads = made.proxy / PATHS.length;
    await agent.until((calls) => calls.length === 3 * made.proxy - 2 * uploads + made.cut + made.ends);
    report = JSON.parse((await agent.get('/api/v1/report')).body) as Report;
    const stopped = await agent.stop();
    log = stopped.exchanges;
    // The body whose length is contradictory.
    expect(stopped.summary.losses).toEqual([{ reason: 'desync', count: 1, bytes: 3 }]);
  });
  afterAll(async () => await scope.disposeAsync());

  const own = (row: { service: string; side: string; method?: string; route?: string }): LoggedExchange[] =>
    log.filter(
      (one) =>
        one.service === row.service &&
        one.side === row.side &&
        (row.route === undefined || (one.route === row.route && one.request.method === row.method)),
    );
  const near = (found: number | null, exact: number | null, most: number, what: string): void => {
    if (exact === null || exact === 0) expect(found, what).toBe(exact);
    else expect(Math.abs(found! / exact - 1), `${what}: ${found} for ${exact}`).toBeLessThan(most);
  };

  test('every call is in one row, in the range, and was made by a client', () => {
    expect(report.ledger.exchanges).toBe(log.length);
    for (const { ts } of log) expect(ts! >= report.range.since, `${ts} before ${report.range.since}`).toBe(true);
    expect(total(report.routes.map(({ count }) => count))).toBe(log.length);
    for (const row of report.routes) expect(own(row)).toHaveLength(row.count);
    const names = report.services.map(({ service, side, count }) => [`${service.replace(/:.*/, '')} ${side}`, count]);
    const uploads = made.proxy / PATHS.length;
    expect(Object.fromEntries(names)).toMatchObject({
      'nginx server': made.proxy + made.cut,
      'nginx client': made.proxy - uploads,
    });
  });

  test('response time and its phases: percentiles within 1 %, longest and mean exact', () => {
    for (const row of report.routes) {
      for (const phase of PHASES) {
        const exact = times(own(row), phase);
        const what = `${row.service} ${row.side} ${row.route} ${phase}`;
        for (const [name, q] of Object.entries(QUANTILES))
          near(row[phase][name as 'p50'], quantile(exact, q), ERROR_MAX, `${what} ${name}`);
        expect(row[phase].max, what).toBe(exact.length === 0 ? null : Math.max(...exact));
        expect(row[phase].mean, what).toBe(exact.length === 0 ? null : Math.round(total(exact) / exact.length));
      }
    }
    const upload = report.routes.find(({ route, service }) => route === '/sink' && service.startsWith('nginx'))!;
    // The client waits before the second half; a busy machine sends it with the first now and then.
    expect(upload.upload_ns.p90).toBeGreaterThan(3e6);
    expect(own(upload).filter(({ anomalies }) => anomalies?.includes('short_body'))).toHaveLength(made.cut);
  });

  test('errors: classes, the ratio with its interval, the first of each class, the burn', () => {
    const seen = new Set<string>();
    for (const row of report.routes) {
      const calls = own(row);
      const what = `${row.service} ${row.side} ${row.route}`;
      const classes = counted(calls.map(errorClass).filter((name) => name !== null));
      for (const [name, count] of Object.entries(row.errors.classes))
        expect(count, `${what} ${name}`).toBe(classes.get(name) ?? 0);
      for (const name of classes.keys()) seen.add(name);
      const failed = calls.filter(isFailure).length;
      expect(row.errors.total, what).toBe(failed);
      expect(row.errors.ratio, what).toBeCloseTo(failed / calls.length, 12);
      for (const [i, bound] of wilson(failed, calls.length).entries())
        expect(row.errors.interval[i], what).toBeCloseTo(bound, 9);
      expect(row.errors.first.map((first) => first.class).sort(), what).toEqual([...classes.keys()].sort());
      for (const first of row.errors.first) {
        const ofClass = calls.filter((one) => errorClass(one) === first.class);
        expect(
          ofClass.map(({ id }) => id),
          what,
        ).toContain(first.example);
        const ends = ofClass.map(endMs).filter((at) => at !== null);
        if (ends.length === ofClass.length)
          expect(Math.abs(Date.parse(first.at) - Math.min(...ends)), what).toBeLessThan(2);
      }
    }
    const other = ['timeout', 'reset_before_headers', 'reset_in_body', 'client_abort', 'truncated', 'protocol_error'];
    expect([...seen].sort()).toEqual(['401', '404', '429', '4xx', '5xx', ...other].sort());
    for (const row of report.services) {
      const failed = own(row).filter(isFailure).length;
      expect(row.errors.total).toBe(failed);
      // All of it is younger than five minutes.
      for (const burn of Object.values(row.burn)) {
        expect([burn.count, burn.errors]).toEqual([row.count, failed]);
        expect(burn.rate).toBeCloseTo(failed / row.count / 0.001, 6);
      }
    }
  });

  test('traffic: bytes by direction, calls a second, connections and their reuse, protocols', () => {
    const seconds = (Date.parse(report.range.until) - Date.parse(report.range.since)) / 1_000;
    for (const row of report.routes) {
      const calls = own(row);
      expect(row.bytes).toEqual({
        request_header: total(calls.map(({ request: sent }) => sent.head_bytes)),
        request_body: total(calls.map(({ request: sent }) => sent.body_bytes)),
        response_header: total(calls.map(({ response }) => response?.head_bytes ?? 0)),
        response_body: total(calls.map(({ response }) => response?.body_bytes ?? 0)),
      });
      near(row.rate_per_s, calls.length / seconds, 1e-3, 'rate');
      const statuses = counted(calls.flatMap(({ response }) => response?.status ?? []));
      expect(row.statuses).toEqual(Object.fromEntries([...statuses].map(([code, n]) => [`${code}`, n])));
    }
    for (const row of report.services) {
      const calls = own(row);
      const connections = new Set(calls.map(({ connection }) => connection)).size;
      expect(row.connections.opened + row.connections.joined).toBe(connections);
      near(row.connections.calls_per_connection, calls.length / connections, 1e-9, 'reuse');
      expect(row.protocols).toMatchObject(Object.fromEntries(counted(calls.map(({ protocol }) => protocol))));
      near(row.rate_per_s, calls.length / seconds, 1e-3, 'rate');
    }
    const proxy = report.services.find(({ service, side }) => service.startsWith('nginx') && side === 'server')!;
    expect(proxy.connections.opened).toBe(total(LOADS) + made.cut);
  });

  test("load: calls in flight at arrival, each level, its throughput, Little's law", () => {
    for (const service of report.services.filter(({ service: name }) => name.startsWith('nginx'))) {
      const calls = own(service);
      const exact = inFlight(calls);
      const otherwise = calls.filter((one) => one.in_flight !== exact.get(one)).length;
      expect(otherwise / calls.length, `${service.side} in flight`).toBeLessThan(OUT_OF_TURN);
      const seconds = (Date.parse(report.range.until) - Date.parse(report.range.since)) / 1_000;
      near(service.in_flight, total(times(calls, 'latency_ns')) / 1e9 / seconds, OUT_OF_TURN, 'in flight on average');
      const spent = levels(calls);
      for (const row of report.routes.filter((one) => one.service === service.service && one.side === service.side)) {
        for (const bucket of row.load.buckets) {
          const here = own(row).filter((one) => levelOf(one.in_flight) === bucket.in_flight);
          const what = `${row.route} at ${bucket.in_flight}`;
          expect(bucket.count, what).toBe(times(here, 'latency_ns').length);
          near(bucket.p50_ns, quantile(times(here, 'latency_ns'), 0.5), ERROR_MAX, what);
          near(bucket.p95_ns, quantile(times(here, 'latency_ns'), 0.95), ERROR_MAX, what);
          if (bucket.throughput_per_s === null) continue;
          const level = spent.get(bucket.in_flight)!;
          const all = times(
            calls.filter((one) => levelOf(one.in_flight) === bucket.in_flight),
            'latency_ns',
          );
          const perSecond = (level.area / level.spent / (total(all) / all.length)) * 1e9;
          near(bucket.throughput_per_s, perSecond, OUT_OF_TURN, `${what}: throughput`);
        }
        expect(row.load.buckets.some(({ throughput_per_s: found }) => found !== null)).toBe(true);
        expect(row.load.little_error).toBeLessThan(OUT_OF_TURN);
      }
    }
  });

  test('header elements: presence, values, class, entropy, lengths, lines of a name, sizes of blocks', () => {
    for (const row of report.routes) {
      const calls = own(row);
      for (const field of row.headers.filter(({ name }) => !name.startsWith(':'))) {
        const messages = calls.flatMap((one): LoggedMessage[] => {
          const message = field.direction === 'request' ? one.request : one.response;
          return message === null ? [] : [message];
        });
        const exact = fieldCount(messages, field.name);
        const what = `${row.service} ${row.side} ${row.route} ${field.direction} ${field.name}`;
        expect([field.n, field.lines], what).toEqual([messages.length, exact.lines]);
        expect(field.presence, what).toBeCloseTo(exact.messages / messages.length, 9);
        expect(field.distinct_exact, what).toBe(true);
        expect(field.distinct, what).toBe(exact.values.size);
        expect(field.multiplicity, what).toEqual({ repeated: exact.repeated, max: exact.most });
        expect(field.length, what).toEqual({ p50: quantile(exact.lengths, 0.5), max: Math.max(...exact.lengths) });
        if (exact.values.size <= 32) {
          expect(Math.abs(field.entropy_bits - bits(exact.values)), what).toBeLessThan(1e-9);
          for (const { value, count, error } of field.top)
            expect([exact.values.get(value), error], `${what} ${value}`).toEqual([count, 0]);
        }
        const uniqueness = exact.values.size / exact.lines;
        if (exact.values.size === 1) expect(field.class, what).toBe('constant');
        else if (uniqueness >= 0.9 && exact.lines >= 10) expect(field.class, what).toBe('identifier');
        expect(
          calls.map(({ id }) => id),
          what,
        ).toContain(field.example);
      }
      for (const block of row.blocks) {
        const heads = calls.flatMap((one) => (block.direction === 'request' ? one.request : (one.response ?? [])));
        expect(block.n).toBe(heads.length);
        const lines = heads.map(({ headers }) => headers.length);
        expect(block.lines).toEqual({ p50: quantile(lines, 0.5), max: Math.max(...lines) });
      }
    }
    const fields = report.routes.find(
      ({ route, service, side }) => route === '/slow/{id}' && service.startsWith('nginx') && side === 'server',
    )!.headers;
    const classOf = (name: string): string => fields.find((field) => field.name === name)!.class;
    expect(['x-request-id', 'x-tier', 'host'].map(classOf)).toEqual(['identifier', 'enum', 'constant']);
  });
});

/** Unix ms of a call's last byte; null: not seen. */
function endMs({ ts, timing_ns: { last_response_byte: last } }: LoggedExchange): number | null {
  return typeof last === 'number' ? Date.parse(ts!) + last / 1e6 : null;
}
