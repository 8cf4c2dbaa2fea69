/** The names and types of sealed files as a tool that knows nothing of Headwater reads them: what docs/store.md says. */
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect, test } from 'vitest';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, written } from './store-rig.ts';

const BIGINT =
  'sequence connection stream_id first_request_ns last_request_ns first_response_ns last_response_ns in_flight request_head_bytes request_body_bytes response_head_bytes response_body_bytes';
const INTEGER = 'ordinal process_pid client_port server_port status tls_resumed';
const LISTS = 'request_values response_values';
const OPTIONAL =
  'ts process_pid method status first_request_ns last_request_ns first_response_ns last_response_ns request_headers response_headers tls_version tls_cipher tls_sni tls_alpn tls_ja4 tls_resumed';

test('any reader of Parquet has the columns, with units and nulls, as they are documented', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await written(data, 0, 12, ({ store }) => {
    const key = { level: 'minute', startMs: NOW_MS, service: 's', side: 'server', method: '', route: '' } as const;
    store.writer.state({ ...key, kind: 'calls' }, Buffer.from([1, 2]));
  });
  const instance = await DuckDBInstance.create(':memory:');
  const database = await instance.connect();
  const rows = async (sql: string, file: string): Promise<unknown[][]> => {
    const path = join(data, 'sealed/*/*', file);
    return (await database.runAndReadAll(sql.replace('FILES', `'${path}'`))).getRowsJson() as unknown[][];
  };
  const types = async (file: string): Promise<Record<string, unknown>> =>
    Object.fromEntries((await rows('DESCRIBE SELECT * FROM FILES', file)).map(([name, type]) => [name, type]));
  const calls = await types('calls.parquet');
  const named = (type: string): string[] => Object.keys(calls).filter((name) => calls[name] === type);
  expect(Object.keys(calls)).toHaveLength(49);
  expect(named('TIMESTAMP_NS')).toEqual(['ts']);
  expect(named('BIGINT').sort()).toEqual(BIGINT.split(' ').sort());
  expect(named('INTEGER').sort()).toEqual(INTEGER.split(' ').sort());
  expect(named('VARCHAR[]')).toEqual(LISTS.split(' '));
  expect(named('VARCHAR')).toHaveLength(49 - 1 - 12 - 6 - 2);
  const optional = await rows(
    "SELECT name FROM parquet_schema(FILES) WHERE repetition_type = 'OPTIONAL' ORDER BY name",
    'calls.parquet',
  );
  expect(optional.map(([name]) => name)).toEqual(OPTIONAL.split(' ').sort());
  expect(await rows('SELECT count(*), min(epoch_ns(ts)) FROM FILES', 'calls.parquet')).toMatchObject([
    ['12', expect.any(String)],
  ]);
  expect(await types('states.parquet')).toEqual({
    start: 'TIMESTAMP',
    level: 'VARCHAR',
    service: 'VARCHAR',
    side: 'VARCHAR',
    method: 'VARCHAR',
    route: 'VARCHAR',
    kind: 'VARCHAR',
    state: 'BLOB',
  });
  expect(await rows('SELECT epoch_ms(start) FROM FILES', 'states.parquet')).toEqual([[String(NOW_MS)]]);
  expect(await types('ledger.parquet')).toEqual({
    second: 'TIMESTAMP',
    captured: 'BIGINT',
    reason: 'VARCHAR',
    lost: 'BIGINT',
    lost_bytes: 'BIGINT',
  });
  database.closeSync();
  instance.closeSync();
});
