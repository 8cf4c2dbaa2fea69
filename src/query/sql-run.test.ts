/** SQL as users and strangers write it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { StoreRig } from '../../test/unit/store-rig.ts';
import type { StoreReader } from '../store/reader.ts';
import { callsTable } from '../store/tables.ts';
import { querySql } from './calls.ts';
import { SQL_WAITING_MAX } from './sql-run.ts';

const CALLS = 50;
const folder = new Folder();
let rig: StoreRig;
let reader: StoreReader;

beforeAll(async () => {
  rig = await new StoreRig(folder.file('data')).open();
  for (let n = 1; n <= CALLS; n++)
    rig.call({
      ordinal: n,
      request:
        n % 9 === 0
          ? null
          : {
              target: `/caf\u00c3\u00a9/${n}`,
              headers: [
                ['Host', 'a.example'],
                ['X-Id', `id-${n}`],
              ],
            },
      response: n % 7 === 0 ? null : { status: 200 + n },
    });
  await rig.close();
  reader = await rig.read();
});
afterAll(() => {
  reader.close();
  folder[Symbol.dispose]();
});

test('the views hold what the log holds', async () => {
  const answer = await querySql(reader, 'SELECT id, status, request_headers FROM calls ORDER BY sequence');
  if (!answer.ok) throw new Error(answer.error.message);
  expect(answer.value.rows.map(([id]) => id)).toEqual(rig.lines.map(({ id }) => id));
  expect(answer.value.rows.map((row) => row[1])).toEqual(rig.lines.map(({ response }) => response?.status ?? null));
  const headers = answer.value.rows.map((row) => {
    const list = row[2] as { items: readonly { entries: { name: string; value: string } }[] } | null;
    return list?.items.map(({ entries }) => [entries.name, entries.value]) ?? null;
  });
  expect(headers).toEqual(rig.lines.map(({ request }) => request?.headers ?? null));
});

test('the views have the columns that docs/store.md names', async () => {
  const columnsOf = async (view: string): Promise<readonly string[]> => {
    const answer = await querySql(reader, `SELECT * FROM ${view} LIMIT 0`);
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.columns;
  };
  const docs = readFileSync(join(import.meta.dirname, '../../docs/store.md'), 'utf8');
  const between = (from: string, to: string): string => docs.slice(docs.indexOf(from), docs.indexOf(to));
  const rows = between('## calls.parquet', 'Text is UTF-8').matchAll(/^\| (`.*?`) \|/gm);
  const named = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([a-z0-9_*]+)`/g)].map(([, name]) => name!));
  // `process_*` stands for several, and values are put into the blocks.
  const like = (name: string): RegExp => new RegExp(`^${name.replace('*', '\\w+')}$`);
  const calls = await columnsOf('calls');
  expect(named.length).toBeGreaterThan(30);
  for (const name of named)
    if (!name.endsWith('_values')) expect(calls, name).toContainEqual(expect.stringMatching(like(name)));
  for (const name of calls)
    expect(
      [...named, 'id', 'duration_ns'].some((one) => like(one).test(name)),
      name,
    ).toBe(true);
  const parquet = await reader.database.select(`SELECT * FROM ${callsTable(reader.segments)} LIMIT 0`, 5_000);
  if (!parquet.ok) throw new Error(parquet.error.message);
  expect(parquet.value.columns.filter((name) => !calls.includes(name)).sort()).toEqual([
    'request_values',
    'response_values',
  ]);

  const listed = between('- `states`:', 'Everything but one SELECT');
  for (const view of ['states', 'ledger', 'websockets'])
    for (const name of await columnsOf(view))
      expect(
        listed.includes(`\`${name}\``) || listed.includes(`\`"${name}"\``) || name.startsWith('server_'),
        `${view}.${name}`,
      ).toBe(true);
});

describe('what is no SELECT over the views is refused', () => {
  test.each([
    'INSERT INTO calls VALUES (1)',
    'DELETE FROM calls',
    'CREATE TABLE x AS SELECT 1',
    'DROP VIEW calls',
    "COPY (SELECT 1) TO '/tmp/x'",
    "COPY calls FROM '/tmp/x'",
    "ATTACH '/tmp/x.db'",
    "EXPORT DATABASE '/tmp/x'",
    'INSTALL httpfs',
    'LOAD httpfs',
    'SET memory_limit = 1',
    'RESET ALL',
    'PRAGMA database_list',
    'CALL pragma_version()',
    'EXPLAIN SELECT 1',
    'SHOW TABLES',
    'DESCRIBE calls',
    'CHECKPOINT',
    'VACUUM',
    'BEGIN',
    'PREPARE a AS SELECT 1',
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_parquet('**')",
    "SELECT * FROM parquet_metadata('x')",
    "SELECT * FROM glob('/*')",
    'SELECT * FROM duckdb_settings()',
    'SELECT * FROM information_schema.tables',
    'SELECT * FROM main.calls',
    'SELECT * FROM sqlite_master',
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('calls')",
    "SELECT current_setting('memory_limit')",
    "SELECT (SELECT max(content) FROM read_blob('/etc/passwd'))",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM '/etc/passwd')",
    "WITH calls AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM calls",
    "SELECT 1 UNION ALL SELECT content FROM read_text('/etc/passwd')",
    "SELECT * FROM calls JOIN read_text('/etc/passwd') ON true",
    'SELECT 1; SELECT 2',
    '',
    'SELEC',
    "SELECT '",
    `SELECT ${'('.repeat(70_000)}`,
    "SELECT getenv('HOME')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM read_ndjson('/proc/self/environ')",
    "SELECT * FROM read_blob('/proc/self/mem')",
    'SELECT * FROM duckdb_secrets()',
    "SELECT nextval('x')",
    "SELECT write_log('x')",
    'SELECT version()',
    "SET allowed_directories = ['/']",
    'SET GLOBAL enable_external_access = true',
    'USE x',
    'DETACH calls',
    "CREATE SECRET (TYPE s3, KEY_ID 'x')",
    "COPY (SELECT * FROM calls) TO '/tmp/x.parquet' (FORMAT parquet)",
    'FROM calls; DROP VIEW calls',
    'ALTER VIEW calls RENAME TO x',
    'UPDATE calls SET status = 1',
    "PIVOT (SELECT * FROM read_csv('/etc/passwd')) ON a USING count(*)",
    'SELECT * FROM calls, LATERAL (SELECT * FROM read_text(calls.target))',
    `SELECT * FROM "${'x'.repeat(60_000)}"`,
    `SELECT 1 AS "${'x'.repeat(70_000)}"`,
    'SELECT * FROM \u{1f980}',
    'SELECT \u0000 FROM calls',
    'SEL\u212aECT 1',
    "SELECT add_parquet_key('a', 'b')",
  ])('%s', async (sql) => {
    expect(await querySql(reader, sql)).toMatchObject({ ok: false, error: { type: 'invalid' } });
    expect(existsSync('/tmp/x')).toBe(false);
  });
});

/** `expression` doubled: nested, so that nothing is asked between two steps. */
const doubled = (expression: string, times: number): string => {
  let text = expression;
  for (let i = 0; i < times; i++) text = `concat(${text}, ${text})`;
  return text;
};

