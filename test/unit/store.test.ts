import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LossLedger } from '../../src/model/loss.ts';
import { queryCalls, querySql } from '../../src/query/calls.ts';
import { FRAME_HEAD, frames, writeHead } from '../../src/store/frames.ts';
import { SLABS } from '../../src/store/protocol.ts';
import { readStore, type StoreReader } from '../../src/store/reader.ts';
import { SEGMENT_BYTES_MAX } from '../../src/store/record.ts';
import { recover } from '../../src/store/recover.ts';
import { retain } from '../../src/store/retention.ts';
import { sealedSegments } from '../../src/store/seal.ts';
import { Store, type StoreResult } from '../../src/store/store.ts';
import { Folder } from '../rig/folder.ts';
import { ANCHOR, NOW_MS, StoreRig } from './store-rig.ts';

const HOUR = 3_600_000;
const open = (data: string): Promise<StoreResult> =>
  Store.open(
    data,
    { anchor: ANCHOR, run: 'r', losses: new LossLedger(), retention: { ageMs: null, bytes: null }, report: () => {} },
    NOW_MS,
  );

const targets = async (reader: StoreReader): Promise<string[]> => {
  const answer = await queryCalls(reader, { limit: 10_000 });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.calls.map(({ request }) => request!.target).reverse();
};
const numbered = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `/${from + i}`);

/** Calls [from, to), in batches of ten, and whatever the caller does with the folder before it is closed. */
async function written(
  data: string,
  from: number,
  to: number,
  before: (rig: StoreRig) => Promise<void> | void = () => {},
) {
  const rig = await new StoreRig(data).open({ run: `r${from}` });
  for (let n = from; n < to; n++) {
    rig.call({ ordinal: n + 1, request: { target: `/${n}` } });
    if (n % 10 === 9) await rig.tick(NOW_MS + n * 1_000);
  }
  await rig.tick(NOW_MS + to * 1_000);
  await before(rig);
  await rig.close();
  return rig;
}

describe('reading while an agent writes', () => {
  test('live calls are there, and stay the same when they are sealed', async () => {
    using folder = new Folder();
    const data = folder.file('data');
    await written(data, 0, 25, async (rig) => {
      const reader = await rig.read();
      expect(await targets(reader)).toEqual(numbered(0, 25));
      expect(existsSync(join(data, 'sealed', '2026-11-22T16'))).toBe(false);
      rig.call({ ordinal: 26, request: { target: '/25' } });
      await rig.tick(NOW_MS + HOUR);
      await reader.refresh();
      expect(await targets(reader)).toEqual(numbered(0, 26));
      reader.close();
    });
    const reader = await new StoreRig(data).read();
    expect(await targets(reader)).toEqual(numbered(0, 26));
    expect(readdirSync(join(data, 'live'))).toEqual(['handed']);
    reader.close();
  });

  test('what is no data folder, and what is none at all', async () => {
    using folder = new Folder();
    expect(await readStore(folder.file('none'))).toMatchObject({
      ok: false,
      message: expect.stringContaining('there is no data folder'),
    });
    expect(await readStore(folder.path)).toMatchObject({
      ok: false,
      message: expect.stringContaining('is no data folder of headwater'),
    });
  });
});

