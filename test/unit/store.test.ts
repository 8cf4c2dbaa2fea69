import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { queryCalls, querySql } from '../../src/query/calls.ts';
import { FRAME_HEAD, frames, writeHead } from '../../src/store/frames.ts';
import { SLABS } from '../../src/store/protocol.ts';
import { readStore } from '../../src/store/reader.ts';
import { SEGMENT_BYTES_MAX } from '../../src/store/record.ts';
import { believedMs, retain } from '../../src/store/retention.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, numbered, open, StoreRig, targets, written } from './store-rig.ts';

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
    const text = '{"version":3}';
    folder.write('store.json', text);
    const message = expect.stringMatching(/has version 3, this program knows versions up to 2/);
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

  test('a folder in place of the version file is refused', async () => {
    using folder = new Folder();
    mkdirSync(folder.file('store.json'));
    const message = expect.stringContaining('does not say which version');
    expect(await open(folder.path)).toMatchObject({ ok: false, message });
    expect(await readStore(folder.path)).toMatchObject({ ok: false, message });
  });

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

  test('a folder that is removed: what was in it and what comes then is counted as lost', async () => {
    using folder = new Folder();
    const rig = await new StoreRig(folder.file('data')).open();
    for (let n = 1; n <= 20; n++) rig.call({ ordinal: n });
    await rig.tick(NOW_MS);
    rmSync(folder.file('data'), { recursive: true });
    for (let n = 21; n <= 30; n++) rig.call({ ordinal: n });
    await rig.tick(NOW_MS + 1);
    // The hour is over: the log cannot be sealed, and is not there to be sealed later.
    rig.pass(NOW_MS + HOUR);
    rig.call({ ordinal: 31 });
    rig.pass(NOW_MS + HOUR + 1_000);
    const of = (type: string) => rig.events.find((event) => event.type === type);
    while (of('segment_gone') === undefined || of('write_failed') === undefined) await setImmediate();
    expect(of('segment_gone')).toEqual({ type: 'segment_gone', segment: 1, calls: 30, code: 'ENOENT' });
    expect(rig.losses.totals()).toMatchObject([{ reason: 'store_write_failed', count: 30 }]);
    expect(await rig.close(NOW_MS + 2 * HOUR)).toBe(1);
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
        writeHead(head, body, 3, 40);
        const found = [...frames(Buffer.concat([head, body, noise]))];
        expect(found[0]).toEqual({
          type: 'batch',
          at: FRAME_HEAD,
          end: FRAME_HEAD + body.length,
          calls: 3,
          sequence: 40,
        });
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
    expect(retain(data, { ageMs: 2 * HOUR, bytes: null }, NOW_MS, NOW_MS + 6 * HOUR)).toBe(4);
    expect(await left(data)).toEqual(numbered(4, 6));
    expect(readdirSync(join(data, 'sealed'))).not.toContain('2026-11-22T19');
  });

  test('by size: the oldest go until the rest fits', async () => {
    using folder = new Folder();
    const data = await hours(folder, 6);
    expect(retain(data, { ageMs: null, bytes: 30_000 }, NOW_MS, NOW_MS)).toBeGreaterThan(0);
    const kept = await left(data);
    expect(kept).toEqual(numbered(6 - kept.length, 6));
    retain(data, { ageMs: null, bytes: 0 }, NOW_MS, NOW_MS);
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
    retain(data, { ageMs: null, bytes: 2 * total }, NOW_MS, NOW_MS);
    expect(there()).toEqual([true, true, true]);
    retain(data, { ageMs: null, bytes: 40_000 }, NOW_MS, NOW_MS);
    expect(there()).toEqual([false, false, true]);
    expect((await left(data)).length).toBeGreaterThan(0);
    retain(data, { ageMs: 24 * HOUR, bytes: null }, NOW_MS, Date.parse('2026-11-24T01:00:00Z'));
    expect(there()).toEqual([false, false, false]);
  });

  test('a clock that is years ahead takes nothing, unless it stays there for two hours; size is not asked for the time', async () => {
    using folder = new Folder();
    const data = await hours(folder, 6);
    const started = NOW_MS + 87_600 * HOUR;
    const age = { ageMs: 24 * HOUR, bytes: null };
    expect(retain(data, age, started, started)).toBe(0);
    expect(retain(data, age, started, started + 2 * HOUR - 1)).toBe(0);
    // Set back meanwhile.
    expect(retain(data, age, started, NOW_MS + 9 * HOUR)).toBe(0);
    expect(await left(data)).toEqual(numbered(0, 6));
    expect(retain(data, { ageMs: 24 * HOUR, bytes: 60_000 }, started, started)).toBeGreaterThan(0);
    expect(retain(data, age, started, started + 2 * HOUR)).toBeGreaterThan(0);
    expect(await left(data)).toEqual([]);
  });

  test.each<[string, readonly number[], number, number, number]>([
    ['nothing was there before', [], 50, 51, 51],
    ['no leap', [1, 2, 3], 4, 9, 9],
    ['hours without calls', [1, 2, 3], 90, 91, 4],
    ['and two hours later', [1, 2, 3], 90, 92, 92],
    ['what the leap brought is sealed, and the run ended', [1, 2, 90], 90.5, 91, 3],
    ['the first of two leaps is long ago', [1, 90], 500, 501, 91],
    ['set back: what was written ahead does not count', [1, 2, 900, 901], 3, 4, 4],
    ['set back in this run', [1, 2], 900, 3, 3],
    ['set back, and a leap since', [1, 900, 2], 90, 91, 3],
    ['years from now are in the folder, and this is the time', [900, 901], 2, 3, 3],
  ])('ages are measured to what the clock has confirmed: %s', (_, times, started, now, believed) => {
    expect(
      believedMs(
        times.map((hour) => hour * HOUR),
        started * HOUR,
        now * HOUR,
      ) / HOUR,
    ).toBe(believed);
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
