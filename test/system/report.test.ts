/**
 * `report`, `query`, `tail --since` on real traffic: an agent with a store, two minutes with different clients, and the clients'
 * own count as the truth.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExchangeRecord } from '../../src/model/record.ts';
import type { Report } from '../../src/query/report.ts';
import type { Comparison } from '../../src/stats/compare.ts';
import { Agent, HEADWATER, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { MovedClock } from '../rig/clock.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { type Ended, Program, run } from '../rig/program.ts';
import type { Server } from '../rig/servers/server.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { validLine } from '../unit/log-schema.ts';
import { validReport } from '../unit/report-schema.ts';
import { BATCH, batchOf, jsonLines, NEW, OLD, PATHS, steadyCalls } from './report/clients.ts';

const MINUTE_MS = 60_000;
const WINDOW_MS = 1_000;
/** Its clock is set so that the next minute begins so long after its start: enough for what comes before, and no whole minute to wait for. */
const MINUTE_LEFT_MS = 20_000;
/** Before the change, and after it. */
const BEFORE = 5;
const AFTER = 3;

let scope: AsyncDisposableStack;
let folder: Folder;
let cgroup: Cgroup;
let site: Server;
let agent: Agent;
let data: string;
/** Where the two minutes meet, RFC 3339. */
let boundary: string;
/** Calls that the clients made, and those of them before the boundary. */
let made = 0;
let madeBefore = 0;
let log: readonly LoggedExchange[] = [];

const headwater = (...args: string[]): Promise<Ended> => run([HEADWATER, ...args], { env: { TZ: 'UTC' } });
const stored = (...args: string[]): Promise<Ended> => headwater(...args, '--data', data);

async function json<T>(...args: string[]): Promise<T> {
  const { code, stdout, stderr } = await headwater(...args, '--json');
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout) as T;
}
const lines = jsonLines<ExchangeRecord>;

/** The ends of a range are printed in whole milliseconds. */
const expectNear = (value: number, expected: number): void => expect(Math.abs(value / expected - 1)).toBeLessThan(1e-3);