describe('opening', () => {
  test('a store from a newer version is refused, to write and to read, and not touched', async () => {
    using folder = new Folder();
    const text = '{"version":2}';
    folder.write('store.json', text);
    const message = expect.stringMatching(/has version 2, this program knows versions up to 1/);
    expect(await open(folder.path)).toMatchObject({
      ok: false,
      message,
      hint: expect.stringContaining('newer headwater'),
    });
    expect(await readStore(folder.path)).toMatchObject({ ok: false, message });
    expect(readFileSync(folder.file('store.json'), 'utf8')).toBe(text);
    expect(readdirSync(folder.path)).toEqual(['store.json']);
  });

  test.each(['', '{', '{"version":"1"}', '{"version":0}', '[]'])(
    'a version file that says %j is refused',
    async (text) => {
      using folder = new Folder();
      folder.write('store.json', text);
      expect(await open(folder.path)).toMatchObject({
        ok: false,
        message: expect.stringContaining('does not say which version'),
      });
    },
  );

  test('two agents on one folder: the second is told which process has it, and the first goes on', async () => {
    using folder = new Folder();
    const data = folder.file('data');
    await written(data, 0, 5, async () => {
      expect(await open(data)).toMatchObject({
        ok: false,
        message: expect.stringContaining(`in use by process ${process.pid}`),
        hint: expect.stringContaining('Two agents cannot write to one folder'),
      });
    });
    const again = await open(data);
    expect(again.ok).toBe(true);
    if (again.ok) await again.store.close(NOW_MS, 0, []);
  });

  test('the lock of a process that is gone is no hindrance', async () => {
    using folder = new Folder();
    const child = spawn('true');
    const pid = child.pid!;
    await once(child, 'exit');
    for (const lock of [`{"pid":${pid},"started":"1"}`, `{"pid":${process.pid},"started":"1"}`, '', 'x']) {
      folder.write('lock', lock);
      const opened = await open(folder.path);
      expect(opened.ok, lock).toBe(true);
      if (opened.ok) await opened.store.close(NOW_MS, 0, []);
    }
    expect(readdirSync(folder.path).sort()).toEqual(['live', 'sealed', 'store.json']);
  });

  test('a path that cannot be a folder', async () => {
    using folder = new Folder();
    folder.write('file', '');
    expect(await open(folder.file('file'))).toMatchObject({
      ok: false,
      message: expect.stringMatching(/cannot use the data folder .*: E/),
    });
  });
});

