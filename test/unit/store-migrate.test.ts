/**
 * Stores of version 1: test/fixtures/store/v1 was written and killed by the program of commit c7b5069, before sealed segments had filters
 * of their values; v1-filters by that of commit 8554fc8, whose own answers stand beside it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { TlsFacts } from '../../src/model/tls.ts';
import { queryCalls, querySql } from '../../src/query/calls.ts';
import { storedReport } from '../../src/query/states.ts';
import { STORE_VERSION } from '../../src/store/layout.ts';
import { prepareFolder, SCHEMA, type Schema, versionOf } from '../../src/store/migrate.ts';
import type { StoreReader } from '../../src/store/reader.ts';
import { VALUES_FILE } from '../../src/store/seal.ts';
import { Folder } from '../rig/folder.ts';
import { connectionOf, NOW_MS, StoreRig } from './store-rig.ts';

const FIXTURE = join(import.meta.dirname, '../fixtures/store/v1');
const HOUR_MS = 3_600_000;

/** Numbers of the fixture's calls that `filter` finds, oldest first. */
async function found(reader: StoreReader, filter?: string): Promise<number[]> {
  const answer = await queryCalls(reader, { limit: 1_000, ...(filter === undefined ? {} : { filter }) });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.calls.map(({ request }) => Number(request!.target.split('/').at(-1))).reverse();
}

async function answers(data: string): Promise<unknown[]> {
  const reader = await new StoreRig(data).read();
  const report = await storedReport(reader, NOW_MS - HOUR_MS, NOW_MS + 4 * HOUR_MS, NOW_MS + 4 * HOUR_MS);
  const sql = await querySql(reader, "SELECT count(*) FROM calls WHERE status = 500 AND target LIKE '/v1/users/%'");
  const all = [
    await found(reader, 'request.path.startsWith("/v1/users/")'),
    await found(reader, 'request.headers["x-request-id"] == "request-7"'),
    await found(reader, 'request.headers["x-request-id"] == "none"'),
    await found(reader, 'response.code == 500 && "host" in request.headers'),
    sql.ok && sql.value.rows,
    report.ok &&
      report.value.routes.map(({ route, count, latency_ns, errors, headers }) => [
        route,
        count,
        latency_ns.p99,
        errors.total,
        headers.map(({ name, n, distinct }) => [name, n, distinct]),
      ]),
  ];
  expect(reader.damaged.size).toBe(0);
  reader.close();
  return all;
}

test('a store of an earlier program opens, answers, and is written on', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  cpSync(FIXTURE, data, { recursive: true });
  const before = await answers(data);
  const [calls, one, none, errors] = before as [number[], number[], number[], number[]];
  expect(calls.length).toBeGreaterThan(50);
  expect(calls).toEqual(calls.map((_, i) => i));
  expect([one, none]).toEqual([[7], []]);
  expect(errors).toEqual(calls.filter((n) => n % 10 === 0));
  const rig = await new StoreRig(data).open({ run: 'new' }, NOW_MS + 5 * HOUR_MS);
  // The calls that the kill took: those of the last batch at most.
  expect(rig.store.damage).toMatchObject([{ type: 'uncommitted' }]);
  rig.quietly({ ordinal: 1, request: { target: '/new/1', headers: [['X-Request-Id', 'request-1000']] } });
  await rig.tick(NOW_MS + 5 * HOUR_MS);
  expect(await rig.close(NOW_MS + 5 * HOUR_MS)).toBe(0);
  expect(await answers(data)).toEqual(before);
  // Old segments without a filter, and new ones that have it, side by side.
  const folders = readdirSync(join(data, 'sealed'), { recursive: true, encoding: 'utf8' });
  const filters = folders.filter((name) => name.endsWith(VALUES_FILE));
  expect(filters.length).toBeGreaterThan(0);
  expect(filters.length).toBeLessThan(folders.filter((name) => name.endsWith('calls.parquet')).length);
  const reader = await new StoreRig(data).read();
  expect(await found(reader, 'request.headers["x-request-id"] == "request-1000"')).toEqual([1]);
  reader.close();
});

test('each older version has its step, and a folder that is made now needs none', () => {
  expect(SCHEMA.steps).toHaveLength(STORE_VERSION - 1);
  using folder = new Folder();
  const never = (): never => {
    throw new Error('a new folder has nothing to migrate');
  };
  prepareFolder(folder.path, { version: 3, steps: [never, never] });
  expect(versionOf(folder.path)).toBe(3);
});

test('steps are run in order, each once; one that was interrupted is run again', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  cpSync(FIXTURE, data, { recursive: true });
  const ran: string[] = [];
  let full = true;
  const schema: Schema = {
    version: 3,
    steps: [
      () => {
        ran.push('1 to 2');
        return [];
      },
      () => {
        ran.push('2 to 3');
        if (full) throw new Error('ENOSPC');
        return [];
      },
    ],
  };
  expect(() => prepareFolder(data, schema)).toThrow('ENOSPC');
  expect(versionOf(data)).toBe(2);
  full = false;
  prepareFolder(data, schema);
  prepareFolder(data, schema);
  expect(ran).toEqual(['1 to 2', '2 to 3', '2 to 3']);
  expect(versionOf(data)).toBe(3);
  expect(existsSync(join(data, 'store.json.tmp'))).toBe(false);
  // The program before it refuses what it does not know, to write and to read, and touches nothing.
  await expect(new StoreRig(data).open()).rejects.toThrow(/version 3, this program knows versions up to 2/);
  await expect(new StoreRig(data).read()).rejects.toThrow(/version 3, this program knows versions up to 2/);
  expect(readFileSync(join(data, 'store.json'), 'utf8')).toBe('{"version":3}\n');
  expect(readdirSync(data)).not.toContain('lock');
});

