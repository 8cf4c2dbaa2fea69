import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { StoreRig } from '../../test/unit/store-rig.ts';
import type { StoreReader } from './reader.ts';
import { mergedStates, rollUp } from './states.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;
/** 2026-10-24T00:00Z: clocks in Europe go back during the next night. */
const START = Date.parse('2026-10-24T00:00:00Z');

/** A state is a number; merging adds. */
const encode = (n: number): Uint8Array => Buffer.from(String(n));
const merge = (kind: string, states: readonly Uint8Array[]): Uint8Array => {
  expect(kind).toBe('sum');
  return encode(states.reduce((sum, state) => sum + Number(Buffer.from(state).toString()), 0));
};
const series = { service: 's', side: 'server', method: 'GET', route: '/a', kind: 'sum' };

/** Minute m of the range has the state m + 1. */
async function filled(data: string, minutes: number): Promise<void> {
  const rig = await new StoreRig(data).open({}, START);
  for (let m = 0; m < minutes; m++) {
    expect(rig.store.writer.state({ ...series, level: 'minute', startMs: START + m * MINUTE }, encode(m + 1))).toBe(
      true,
    );
    if (m % 60 === 0) await rig.tick(START + m * MINUTE);
  }
  await rig.close(START + minutes * MINUTE);
}

const total = async (reader: StoreReader, sinceMs: number, untilMs: number): Promise<number> => {
  const answer = await mergedStates(reader, { sinceMs, untilMs }, merge);
  if (!answer.ok) throw new Error(answer.error.message);
  expect(answer.value.length).toBeLessThanOrEqual(1);
  return answer.value.length === 0 ? 0 : Number(Buffer.from(answer.value[0]!.state).toString());
};
/** Sum of minutes [from, to). */
const exact = (from: number, to: number): number => ((from + 1 + to) * (to - from)) / 2;

test('any range, before and after hours and days are merged, also over the night when clocks change', async () => {
  using folder = new Folder();
  const minutes = 2 * 24 * 60 + 90;
  await filled(folder.file('data'), minutes);
  const reader = await new StoreRig(folder.file('data')).read();
  const ranges = [
    [0, minutes],
    [5, 7],
    [30, 150],
    [60, 24 * 60],
    [24 * 60 - 1, 48 * 60 + 1],
    [-1000, 10],
    [minutes - 1, minutes + 1000],
  ] as const;
  const check = async (): Promise<void> => {
    for (const [from, to] of ranges) {
      const sum = exact(Math.max(0, from), Math.min(minutes, to));
      expect(await total(reader, START + from * MINUTE, START + to * MINUTE), `${from} to ${to}`).toBe(sum);
    }
  };
  await check();
  const done = await rollUp(reader, merge, START + 2 * DAY + HOUR + 10 * MINUTE);
  expect(done).toEqual({ ok: true, value: 49 + 2 });
  expect([...reader.rollups('day').keys()].sort()).toEqual([START, START + DAY]);
  expect(reader.rollups('hour').size).toBe(49);
  await check();
  // Done is done.
  expect(await rollUp(reader, merge, START + 2 * DAY + HOUR + 10 * MINUTE)).toEqual({ ok: true, value: 0 });
  reader.close();
});

test('a range that ends before it begins', async () => {
  using folder = new Folder();
  await filled(folder.file('data'), 2);
  const reader = await new StoreRig(folder.file('data')).read();
  expect(await mergedStates(reader, { sinceMs: 2, untilMs: 1 }, merge)).toMatchObject({
    ok: false,
    error: { type: 'invalid' },
  });
  expect(await mergedStates(reader, { sinceMs: Number.NaN, untilMs: 1 }, merge)).toMatchObject({ ok: false });
  reader.close();
});

test('an unlimited range over little is no long loop', async () => {
  using folder = new Folder();
  await filled(folder.file('data'), 2);
  const reader = await new StoreRig(folder.file('data')).read();
  expect(await total(reader, -8e15, 8e15)).toBe(3);
  reader.close();
});