describe('after a kill', () => {
  /** The live folder as a kill leaves it. */
  async function killed(folder: Folder): Promise<string> {
    const copy = folder.file('copy');
    await written(folder.file('data'), 0, 100, () => cpSync(folder.file('data'), copy, { recursive: true }));
    // The process that took it is alive, and has let go only of the other folder.
    rmSync(join(copy, 'lock'));
    return copy;
  }

  test('a log cut anywhere: starts, keeps every whole batch, names the rest', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    const log = readFileSync(join(copy, 'live', '0000000001.log'));
    const batches = [...frames(log)];
    expect(batches.length).toBeGreaterThan(9);
    const cuts = Array.from({ length: 500 }, (_, i) => Math.floor((i * log.length) / 500));
    for (const cut of cuts) {
      const data = folder.file(`cut${cut}`);
      mkdirSync(join(data, 'live'), { recursive: true });
      writeFileSync(join(data, 'live', '0000000001.log'), log.subarray(0, cut));
      const found = recover(data);
      const whole = batches.filter(({ end }) => end <= cut);
      const kept = whole.reduce((sum, frame) => sum + (frame.type === 'batch' ? frame.calls : 0), 0);
      const end = whole.at(-1)?.end ?? 0;
      expect(found.nextSegment).toBe(2);
      expect(found.damage).toEqual(
        cut === end ? [] : [{ type: 'torn', file: expect.stringContaining('aside'), bytes: cut - end, calls: 0 }],
      );
      expect(found.logs).toEqual(end > 0 ? [1] : []);
      if (end === 0) continue;
      const left = [...frames(readFileSync(join(data, 'live', '0000000001.log')))];
      expect(left.reduce((sum, frame) => sum + (frame.type === 'batch' ? frame.calls : 0), 0)).toBe(kept);
    }
  });

  test('any byte of a log turned over: starts, and what is read is a true beginning', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    const path = join(copy, 'live', '0000000001.log');
    const log = readFileSync(path);
    await fc.assert(
      fc.property(fc.nat(log.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Buffer.from(log);
        bytes[at] = bytes[at]! ^ change;
        writeFileSync(path, bytes);
        const { damage } = recover(copy);
        expect(damage.some(({ type }) => type === 'torn')).toBe(true);
        const left = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
        expect(log.subarray(0, left.length).equals(left)).toBe(true);
        expect(left.length).toBeLessThanOrEqual(at);
      }),
      { numRuns: 200 },
    );
  });

  test('the next start seals what was left, and the ledger names what was not', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    const path = join(copy, 'live', '0000000001.log');
    const log = readFileSync(path);
    const half = [...frames(log)][5]!;
    truncateSync(path, half.end + FRAME_HEAD + 3);
    const kept = [...frames(log)]
      .slice(0, 6)
      .reduce((sum, frame) => sum + (frame.type === 'batch' ? frame.calls : 0), 0);
    await written(copy, 100, 110, (rig) => {
      expect(rig.store.damage).toMatchObject([{ type: 'torn' }, { type: 'uncommitted', calls: 100 - kept }]);
    });
    const reader = await new StoreRig(copy).read();
    expect(await targets(reader)).toEqual([...numbered(0, kept), ...numbered(100, 110)]);
    const named = await querySql(
      reader,
      "SELECT CAST(sum(lost) AS BIGINT) FROM ledger WHERE reason = 'store_uncommitted'",
    );
    expect(named).toMatchObject({ ok: true, value: { rows: [[BigInt(100 - kept)]] } });
    reader.close();
  });

  test('what a kill lost is named once, also when the run after it is killed right behind its first calls', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    // Of 100 calls none is left.
    rmSync(join(copy, 'live', '0000000001.log'));
    const again = folder.file('again');
    const rig = await new StoreRig(copy).open({ run: 'next' });
    for (let n = 100; n < 110; n++) rig.call({ ordinal: n, request: { target: `/${n}` } });
    // The hour ends before the first tick: the calls are sealed, what comes behind them is not yet on the disk.
    await rig.tick(NOW_MS + HOUR);
    while (sealedSegments(copy).size === 0) await setImmediate();
    cpSync(copy, again, { recursive: true });
    await rig.close();
    rmSync(join(again, 'lock'));
    for (const name of readdirSync(join(again, 'live'))) if (name.endsWith('.log')) rmSync(join(again, 'live', name));
    const named = async (): Promise<unknown> => {
      const reader = await new StoreRig(again).read();
      const answer = await querySql(
        reader,
        "SELECT CAST(sum(lost) AS BIGINT) FROM ledger WHERE reason = 'store_uncommitted'",
      );
      expect(await targets(reader)).toEqual(numbered(100, 110));
      reader.close();
      return answer.ok && answer.value.rows[0]![0];
    };
    expect(await named()).toBe(100n);
    await written(again, 0, 0);
    expect(await named()).toBe(100n);
  });

  test('killed between the rename and the removal of the log: nothing is doubled', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    cpSync(folder.file('data', 'sealed'), join(copy, 'sealed'), { recursive: true });
    const reader = await new StoreRig(copy).read();
    expect(await targets(reader)).toEqual(numbered(0, 100));
    reader.close();
    // The kill is named all the same: what came after the last tick nobody knows.
    expect(recover(copy)).toMatchObject({ nextSegment: 2, logs: [], damage: [{ type: 'uncommitted', calls: 0 }] });
    expect(existsSync(join(copy, 'live', '0000000001.log'))).toBe(false);
  });

  test('an unfinished seal is done again', async () => {
    using folder = new Folder();
    const copy = await killed(folder);
    const half = join(copy, 'sealed', '2026-11-22T16', '0000000001.tmp');
    mkdirSync(half, { recursive: true });
    writeFileSync(join(half, 'calls.parquet'), 'PAR1');
    await written(copy, 100, 101);
    const reader = await new StoreRig(copy).read();
    expect(await targets(reader)).toEqual(numbered(0, 101));
    expect(existsSync(half)).toBe(false);
    reader.close();
  });

  test('a folder where a log should be is moved away', async () => {
    using folder = new Folder();
    const data = folder.file('data');
    mkdirSync(join(data, 'live', '0000000009.log'), { recursive: true });
    await written(data, 0, 3, (rig) => {
      expect(rig.store.damage).toMatchObject([{ type: 'unreadable', file: expect.stringContaining('aside') }]);
    });
    const reader = await new StoreRig(data).read();
    expect(await targets(reader)).toEqual(numbered(0, 3));
    reader.close();
  });
});

