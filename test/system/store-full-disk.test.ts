import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { querySql } from '../../src/query/calls.ts';
import { sealedSegments } from '../../src/store/seal.ts';
import { SmallDisk } from '../crash/small-disk.ts';
import { killAgainAndAgain } from '../crash/store-kill.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, numbered, StoreRig, targets, written } from '../unit/store-rig.ts';

const DISK_BYTES = 8 << 20;
let folder: Folder;
let disk: string;

beforeEach(() => {
  folder = new Folder();
  disk = folder.file('disk');
  mkdirSync(disk);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
  expect(mounted.status, String(mounted.stderr)).toBe(0);
});
afterEach(() => {
  spawnSync('umount', ['-l', disk]);
  folder[Symbol.dispose]();
});

test('a full disk: calls are counted as lost, what was accepted is written once there is room, and nothing is torn', async () => {
  const data = join(disk, 'data');
  const ballast = join(disk, 'ballast');
  const rig = await new StoreRig(data).open();
  let n = 0;
  const burst = async (calls: number): Promise<void> => {
    for (let i = 0; i < calls; i++) {
      rig.quietly({
        ordinal: ++n,
        request: { target: `/${n}`, headers: [['X-Filler', `${'word '.repeat(800)}${n}`]] },
      });
    }
    rig.pass(NOW_MS + n);
    await sleep(20);
  };
  await burst(100);
  writeFileSync(ballast, Buffer.alloc(5 << 20));
  // More than disk and queue hold together.
  for (let i = 0; i < 90; i++) await burst(100);
  // The thread that writes may be behind: until it has met the full disk, what is lost found no room in the queue.
  while (!rig.losses.totals().some(({ reason }) => reason === 'store_write_failed')) await burst(100);
  while (rig.events.every(({ type }) => type !== 'write_failed')) await sleep(20);
  const { lost } = rig.store.writer;
  expect(lost).toBeGreaterThan(0);
  expect(rig.events).toContainEqual({ type: 'write_failed', file: expect.stringContaining('live'), code: 'ENOSPC' });
  const totals = rig.losses.totals();
  expect(totals.reduce((sum, { count }) => sum + count, 0)).toBe(lost);
  expect(totals.map(({ reason }) => reason)).toContain('store_write_failed');
  expect(rig.store.writer.accepted + lost).toBe(n);

  rmSync(ballast);
  spawnSync('mount', ['-o', `remount,size=${16 * DISK_BYTES}`, disk]);
  while (rig.events.every(({ type }) => type !== 'recovered')) await sleep(100);
  while (rig.store.writer.waiting > 0) await sleep(20);
  await burst(100);
  expect(await rig.close()).toBe(0);

  const reader = await rig.read();
  const found = await querySql(reader, 'SELECT count(*), count(DISTINCT target), max(target) FROM calls');
  const { accepted } = rig.store.writer;
  expect(found).toMatchObject({
    ok: true,
    value: { rows: [[BigInt(accepted), BigInt(accepted), expect.any(String)]] },
  });
  const ledger = await querySql(reader, 'SELECT CAST(sum(captured) AS BIGINT), CAST(sum(lost) AS BIGINT) FROM ledger');
  expect(ledger).toMatchObject({ ok: true, value: { rows: [[BigInt(n), BigInt(rig.store.writer.lost)]] } });
  expect(reader.damaged.size).toBe(0);
  reader.close();
});

