import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { querySql } from '../../src/query/calls.ts';
import { SmallDisk } from '../crash/small-disk.ts';
import { killAgainAndAgain } from '../crash/store-kill.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from '../unit/store-rig.ts';

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

test('kills on a full disk: each start names what its kill lost', async () => {
  using small = new SmallDisk(folder.file('small'));
  const result = await killAgainAndAgain(small.data, 3, Math.random, (full) => small.fill(full));
  expect(result.rows).toBeGreaterThan(0);
});