describe('damaged Parquet', () => {
  async function three(folder: Folder): Promise<{ data: string; files: string[] }> {
    const data = folder.file('data');
    for (const from of [0, 10, 20]) await written(data, from, from + 10);
    const files = [1, 2, 3].map((n) => join(data, 'sealed', '2026-11-22T16', `000000000${n}`, 'calls.parquet'));
    return { data, files };
  }
  const answer = async (data: string) => {
    const reader = await new StoreRig(data).read();
    const found = await queryCalls(reader, {});
    const sql = await querySql(reader, 'SELECT count(*) FROM calls');
    reader.close();
    if (!found.ok) throw new Error(found.error.message);
    return {
      targets: found.value.calls.map(({ request }) => request!.target).reverse(),
      damaged: found.value.damaged,
      sql,
    };
  };

  test.each([
    ['empty', () => Buffer.alloc(0)],
    ['cut short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 9)],
    ['overwritten', (bytes: Buffer) => Buffer.alloc(bytes.length, 0x41)],
    [
      'with a broken footer',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -200), Buffer.alloc(190, 0xff), bytes.subarray(-10)]),
    ],
    [
      'with a broken page',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, 60), Buffer.alloc(40, 0), bytes.subarray(100)]),
    ],
  ])('one that is %s is named, and the others answer', async (_, spoil) => {
    using folder = new Folder();
    const { data, files } = await three(folder);
    writeFileSync(files[1]!, spoil(readFileSync(files[1]!)));
    const found = await answer(data);
    expect(found.damaged).toEqual([files[1]]);
    expect(found.targets).toEqual([...numbered(0, 10), ...numbered(20, 30)]);
    expect(found.sql).toMatchObject({ ok: true, value: { rows: [[20n]] } });
  });

  test('it does not stop the start', async () => {
    using folder = new Folder();
    const { data, files } = await three(folder);
    writeFileSync(files[1]!, 'nonsense');
    const hour = join(data, 'rollup', 'hour', '20261122T1500-0000000003');
    mkdirSync(hour, { recursive: true });
    writeFileSync(join(hour, 'states.parquet'), 'nonsense');
    const rig = await new StoreRig(data).open();
    const aside = rig.store.damage.map((damage) => (damage.type === 'unreadable' ? damage.file : ''));
    expect(aside.map((file) => file.replace(/\.\d+$/, ''))).toEqual([
      join(data, 'aside', '0000000002-calls.parquet'),
      join(data, 'aside', '20261122T1500-0000000003-states.parquet'),
    ]);
    expect(aside.map((file) => readFileSync(file, 'utf8'))).toEqual(['nonsense', 'nonsense']);
    rig.call({ ordinal: 31, request: { target: '/30' } });
    await rig.close();
    const found = await answer(data);
    expect(found.targets).toEqual([...numbered(0, 10), ...numbered(20, 31)]);
    // What is missing stays missing, and is said.
    expect(found.damaged).toEqual([files[1]]);
    const again = await new StoreRig(data).open();
    expect(again.store.damage).toEqual([]);
    await again.close();
  });
});

