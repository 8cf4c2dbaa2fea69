/** A log that is read while it grows: what was read once is not read again, and nothing is missed or told twice. */
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { queryCalls } from '../../src/query/calls.ts';
import { frames } from '../../src/store/frames.ts';
import { LiveLog } from '../../src/store/live-log.ts';
import { ParquetFile } from '../../src/store/parquet/read.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from './store-rig.ts';

/** Enough for some files that stay. */
const CALLS = 400;
const BATCH = 20;
const target = (n: number): string => `/${n}${'/some/words'.repeat(1_500)}`;
const numberOf = (path: string): number => Number(/^\/(\d+)/.exec(path)![1]);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A store that is still being written to. */
async function writing(data: string): Promise<StoreRig> {
  const rig = await new StoreRig(data).open();
  for (let n = 0; n < CALLS; n++) {
    rig.quietly({ ordinal: n + 1, request: { target: target(n) } });
    if (n % BATCH === BATCH - 1) await rig.tick(NOW_MS + n * 1_000);
  }
  return rig;
}

const logOf = (data: string): string => {
  const [name] = readdirSync(join(data, 'live')).filter((one) => one.endsWith('.log'));
  return join(data, 'live', name!);
};

/** Calls in the files, in their order. */
const calls = (live: LiveLog): number[] =>
  live.files.flatMap(({ calls }) =>
    ParquetFile.open(calls)!
      .bytes('target')!
      .map((text) => numberOf(text.toString())),
  );

describe('a live log', () => {
  let logged: Buffer;
  beforeAll(async () => {
    using folder = new Folder();
    const rig = await writing(folder.file('data'));
    logged = readFileSync(logOf(rig.data));
    await rig.close();
  });

  test('is read on from where it ended, wherever a write has got to', async () => {
    using folder = new Folder();
    const bytes = logged;
    const log = folder.file('grown.log');
    writeFileSync(log, '');
    const live = new LiveLog(1, log, folder.file('part'));
    const ends = [...frames(bytes)].map((frame) => (frame.type === 'batch' ? frame : null)!);
    let stays: string[] = [];
    const step = Math.ceil(bytes.length / 13);
    for (let at = 0; at < bytes.length; at += step) {
      appendFileSync(log, bytes.subarray(at, at + step));
      expect(await live.refresh()).toBe(true);
      const whole = ends.filter(({ end }) => end <= at + step).reduce((sum, frame) => sum + frame.calls, 0);
      expect(calls(live)).toEqual(upTo(whole));
      const paths = live.files.map((files) => files.calls);
      expect(paths.slice(0, stays.length)).toEqual(stays);
      stays = paths.slice(0, -1);
    }
    expect(stays.length).toBeGreaterThan(0);
    expect(calls(live)).toEqual(upTo(CALLS));
    for (const { from, calls } of live.files) expect(ParquetFile.open(calls)!.numbers('sequence')![0]).toBe(from);
    const before = live.files;
    expect(await live.refresh()).toBe(true);
    expect(live.files).toEqual(before);
  });

  test('ends with its first damage, and one that is another is said to be gone', async () => {
    using folder = new Folder();
    const bytes = Buffer.from(logged);
    const batches = [...frames(bytes)].filter((frame) => frame.type === 'batch');
    const half = Math.floor(batches.length / 2);
    const hit = batches[half]!;
    bytes[hit.end - 1]! ^= 1;
    const log = folder.file('damaged.log');
    writeFileSync(log, bytes);
    const live = new LiveLog(1, log, folder.file('part'));
    expect(await live.refresh()).toBe(true);
    const sound = batches.slice(0, half).reduce((sum, frame) => sum + frame.calls, 0);
    expect(sound).toBeGreaterThan(0);
    expect(calls(live)).toEqual(upTo(sound));
    appendFileSync(log, bytes.subarray(batches[half + 1]!.at));
    expect(await live.refresh()).toBe(true);
    expect(calls(live)).toEqual(upTo(sound));
    writeFileSync(log, bytes.subarray(0, 100));
    expect(await live.refresh()).toBe(false);
    expect(await new LiveLog(2, folder.file('none.log'), folder.file('none')).refresh()).toBe(false);
  });

  test('gives each call once, page by page, also to two that ask at once', async () => {
    using folder = new Folder();
    const rig = await writing(folder.file('data'));
    const reader = await rig.read();
    expect(reader.segments.length).toBeGreaterThan(1);
    const found: number[] = [];
    for (let cursor: string | undefined; ; ) {
      await Promise.all([reader.refresh(), reader.refresh()]);
      const answer = await reader.holding(() =>
        queryCalls(reader, { limit: 97, ...(cursor !== undefined && { cursor }) }),
      );
      if (!answer.ok) throw new Error(answer.error.message);
      found.push(...answer.value.calls.map(({ request }) => numberOf(request!.target)));
      expect(answer.value.damaged).toEqual([]);
      if (answer.value.next === null) break;
      cursor = answer.value.next;
      rig.quietly({ ordinal: CALLS + found.length, request: { target: target(CALLS + found.length) } });
      await rig.tick(NOW_MS + (CALLS + found.length) * 1_000);
    }
    expect(found).toEqual(upTo(CALLS).reverse());
    reader.close();
    await rig.close();
  });
});