async function batch(headers: Readonly<Record<string, string>>): Promise<void> {
  await batchOf(site.port, made, headers);
  made += BATCH;
}

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'clang',
  'unshare',
)('report, query and tail --since', () => {
  beforeAll(async () => {
    scope = new AsyncDisposableStack();
    folder = scope.use(new Folder());
    cgroup = scope.use(new Cgroup('report'));
    site = scope.use(await nodeSite({ cgroup }));
    data = folder.file('data');
    const clock = await MovedClock.make(folder);
    const now = clock.nearMinute(MINUTE_LEFT_MS);
    const args = ['--window', `${WINDOW_MS / 1_000}s`];
    agent = scope.use(await Agent.start({ cgroups: [cgroup], data, args, under: clock.under }));
    for (let i = 0; i < BEFORE || now() % MINUTE_MS < 5_000; i++) {
      await batch(OLD);
      await sleep(WINDOW_MS);
    }
    madeBefore = made;
    const at = Math.ceil(now() / MINUTE_MS) * MINUTE_MS;
    boundary = new Date(at).toISOString();
    await sleep(at - now() + 2 * WINDOW_MS); // a window that began before belongs to the first minute
    for (let i = 0; i < AFTER; i++) {
      await batch(NEW);
      await sleep(WINDOW_MS);
    }
    await agent.until((calls) => calls.length === made);
    // The first minute is over, and on the disk a moment later; one that still runs is in memory alone.
    await agent.program.until('the first minute in the store', async () => {
      const { code, stdout } = await headwater('report', '--json', '--data', data, '--until', boundary);
      return code === 0 && (JSON.parse(stdout) as Report).ledger.exchanges >= madeBefore;
    });
    expect((await agent.get('/v1/settled')).status).toBe(200);
  });
  afterAll(async () => await scope.disposeAsync());

  describe.concurrent('asked of the running agent', () => {
    test('report: everything since its start, valid, and what the clients made', async () => {
      const report = await json<Report>('report', '--socket', agent.socket);
      expect(validReport(report), JSON.stringify(validReport.errors)).toBe(true);
      expect(report.ledger).toEqual({ exchanges: made, losses: [] });
      expect(report.routes.map(({ route, count }) => [route, count]).sort()).toEqual(
        ['/bytes/{id}', '/missing', '/slow/{id}', '/small', '/status/{id}'].map((route) => [
          route,
          made / PATHS.length,
        ]),
      );
      expect(report.services).toMatchObject([{ service: `node:${site.port}`, side: 'server', count: made }]);
    });

    test('report --since, --until: the minutes on either side of the boundary', async () => {
      const after = await json<Report>('report', '--socket', agent.socket, '--since', boundary);
      const before = await json<Report>('report', '--socket', agent.socket, '--until', boundary);
      for (const report of [after, before]) expect(validReport(report), JSON.stringify(validReport.errors)).toBe(true);
      expect([before.ledger.exchanges, after.ledger.exchanges]).toEqual([madeBefore, made - madeBefore]);
      expect(after.range.since).toBe(boundary);
      expect(before.range.until).toBe(boundary);
    });

    test('a range that begins within a minute takes it whole, and its rate is over what is counted', async () => {
      const within = new Date(Date.parse(boundary) + 3_000).toISOString();
      const whole = await json<Report>('report', '--socket', agent.socket, '--since', boundary);
      const part = await json<Report>('report', '--socket', agent.socket, '--since', within);
      expect(part.ledger).toEqual(whole.ledger);
      expect(part.range.since).toBe(boundary);
      const seconds = (Date.parse(part.range.until) - Date.parse(part.range.since)) / 1_000;
      expectNear(part.services[0]!.rate_per_s, (made - madeBefore) / seconds);
      expect((await stored('report', '--json', '--since', within)).stdout).toContain(`"since": "${boundary}"`);
    });

    test('the store says the same while the agent writes to it', async () => {
      const before = await json<Report>('report', '--data', data, '--until', boundary);
      const live = await json<Report>('report', '--socket', agent.socket, '--until', boundary);
      expect(before.routes.map(({ load: _, headers: __, blocks: ___, ...row }) => ({ ...row, rate_per_s: 0 }))).toEqual(
        live.routes.map(({ load: _, headers: __, blocks: ___, ...row }) => ({ ...row, rate_per_s: 0 })),
      );
    });
  });

  describe('tail --since', () => {
    test('every stored call, then every live one, once and in order', async () => {
      for (const pauseMs of [0, 90, 170]) {
        await using background = steadyCalls(site.port, `bg${pauseMs}-`);
        await agent.until((calls) => calls.length > made);
        await sleep(pauseMs);
        await using tail = new Program([HEADWATER, 'tail', '--since', '1h', '--json', '--socket', agent.socket]);
        const printed = (): ExchangeRecord[] => lines(tail.stdout.slice(0, tail.stdout.lastIndexOf('\n') + 1));
        await tail.until('what is live', () => printed().length > made);
        // Some calls come while it is at the live ones for certain.
        const sofar = printed().length;
        await tail.until('more of it', () => printed().length > sofar + 10);
        const { code, stdout } = await background.stop('SIGTERM');
        expect(code).toBe(0);
        made += Number(stdout);
        const expected = (await agent.until((calls) => calls.length >= made)).map(({ id }) => id);
        expect(expected).toHaveLength(made);
        await tail.until('the last call', () => tail.stdout.includes(`"${expected.at(-1)}"`));
        const ended = await tail.stop('SIGINT');
        expect([ended.code, ended.stderr]).toEqual([0, '']);
        expect(lines(ended.stdout).map(({ id }) => id)).toEqual(expected);
      }
    });

    test('with a filter, and a time that is none', async () => {
      const filtered = ['--filter', 'response.code == 503', '--socket', agent.socket];
      await using tail = new Program([HEADWATER, 'tail', '--since', boundary, ...filtered]);
      const failed = (AFTER * BATCH) / PATHS.length;
      await tail.until('the past', () => tail.stdout.split('\n').length > failed);
      await batch(NEW);
      await tail.until('what is live', () => tail.stdout.split('\n').length > failed + BATCH / PATHS.length);
      const { stdout } = await tail.stop('SIGINT');
      const shown = stdout.trimEnd().split('\n');
      expect(shown).toHaveLength(failed + BATCH / PATHS.length);
      for (const line of shown) expect(line).toContain(' 503 ');
      expect(await headwater('tail', '--since', 'noon', '--socket', agent.socket)).toMatchObject({
        code: 2,
        stderr: 'headwater: "noon" is no time: write 2026-11-22T16:04:05Z, 2026-11-22, or 15m, 2h, 7d ago\n',
      });
    });
  });

  // Nothing is written any more: side by side they take half as long.
  describe.concurrent('from the data folder, after the agent has ended', () => {
    beforeAll(async () => {
      const stopped = await agent.stop();
      log = stopped.exchanges;
      expect(log).toHaveLength(made);
      expect(stopped.summary.losses).toEqual([]);
    });

    const timeOf = (call: LoggedExchange): number => call.timing_ns['last_response_byte']!;

    test('percentiles are those of the log', async () => {
      const report = await json<Report>('report', '--data', data);
      expect(report.ledger).toEqual({ exchanges: made, losses: [] });
      for (const row of report.routes) {
        const times = log
          .filter(({ route }) => route === row.route)
          .map(timeOf)
          .sort((a, b) => a - b);
        expect(times).toHaveLength(row.count);
        for (const [name, q] of [
          ['p50', 0.5],
          ['p90', 0.9],
          ['p95', 0.95],
          ['p99', 0.99],
          ['p999', 0.999],
        ] as const) {
          const exact = times[Math.ceil(q * times.length) - 1]!;
          expect(Math.abs(row.latency_ns[name]! / exact - 1), `${row.route} ${name}`).toBeLessThan(0.01);
        }
        expect(row.latency_ns.max).toBe(times.at(-1));
        const first = log
          .filter(({ route }) => route === row.route)
          .map(({ timing_ns: t }) => t['first_response_byte']!);
        expect(row.ttfb_ns.max).toBe(Math.max(...first));
        const sum = (of: (call: LoggedExchange) => number): number =>
          log.filter(({ route }) => route === row.route).reduce((n, call) => n + of(call), 0);
        expect(row.bytes).toEqual({
          request_header: sum((call) => call.request.head_bytes),
          request_body: 0,
          response_header: sum((call) => call.response!.head_bytes),
          response_body: sum((call) => call.response!.body_bytes),
        });
      }
    });

    test('errors by class, and the first of each', async () => {
      const report = await json<Report>('report', '--data', data);
      const of = (route: string) => report.routes.find((row) => row.route === route)!;
      const failed = log.filter(({ response }) => response!.status === 503);
      expect(of('/status/{id}').errors).toMatchObject({
        total: failed.length,
        ratio: 1,
        classes: { '5xx': failed.length, '404': 0 },
      });
      expect(of('/status/{id}').errors.first).toMatchObject([{ class: '5xx', example: failed[0]!.id }]);
      expect(of('/missing').errors.classes['404']).toBe(log.filter(({ response }) => response!.status === 404).length);
      expect(of('/small').errors).toMatchObject({ total: 0, ratio: 0, first: [] });
    });

    test('planted changes of all five kinds are named within a window, each with a call that shows it', async () => {
      const { changes } = await json<Report>('report', '--data', data);
      const about = (kind: string, name: string) =>
        changes.filter(
          (one) => one.at > boundary && one.kind === kind && one.name === name && one.direction === 'request',
        );
      const [added] = about('header_new', 'x-new');
      const [gone] = about('header_vanished', 'x-client');
      const [version] = about('value_new', 'x-api-version');
      const [rotated] = about('value_new', 'authorization');
      const [order] = about('order', ':order');
      expect(added).toMatchObject({ side: 'server', before: 0 });
      expect(gone).toMatchObject({ side: 'server', before: 1 });
      // All and none, but where a window's end cut the last batch before: too few calls for a window join the next one.
      expect(added!.after).toBeGreaterThan(0.5);
      expect(gone!.after).toBeLessThan(0.5);
      expect(version).toMatchObject({ after: '2' });
      expect(rotated!.after).toMatch(/^Bearer \[fp:[0-9a-f]{16}\]$/);
      expect(order!.after).toMatch(/authorization, x-new, x-api-version, x-request-id/);
      expect(JSON.stringify(changes)).not.toContain('canary');
      const changed = log.filter(({ request }) => request.headers.some(([name]) => name === 'x-new'));
      const before = log.filter((one) => !changed.includes(one)).map(({ id }) => id);
      for (const change of [added, version, rotated, order])
        expect(changed.map(({ id }) => id)).toContain(change!.example);
      // The last call that had it.
      expect(before).toContain(gone!.example);
      // In windows, not in seconds: a busy machine ends one late. It is named at the end of the one after the first batch, at the latest.
      const sql = "SELECT DISTINCT epoch_ms(start) AS at FROM states WHERE kind = 'headers'";
      const windows = jsonLines<{ at: number }>((await stored('query', '--sql', sql, '--json')).stdout).map(
        ({ at }) => at,
      );
      const begunBy = (at: number): number => windows.filter((from) => from <= at).length;
      const last = begunBy(Date.parse(changed[BATCH - 1]!.ts!));
      for (const change of [added, gone, version, rotated, order])
        expect(begunBy(Date.parse(change!.at)) - last, change!.kind).toBeLessThanOrEqual(2);
      // Nothing was called a change before there was one.
      expect(changes.filter(({ at, kind }) => at < boundary && kind !== 'order')).toEqual([]);
    });

    test('--against: what changed from the first minute to the second', async () => {
      const found = await json<Comparison>('report', '--data', data, '--since', boundary, '--against', `..${boundary}`);
      expect(found.before.until).toBe(boundary);
      expect(found.after.since).toBe(boundary);
      expect(found.routes.map(({ route }) => route).sort()).toEqual([
        '/bytes/{id}',
        '/missing',
        '/slow/{id}',
        '/small',
        '/status/{id}',
      ]);
      const small = found.routes.find(({ route }) => route === '/small')!;
      const perSecond = ({ since, until }: { since: string; until: string }, calls: number): number =>
        calls / ((Date.parse(until) - Date.parse(since)) / 1_000);
      const calls = log.filter(({ route, ts }) => route === '/small' && ts! >= boundary).length;
      expect(small.count).toEqual({ before: madeBefore / PATHS.length, after: calls });
      expectNear(small.rate_per_s.before!, perSecond(found.before, madeBefore / PATHS.length));
      expectNear(small.rate_per_s.after!, perSecond(found.after, calls));
      const missing = found.headers.filter(({ route, direction }) => route === '/missing' && direction === 'request');
      expect(missing.map(({ name, kind, before, after }) => [name, kind, before, after]).sort()).toEqual([
        [':order', 'values', 1, 1],
        ['authorization', 'values', 1, 1],
        ['x-api-version', 'values', 1, 1],
        ['x-client', 'vanished', 1, null],
        ['x-new', 'new', null, 1],
      ]);
      const { code, stdout } = await stored('report', '--since', boundary, '--against', `..${boundary}`);
      expect(code).toBe(0);
      expect(stdout).toMatch(/\nHeaders that changed\n/);
      expect(stdout).toMatch(/x-api-version +values +1 +2/);
      const markdown = await stored('report', '--since', boundary, '--against', `..${boundary}`, '--markdown');
      expect(markdown.stdout.startsWith('# What changed\n')).toBe(true);
      const none = await stored('report', '--since', boundary, '--against', '2020-01-01..2020-01-02');
      expect(none.stdout).toContain('There are no calls in the first range.');
    });

    test('the same table in text and in Markdown', async () => {
      const text = await stored('report');
      const markdown = await stored('report', '--markdown');
      for (const title of [
        'Response time',
        'Errors',
        'First errors',
        'Traffic',
        'Services',
        'Latency under load',
        'Headers',
        'Changes',
      ]) {
        expect(text.stdout).toContain(`\n${title}\n`);
        expect(markdown.stdout).toContain(`\n## ${title}\n`);
      }
      expect(text.stdout).toMatch(new RegExp(`\n${made} calls seen; lost: nothing\n$`));
      expect(text.stdout).not.toMatch(/\u001b/);
    });

    test('query --json: the lines of the log, newest first, and valid', async () => {
      const { code, stdout, stderr } = await stored('query', '--json', '--limit', String(made + 1));
      expect([code, stderr]).toEqual([0, '']);
      const found = lines(stdout);
      for (const line of found) expect(validLine(line), JSON.stringify(validLine.errors)).toBe(true);
      expect(found.reverse()).toEqual(log);
    });

    test('query --filter, --since, --until, --limit, --headers', async () => {
      const newestFirst = (keep: (call: LoggedExchange) => boolean): string[] =>
        log
          .filter(keep)
          .map(({ id }) => id)
          .reverse();
      const ids = async (...args: string[]): Promise<string[]> =>
        lines((await stored('query', '--json', ...args)).stdout).map(({ id }) => id);
      expect(await ids('--limit', '99999', '--filter', 'response.code == 503')).toEqual(
        newestFirst(({ response }) => response!.status === 503),
      );
      expect(await ids('--limit', '99999', '--since', boundary)).toEqual(newestFirst(({ ts }) => ts! >= boundary));
      expect(await ids('--limit', '99999', '--until', boundary)).toEqual(newestFirst(({ ts }) => ts! < boundary));
      expect(await ids('--limit', '3')).toEqual(newestFirst(() => true).slice(0, 3));
      expect(await ids()).toHaveLength(100);
      const filter = '"x-new" in request.headers && request.headers["x-api-version"] == "2"';
      expect(await ids('--limit', '99999', '--filter', filter)).toEqual(
        newestFirst(({ request }) => request.headers.some(([name]) => name === 'x-new')),
      );
      expect(await ids('--filter', 'request.method == "BREW"')).toEqual([]);
      const { stdout } = await stored('query', '--limit', '1', '--headers');
      expect(stdout.split('\n')[0]).toMatch(/ server +node:\d+ +GET +\d{3} /);
      expect(stdout).toMatch(/\n {4}> x-request-id: /);
      expect(stdout).toMatch(/\n {4}< date: /i);
    });

    test('query --sql: as a table and as JSON lines', async () => {
      const sql = 'SELECT status, count(*) AS calls FROM calls GROUP BY status ORDER BY status';
      const truth = [200, 404, 503].map((status) => ({
        status,
        calls: log.filter(({ response }) => response!.status === status).length,
      }));
      const rows = await stored('query', '--sql', sql, '--json');
      expect(jsonLines(rows.stdout)).toEqual(truth);
      const table = await stored('query', '--sql', sql);
      expect(
        table.stdout
          .trimEnd()
          .split('\n')
          .map((line) => line.split(/ +/)),
      ).toEqual([['status', 'calls'], ...truth.map(({ status, calls }) => [`${status}`, `${calls}`])]);
      const cut = await stored('query', '--sql', 'SELECT id FROM calls', '--limit', '5');
      expect(cut.stdout.trimEnd().split('\n')).toHaveLength(6);
      expect(cut.stderr).toBe('headwater: there are more rows: --limit N, or LIMIT and OFFSET in the query\n');
    });
  });
});