describe('no value and no answer is larger than the process that runs SQL may be', () => {
  test.each([
    "SELECT max(length(repeat('x', 10000000) || range)) FROM range(100000)",
    "SELECT length(lpad('x', 2000000000, 'y'))",
    'SELECT length(list_resize([1], 1000000000)::VARCHAR)',
    "SELECT length(string_agg(CAST(range AS VARCHAR), ',')) FROM range(1000000000)",
    'SELECT list(CAST(range AS VARCHAR)) FROM range(100000000)',
    "WITH RECURSIVE t(x) AS (SELECT 'x' UNION ALL SELECT x || x FROM t WHERE length(x) < 10000000000) SELECT max(length(x)) FROM t",
    `SELECT max(length(x || x || x || x || x || x || x || x)) FROM (SELECT ${doubled("repeat('x', 65536)", 5)} || range AS x FROM range(100000))`,
    "SELECT max(length(replace(repeat('a', 1000000), 'a', repeat('b', 1000)))) FROM range(1000)",
    "SELECT length(array_to_string(range(100000000), 'xxxxxxxxxx'))",
  ])('%s', async (sql) => {
    expect(await querySql(reader, sql)).toMatchObject({ ok: false, error: { type: 'memory' } });
  });

  test('whoever asked holds no more of an answer than 32 MiB', async () => {
    const sql = "SELECT repeat('x', 1000) FROM range(36000)";
    const answer = await querySql(reader, sql, { rows: 100_000 });
    expect(answer).toMatchObject({ ok: false, error: { type: 'memory', message: expect.stringContaining('32 MiB') } });
  });

  test('a statement that made too much leaves the next one its answer', async () => {
    const [much, next] = await Promise.all([
      querySql(reader, 'SELECT list(CAST(range AS VARCHAR)) FROM range(100000000)'),
      querySql(reader, 'SELECT count(*) FROM calls'),
    ]);
    expect(much).toMatchObject({ ok: false, error: { type: 'memory' } });
    expect(next).toMatchObject({ ok: true, value: { rows: [[BigInt(CALLS)]] } });
  });
});

