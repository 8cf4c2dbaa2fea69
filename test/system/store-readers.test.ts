/** Sealed files are read by a Parquet reader that is neither DuckDB nor ours: Apache Arrow's (`pip install pyarrow`). */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sealedSegments } from '../../src/store/seal.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from '../unit/store-rig.ts';

const READ = `
import json, sys, pyarrow.parquet as pq
out = []
for folder in sys.argv[1:]:
    table = pq.read_table(folder + "/calls.parquet")
    for row in table.select(["sequence", "method", "target", "status", "first_response_ns", "request_headers", "request_values"]).to_pylist():
        lines = [[l[0], row["request_values"][l[2] - 1] if len(l) == 3 else l[1]] for l in json.loads(row["request_headers"])]
        out.append([row["method"], row["target"], row["status"], row["first_response_ns"], lines])
    ledger = pq.read_table(folder + "/ledger.parquet")
    assert ledger.num_rows > 0
print(json.dumps(out))
`;

const there = spawnSync('python3', ['-c', 'import pyarrow']).status === 0;
if (!there) console.warn('SKIPPED: needs pyarrow: pip install pyarrow');

test.skipIf(!there)('Arrow reads the calls as they were', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const rig = await new StoreRig(data).open();
  for (let i = 0; i < 40_000; i++) {
    rig.call({
      ordinal: i + 1,
      request: {
        method: i % 3 === 0 ? 'POST' : 'GET',
        target: `/n/${i}`,
        headers: [
          ['Host', 'a.example'],
          ['X-Number', `${i} \u00e9`],
        ],
        first: i,
        last: i + 5,
      },
      response: i % 7 === 0 ? null : { status: 200 + (i % 4), first: i + 9, last: i + 10 },
    });
    if (i % 1_000 === 0) await rig.tick(NOW_MS);
  }
  expect(await rig.close()).toBe(0);
  const folders = [...sealedSegments(data).values()].map((path) => join(data, path));
  const read = spawnSync('python3', ['-c', READ, ...folders], { encoding: 'utf8', maxBuffer: 1 << 28 });
  expect(read.stderr).toBe('');
  expect(JSON.parse(read.stdout)).toEqual(
    rig.lines.map(({ request, response, timing_ns }) => [
      request!.method,
      request!.target,
      response?.status ?? null,
      timing_ns.first_response_byte,
      request!.headers,
    ]),
  );
});