describe('large and hostile', () => {
  test('a value of 64 KiB', async () => {
    using folder = new Folder();
    const value = 'v'.repeat(65_536);
    const rig = await new StoreRig(folder.file('data')).open();
    for (let i = 0; i < 50; i++)
      rig.call({ ordinal: i + 1, request: { headers: [['X-Large', value]], target: `/${i}` } });
    await rig.close();
    const reader = await rig.read();
    const answer = await queryCalls(reader, { limit: 50 });
    expect(answer).toMatchObject({ ok: true });
    if (answer.ok)
      expect(answer.value.calls.map((call) => JSON.stringify(call))).toEqual(
        [...rig.lines].reverse().map((line) => JSON.stringify(line)),
      );
    reader.close();
  });

  test('many names never seen again make segments shorter; every call is there', async () => {
    using folder = new Folder();
    const rig = await new StoreRig(folder.file('data')).open();
    const calls = 6_000;
    const names = 100;
    for (let i = 0; i < calls; i++) {
      const headers = Array.from({ length: names }, (_, j) => [`X-${(i * names + j).toString(36)}`, 'a'] as const);
      rig.quietly({ ordinal: i + 1, request: { headers, target: `/${i}` } });
      if (i % 500 === 499) await rig.tick(NOW_MS + i);
    }
    expect(rig.store.writer.lost).toBe(0);
    await rig.close();
    const reader = await rig.read();
    expect(reader.segments.length).toBeGreaterThan(1);
    const answer = await querySql(reader, 'SELECT count(*), count(DISTINCT target) FROM calls');
    expect(answer).toMatchObject({ ok: true, value: { rows: [[BigInt(calls), BigInt(calls)]] } });
    const last = await queryCalls(reader, { filter: `"x-${(calls * names - 1).toString(36)}" in request.headers` });
    expect(last.ok && last.value.calls.map(({ request }) => request!.target)).toEqual([`/${calls - 1}`]);
    reader.close();
  });

  test('a segment that ends between two batches keeps no batch for itself', async () => {
    using folder = new Folder();
    const rig = await new StoreRig(folder.file('data')).open();
    const key = { level: 'minute', service: '', side: '', method: '', route: '', kind: 'x' } as const;
    const state = new Uint8Array(1 << 20);
    // More often than there are batches.
    for (let n = 0; n < SLABS + 2; n++) {
      // States fill the segment; the next call is the first of its batch, and finds that the segment is over.
      for (let bytes = 0; bytes < SEGMENT_BYTES_MAX; bytes += state.length) {
        expect(rig.store.writer.state({ ...key, startMs: NOW_MS }, state)).toBe(true);
        rig.store.writer.flush();
        while (rig.store.writer.waiting > 0) await setImmediate();
      }
      rig.call({ ordinal: n + 1, request: { target: `/${n}` } });
    }
    rig.store.writer.flush();
    while (rig.store.writer.waiting > 0) await setImmediate();
    await rig.close();
    expect(rig.store.writer.lost).toBe(0);
    const reader = await rig.read();
    expect(await targets(reader)).toEqual(numbered(0, SLABS + 2));
    reader.close();
  });

  test('when nobody writes, calls are counted as lost and the first ones are there', async () => {
    using folder = new Folder();
    const rig = await new StoreRig(folder.file('data')).open();
    const value = 'v'.repeat(60_000);
    const calls = 600;
    // Without a turn of the event loop the worker has no time either: the queue holds what its bound says.
    for (let i = 0; i < calls; i++)
      rig.quietly({
        ordinal: i + 1,
        request: {
          headers: [
            ['X', value],
            ['Y', value],
          ],
          target: `/${i}`,
        },
      });
    const { accepted, lost } = rig.store.writer;
    expect(accepted + lost).toBe(calls);
    expect(rig.losses.totals()).toEqual(lost === 0 ? [] : [{ reason: 'store_queue_full', count: lost, bytes: 0 }]);
    await rig.close();
    const reader = await rig.read();
    const answer = await querySql(reader, 'SELECT count(*) FROM calls');
    expect(answer).toMatchObject({ ok: true, value: { rows: [[BigInt(accepted)]] } });
    const ledger = await querySql(
      reader,
      'SELECT CAST(sum(captured) AS BIGINT), CAST(sum(lost) AS BIGINT) FROM ledger',
    );
    expect(ledger).toMatchObject({ ok: true, value: { rows: [[BigInt(calls), BigInt(lost)]] } });
    reader.close();
  });

  test('clock steps: back, far forward, and back again', async () => {
    using folder = new Folder();
    const rig = await new StoreRig(folder.file('data')).open();
    const clock = [0, 1, -5 * HOUR, -5 * HOUR + 1, 20 * 365 * 24 * HOUR, 2, 3];
    for (const [i, step] of clock.entries()) {
      rig.call({ ordinal: i + 1, request: { target: `/${i}` } });
      await rig.tick(NOW_MS + step);
    }
    await rig.close();
    const reader = await rig.read();
    expect(await targets(reader)).toEqual(numbered(0, clock.length));
    reader.close();
  });

  test('frames never throw on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 50 }), (noise, body) => {
        const head = Buffer.alloc(FRAME_HEAD);
        writeHead(head, body, 3, 0);
        const found = [...frames(Buffer.concat([head, body, noise]))];
        expect(found[0]).toEqual({ type: 'batch', at: FRAME_HEAD, end: FRAME_HEAD + body.length, calls: 3 });
        expect(found.slice(0, -1).every(({ type }) => type !== 'torn')).toBe(true);
      }),
    );
  });
});