/** What the program that wrote `v1-filters` said of it: its calls as lines of the header log, and the report. */
const FILTERED = join(import.meta.dirname, '../fixtures/store/v1-filters');
const answersThen = JSON.parse(gunzipSync(readFileSync(`${FILTERED}.answers.json.gz`)).toString()) as {
  calls: unknown[];
  report: { routes: readonly Record<string, unknown>[] };
};
/** What a report said then of a route; it may say more now. */
const figures = (routes: readonly object[]): unknown[] =>
  routes.map((row) => {
    const { route, count, latency_ns, ttfb_ns, errors, bytes } = row as Record<string, unknown>;
    return { route, count, latency_ns, ttfb_ns, errors, bytes };
  });
const told = { calls: answersThen.calls, routes: figures(answersThen.report.routes) };
const REPORT_END = NOW_MS + 4 * HOUR_MS;

async function tells(data: string): Promise<typeof told> {
  const reader = await new StoreRig(data).read();
  const page = await queryCalls(reader, { limit: 1_000, filter: 'request.path.startsWith("/v1/users/")' });
  const report = await storedReport(reader, NOW_MS - HOUR_MS, REPORT_END, REPORT_END);
  if (!page.ok || !report.ok) throw new Error('no answer');
  expect(page.value.websockets).toEqual([]);
  expect([...reader.damaged]).toEqual([]);
  reader.close();
  return { calls: [...page.value.calls], routes: figures(report.value.routes) };
}

test('version 1 answers as its own program did: as it lies, brought to version 2, and written on', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  cpSync(FILTERED, data, { recursive: true });
  expect(await tells(data)).toEqual(told);
  expect(versionOf(data)).toBe(1);
  const rig = await new StoreRig(data).open({ run: 'new' }, NOW_MS + 5 * HOUR_MS);
  expect(versionOf(data)).toBe(2);
  // What was live is sealed, as it was.
  expect(readdirSync(join(data, 'live')).filter((name) => name.endsWith('.log'))).toEqual([]);
  expect(await tells(data)).toEqual(told);
  const old = await rig.read();
  const sql = await querySql(old, 'SELECT count(*), count(tls_version), count(DISTINCT id) FROM calls');
  old.close();
  const count = BigInt(told.calls.length);
  expect(sql).toMatchObject({ ok: true, value: { rows: [[count, 0n, count]] } });
  const connection = connectionOf();
  connection.tls = Object.assign(new TlsFacts(), { version: '1.3', sni: 'new.example' });
  rig.quietly({ ordinal: 1, connection, request: { target: '/new/1' } });
  await rig.tick(NOW_MS + 5 * HOUR_MS);
  await rig.close(NOW_MS + 5 * HOUR_MS);
  const reader = await rig.read();
  expect(reader.segments.map(({ version }) => version)).toEqual([1, 1, 2, 2]);
  for (const filter of ['connection.tls_version == "1.3"', 'connection.requested_server_name == "new.example"']) {
    const page = await queryCalls(reader, { filter });
    expect(page).toMatchObject({ ok: true, value: { calls: [{ request: { target: '/new/1' } }], next: null } });
  }
  reader.close();
});

test('a log that was cut short is migrated up to there; the rest is set aside and named once', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  cpSync(FILTERED, data, { recursive: true });
  const log = join(data, 'live/0000000003.log');
  const bytes = readFileSync(log);
  writeFileSync(log, bytes.subarray(0, bytes.length - 100));
  const rig = await new StoreRig(data).open({ run: 'new' }, NOW_MS + 5 * HOUR_MS);
  expect(rig.store.damage).toMatchObject([{ type: 'torn' }, { type: 'uncommitted' }]);
  const lost = rig.store.damage.reduce((sum, damage) => sum + ('calls' in damage ? damage.calls : 0), 0);
  await rig.close(NOW_MS + 5 * HOUR_MS);
  const reader = await rig.read();
  const all = await found(reader);
  reader.close();
  expect(all.length + lost).toBe(told.calls.length);
  expect(all).toEqual(all.map((_, i) => i));
});

/** Names below a folder, and what the files hold. */
const contents = (folder: string): unknown[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [path.slice(folder.length), entry.isFile() ? readFileSync(path).toString('latin1') : null] as const;
    })
    .sort(([a], [b]) => (a < b ? -1 : 1));

test('a migration killed at any step it takes loses and doubles nothing', async () => {
  using folder = new Folder();
  const script = join(import.meta.dirname, '../crash/migrate-steps.ts');
  const migrate = (name: string, ...until: string[]) => {
    cpSync(FILTERED, folder.file(name), { recursive: true });
    const args = [script, folder.file(name), folder.file(`${name}-before`), ...until];
    const { stdout, signal } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return [stdout.trim(), signal];
  };
  expect(migrate('whole')).toEqual(['done', null]);
  const copies = folder.file('whole-before');
  const steps = readdirSync(copies).length;
  expect(steps).toBeGreaterThan(15);
  // A copy is what a kill leaves.
  const middle = String(Math.floor(steps / 2));
  expect(migrate('killed', middle)).toEqual(['', 'SIGKILL']);
  expect(contents(folder.file('killed'))).toEqual(contents(join(copies, middle)));
  for (let step = 0; step < steps; step++) {
    const data = join(copies, String(step));
    // As it was left, and after the next start.
    expect((await tells(data)).calls, `killed at step ${step}`).toEqual(told.calls);
    prepareFolder(data);
    expect(versionOf(data)).toBe(2);
    expect(await tells(data), `killed at step ${step}`).toEqual(told);
  }
});
