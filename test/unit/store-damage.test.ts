import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test, vi } from 'vitest';
import { queryCalls, querySql } from '../../src/query/calls.ts';
import { FRAME_HEAD, frames } from '../../src/store/frames.ts';
import { recover } from '../../src/store/recover.ts';
import { sealedSegments } from '../../src/store/seal.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, numbered, StoreRig, targets, written } from './store-rig.ts';

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

describe('what says how far the last run came', () => {
  test.each([
    ['cut short', (path: string) => truncateSync(path, 20)],
    ['overwritten', (path: string) => writeFileSync(path, Buffer.alloc(readFileSync(path).length, 0xff))],
    ['too long', (path: string) => writeFileSync(path, Buffer.alloc(1 << 20))],
    [
      'a folder',
      (path: string) => {
        rmSync(path);
        mkdirSync(path);
      },
    ],
  ])('%s: it is moved away and named, and the calls are there', async (_, spoil) => {
    using folder = new Folder();
    const data = folder.file('data');
    await written(data, 0, 3);
    spoil(join(data, 'live', 'handed'));
    await written(data, 3, 5, (rig) => {
      expect(rig.store.damage).toMatchObject([{ type: 'unreadable', file: expect.stringContaining('aside/handed.') }]);
    });
    const reader = await new StoreRig(data).read();
    expect(await targets(reader)).toEqual(numbered(0, 5));
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

  test('a statement that fails over sound files is answered as that, and blames none of them', async () => {
    using folder = new Folder();
    const { data } = await three(folder);
    const reader = await new StoreRig(data).read();
    const select = reader.database.select.bind(reader.database);
    vi.spyOn(reader.database, 'select').mockImplementation((sql, timeoutMs) =>
      select(sql.replace('SELECT sequence FROM', 'SELECT no_such_column FROM'), timeoutMs),
    );
    expect(await queryCalls(reader, {})).toMatchObject({
      ok: false,
      error: { type: 'invalid', message: expect.stringContaining('no_such_column') },
    });
    expect([...reader.damaged]).toEqual([]);
    vi.restoreAllMocks();
    const found = await queryCalls(reader, {});
    expect(found.ok && found.value.calls.length).toBe(30);
    reader.close();
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