describe('retention', () => {
  async function hours(folder: Folder, n: number): Promise<string> {
    const data = folder.file('data');
    const rig = await new StoreRig(data).open();
    for (let i = 0; i < n; i++) {
      rig.call({ ordinal: i + 1, request: { target: `/${i}` } });
      await rig.tick(NOW_MS + (i + 1) * HOUR);
    }
    await rig.close(NOW_MS + n * HOUR);
    return data;
  }
  const left = async (data: string): Promise<string[]> => {
    const reader = await new StoreRig(data).read();
    const found = await targets(reader);
    reader.close();
    return found;
  };

  test('by age: the hours that are over for longer go, whole', async () => {
    using folder = new Folder();
    const data = await hours(folder, 6);
    expect(retain(data, { ageMs: 2 * HOUR, bytes: null }, NOW_MS + 6 * HOUR)).toBe(4);
    expect(await left(data)).toEqual(numbered(4, 6));
    expect(readdirSync(join(data, 'sealed'))).not.toContain('2026-11-22T19');
  });

  test('by size: the oldest go until the rest fits', async () => {
    using folder = new Folder();
    const data = await hours(folder, 6);
    expect(retain(data, { ageMs: null, bytes: 30_000 }, NOW_MS)).toBeGreaterThan(0);
    const kept = await left(data);
    expect(kept).toEqual(numbered(6 - kept.length, 6));
    retain(data, { ageMs: null, bytes: 0 }, NOW_MS);
    expect(await left(data)).toEqual([]);
  });

  test('merged states go by age, and by size with the calls of their time; days are the last', async () => {
    using folder = new Folder();
    const data = await hours(folder, 6);
    const merged = ['ten/20261122T1600-0000000001', 'hour/20261122T1600-0000000001', 'day/20261122T0000-0000000006'];
    for (const name of merged) {
      mkdirSync(join(data, 'rollup', name), { recursive: true });
      writeFileSync(join(data, 'rollup', name, 'states.parquet'), Buffer.alloc(10_000));
    }
    const there = (): boolean[] => merged.map((name) => existsSync(join(data, 'rollup', name)));
    const total = 30_000 + 6 * 12_000;
    retain(data, { ageMs: null, bytes: 2 * total }, NOW_MS);
    expect(there()).toEqual([true, true, true]);
    retain(data, { ageMs: null, bytes: 40_000 }, NOW_MS);
    expect(there()).toEqual([false, false, true]);
    expect((await left(data)).length).toBeGreaterThan(0);
    retain(data, { ageMs: 24 * HOUR, bytes: null }, Date.parse('2026-11-24T01:00:00Z'));
    expect(there()).toEqual([false, false, false]);
  });
});

test('a copy of the sealed files is a backup', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await written(data, 0, 30);
  const copy = folder.file('copy');
  mkdirSync(copy);
  cpSync(join(data, 'sealed'), join(copy, 'sealed'), { recursive: true });
  cpSync(join(data, 'store.json'), join(copy, 'store.json'));
  const reader = await new StoreRig(copy).read();
  expect(await targets(reader)).toEqual(numbered(0, 30));
  reader.close();
});