test.each([
  'SELECT count(*) FROM range(100000000000) a WHERE a.range % 7 = 3',
  'SELECT count(*) FROM calls a, calls b, calls c, calls d, calls e, calls f, calls g WHERE hash(a.id, b.id, c.id, d.id, e.id, f.id, g.id) = 1',
  'WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n % 1000 + 1 FROM t) SELECT count(*) FROM t LIMIT 1',
])('a statement that never ends is ended: %s', async (sql) => {
  const answer = await querySql(reader, sql, { timeoutMs: 300 });
  // One that piles up rows without end may meet the other bound first on a slow machine.
  expect(answer).toMatchObject({ ok: false, error: { type: expect.stringMatching(/^(timeout|memory)$/) } });
});

test('statements that wait are bounded; all that wait are answered', async () => {
  const asked = Array.from({ length: SQL_WAITING_MAX + 3 }, () => querySql(reader, 'SELECT 1'));
  const answers = await Promise.all(asked);
  expect(answers.filter(({ ok }) => ok)).toHaveLength(SQL_WAITING_MAX + 1);
  expect(answers.filter((one) => !one.ok && one.error.type === 'unavailable')).toHaveLength(2);
});

test('an unknown column is named, with those that there are', async () => {
  expect(await querySql(reader, 'SELECT statuss FROM calls')).toMatchObject({
    ok: false,
    error: { type: 'invalid', message: expect.stringMatching(/statuss.*[\s\S]*status/) },
  });
});

test('more rows than asked for', async () => {
  expect(await querySql(reader, 'SELECT * FROM range(1000)', { rows: 10 })).toMatchObject({
    ok: true,
    value: { more: true, rows: { length: 10 } },
  });
});

test.each([
  ['names from WITH may be read', 'WITH a AS (SELECT status FROM calls) SELECT count(*) FROM a', [[BigInt(CALLS)]]],
  [
    'text of any language',
    "SELECT DISTINCT split_part(target, '/', 2) AS \"\u00e9\u{1f980}\" FROM calls WHERE target <> ''",
    [['caf\u00e9']],
  ],
  ['a comment at the end', 'SELECT 1 -- one', [[1]]],
  ['a semicolon at the end', 'SELECT 1;', [[1]]],
  [
    'values of many types',
    "SELECT NULL, true, 1.5::DOUBLE, [1, 2], {'a': 'b'}, DATE '2026-11-22', 2::HUGEINT ** 2",
    [[null, true, 1.5, { items: [1, 2] }, { entries: { a: 'b' } }, '2026-11-22', 4]],
  ],
  ['a long name', `SELECT 1 AS "${'x'.repeat(60_000)}"`, [[1]]],
] as const)('%s', async (_, sql, rows) => {
  expect(await querySql(reader, sql)).toMatchObject({ ok: true, value: { rows } });
});