test('a disk without room to seal: calls go on into the log and can be asked for, and the hour is sealed once there is room', async () => {
  const data = join(disk, 'data');
  const rig = await new StoreRig(data).open();
  const CALLS = 3_000;
  const AFTER = 200;
  const number = (): number => Math.floor(Math.random() * 1e6);
  for (let n = 0; n < CALLS; n++) {
    // What does not compress: the sealed hour is not much smaller than its log.
    const noise = Array.from({ length: 120 }, number).join(' ');
    rig.quietly({ ordinal: n + 1, request: { target: `/${n}`, headers: [['X-Noise', noise]] } });
    if (n % 200 === 199) await rig.tick(NOW_MS + n * 10);
  }
  const log = statSync(join(data, 'live', '0000000001.log')).size;
  const { bavail, bsize } = statfsSync(disk);
  const ROOM = 512 << 10;
  expect(log).toBeGreaterThan(3 * ROOM);
  writeFileSync(join(disk, 'ballast'), Buffer.alloc(bavail * bsize - ROOM));

  // The hour ends.
  await rig.tick(NOW_MS + HOUR);
  for (let n = CALLS; n < CALLS + AFTER; n++) rig.quietly({ ordinal: n + 1, request: { target: `/${n}` } });
  await rig.tick(NOW_MS + HOUR + 1_000);
  while (rig.events.length === 0) await sleep(20);
  expect(rig.events).toContainEqual({ type: 'seal_failed', segment: 1, code: 'ENOSPC' });
  expect(rig.store.writer.lost).toBe(0);
  const counted = async (): Promise<unknown> => {
    const reader = await rig.read();
    await reader.views();
    const answer = await reader.database.select(
      'SELECT count(*)::INTEGER, count(DISTINCT target)::INTEGER FROM calls',
      60_000,
    );
    const { damaged } = reader;
    reader.close();
    return [answer.ok ? answer.value.rows[0] : answer.error, [...damaged]];
  };
  // A log that waits is read like any other.
  expect(await counted()).toEqual([[CALLS + AFTER, CALLS + AFTER], []]);
  expect(sealedSegments(data).size).toBe(0);

  rmSync(join(disk, 'ballast'));
  expect(await rig.close(NOW_MS + HOUR + 2_000)).toBe(0);
  expect([...sealedSegments(data).keys()]).toEqual([1, 2]);
  expect(readdirSync(join(data, 'live'))).toEqual(['handed']);
  expect(await counted()).toEqual([[CALLS + AFTER, CALLS + AFTER], []]);
  const again = await new StoreRig(data).open();
  expect(again.store.damage).toEqual([]);
  await again.close();
});

test('a start on a full disk, behind a kill that left a torn log: nothing whole is lost, and writing begins when there is room', async () => {
  const data = join(disk, 'data');
  await written(data, 0, 50, () => cpSync(data, join(disk, 'killed'), { recursive: true }));
  rmSync(data, { recursive: true });
  renameSync(join(disk, 'killed'), data);
  const log = join(data, 'live', '0000000001.log');
  truncateSync(log, statSync(log).size - 5);
  const fill = (): void => writeFileSync(join(disk, 'ballast'), Buffer.alloc(2 * DISK_BYTES));
  expect(fill).toThrow('ENOSPC');

  const rig = await new StoreRig(data).open({ run: 'again' });
  expect(rig.store.damage).toMatchObject([{ type: 'torn' }, { type: 'uncommitted', calls: 10 }]);
  // What the torn end leaves of its block is room again.
  expect(fill).toThrow('ENOSPC');
  rig.call({ ordinal: 1, request: { target: '/50' } });
  rig.pass(NOW_MS + HOUR);
  while (rig.events.every(({ type }) => type !== 'write_failed' && type !== 'seal_failed')) await sleep(20);
  rmSync(join(disk, 'ballast'));
  while (rig.store.writer.waiting > 0) await sleep(20);
  expect(await rig.close(NOW_MS + HOUR)).toBe(0);
  const reader = await rig.read();
  expect(await targets(reader)).toEqual([...numbered(0, 40), '/50']);
  const lost = await querySql(reader, "SELECT sum(lost)::BIGINT FROM ledger WHERE reason = 'store_uncommitted'");
  expect(lost).toMatchObject({ ok: true, value: { rows: [[10n]] } });
  reader.close();
});

test('a disk that becomes read-only: the run ends in order, and what could not be sealed is there for the next one', async () => {
  const data = join(disk, 'data');
  const rig = await new StoreRig(data).open();
  for (let n = 0; n < 20; n++) rig.call({ ordinal: n + 1, request: { target: `/${n}` } });
  await rig.tick(NOW_MS);
  const mount = (...args: string[]): void => expect(spawnSync('mount', args).status, args.join(' ')).toBe(0);
  mount('--bind', data, data);
  try {
    mount('-o', 'remount,bind,ro', data);
    expect(await rig.close(NOW_MS + HOUR)).toBe(0);
  } finally {
    spawnSync('umount', ['-l', data]);
  }
  expect(rig.events).toContainEqual({ type: 'seal_failed', segment: 1, code: 'EROFS' });
  // It could not be removed, and its process is this one.
  rmSync(join(data, 'lock'));
  const again = await new StoreRig(data).open({ run: 'again' });
  expect(again.store.damage).toEqual([]);
  await again.close(NOW_MS + HOUR);
  const reader = await again.read();
  expect(await targets(reader)).toEqual(numbered(0, 20));
  reader.close();
});

test('kills on a full disk: each start names what its kill lost', async () => {
  using small = new SmallDisk(folder.file('small'));
  const result = await killAgainAndAgain(small.data, 3, Math.random, (full) => small.fill(full));
  expect(result.rows).toBeGreaterThan(0);
});
