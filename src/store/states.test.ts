import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { StoreRig } from '../../test/unit/store-rig.ts';
import { ROLLUP_LEVELS } from './layout.ts';
import type { StoreReader } from './reader.ts';
import { RollUp } from './rollup.ts';
import type { MakeMerger } from './state-merge.ts';
import { mergedStates } from './states.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const MINUTE = 60_000;
/** 2026-10-24T00:00Z: clocks in Europe go back during the next night. */
const START = Date.parse('2026-10-24T00:00:00Z');
/** Long after everything. */
const LATER = START + 9 * DAY;

/** A state is a text with a number; merging adds, and shows in which order: not associative, as real header states are not. */
const encode = (text: string): Uint8Array => Buffer.from(text);
const make: MakeMerger = (kind) => {
  expect(kind).toBe('sum');
  let sum = 0;
  const parts: string[] = [];
  return {
    add(state) {
      const text = Buffer.from(state).toString();
      sum += Number(text.split(' ')[0]);
      parts.push(text.length > 40 ? `${text.slice(0, 30)}~${text.length}` : text);
    },
    encode: () => encode(`${sum} (${parts.join()})`),
  };
};
const series = { service: 's', side: 'server', method: 'GET', route: '/a', kind: 'sum' };

/** Minute m of the run has the state m + 1; `from` is its first. */
async function filled(data: string, from: number, to: number): Promise<void> {
  const rig = await new StoreRig(data).open({}, START + from * MINUTE);
  for (let m = from; m < to; m++) {
    const key = { ...series, level: 'minute', startMs: START + m * MINUTE } as const;
    expect(rig.store.writer.state(key, encode(String(m + 1)))).toBe(true);
    if (m % 60 === 0) await rig.tick(START + m * MINUTE);
  }
  await rig.close(START + to * MINUTE);
}

function roll(data: string, nowMs = LATER, liveMs = Number.POSITIVE_INFINITY): number {
  const steps = new RollUp(data, make).run(nowMs, liveMs);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

const merged = async (reader: StoreReader, from: number, to: number): Promise<string> => {
  const answer = await mergedStates(reader, { sinceMs: START + from * MINUTE, untilMs: START + to * MINUTE }, make);
  if (!answer.ok) throw new Error(answer.error.message);
  expect(answer.value.length).toBeLessThanOrEqual(1);
  return answer.value.length === 0 ? '0' : Buffer.from(answer.value[0]!.merged.encode()).toString();
};
/** Sum of minutes [from, to). */
const exact = (from: number, to: number): number => ((from + 1 + to) * (to - from)) / 2;
const names = (data: string, level: string): string[] => readdirSync(join(data, 'rollup', level)).sort();

const RUN = 2 * 24 * 60 + 90;
const RANGES = [
  [0, RUN],
  [5, 7],
  [30, 150],
  [60, 24 * 60],
  [24 * 60 - 1, 48 * 60 + 1],
  [-1000, 10],
  [RUN - 1, RUN + 1000],
  [0, 24 * 60],
  [117, 2_003],
] as const;

async function answers(data: string): Promise<string[]> {
  const reader = await new StoreRig(data).read();
  const found: string[] = [];
  for (const [from, to] of RANGES) {
    const text = await merged(reader, from, to);
    expect(Number(text.split(' ')[0]), `${from} to ${to}`).toBe(exact(Math.max(0, from), Math.min(RUN, to)));
    found.push(text);
  }
  reader.close();
  return found;
}

test('any range is the same to the last byte before and after ten minutes, hours, quarters of days and days are merged', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await filled(data, 0, RUN);
  const before = await answers(data);
  // Half of it first, then all.
  expect(roll(data, START + DAY + HOUR + 10 * MINUTE)).toBe(6 * 25 + 25 + 4 + 1);
  expect(await answers(data)).toEqual(before);
  expect(roll(data)).toBe(6 * 24 + 3 + 25 + 5 + 2);
  expect(await answers(data)).toEqual(before);
  expect(ROLLUP_LEVELS.map(({ name }) => names(data, name).length)).toEqual([297, 50, 9, 3]);
  // Done is done.
  expect(roll(data)).toBe(0);
});

test('a stretch waits until it is over, and until no segment that is not sealed has minutes of it', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await filled(data, 0, 60);
  expect(roll(data, START + 11 * MINUTE)).toBe(0);
  expect(roll(data, START + HOUR + 3 * MINUTE, START + 25 * MINUTE)).toBe(2);
  expect(roll(data, START + HOUR + 3 * MINUTE)).toBe(5);
});

test('minutes that come to the disk later are in the answer, and then in what is kept', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await filled(data, 0, 90);
  roll(data);
  const reader = await new StoreRig(data).read();
  expect(Number((await merged(reader, 0, 90)).split(' ')[0])).toBe(exact(0, 90));
  await filled(data, 30, 40);
  await reader.refresh();
  const after = await merged(reader, 0, 90);
  expect(Number(after.split(' ')[0])).toBe(exact(0, 90) + exact(30, 40));
  expect(roll(data)).toBe(4);
  await reader.refresh();
  expect(await merged(reader, 0, 90)).toBe(after);
  expect(roll(data)).toBe(0);
  expect(names(data, 'hour').length).toBe(2);
  reader.close();
});

test('a kill between two renames, and a damaged folder of merged states, change no answer', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await filled(data, 0, RUN);
  const before = await answers(data);
  roll(data);
  const day = names(data, 'day')[0]!;
  renameSync(join(data, 'rollup', 'day', day), join(data, 'rollup', 'day', `${day}.tmp`));
  const hour = join(data, 'rollup', 'hour', names(data, 'hour')[5]!, 'states.parquet');
  const bytes = readFileSync(hour);
  bytes[Math.floor(bytes.length / 3)]! ^= 0x55;
  writeFileSync(hour, bytes);
  expect(await answers(data)).toEqual(before);
  // The next start removes what is unfinished, and what cannot be read is made again.
  await (await new StoreRig(data).open({}, LATER)).close(LATER);
  expect(names(data, 'day')).not.toContain(`${day}.tmp`);
  expect(roll(data)).toBeGreaterThan(0);
  expect(await answers(data)).toEqual(before);
});

test('a range that ends before it begins', async () => {
  using folder = new Folder();
  await filled(folder.file('data'), 0, 2);
  const reader = await new StoreRig(folder.file('data')).read();
  expect(await mergedStates(reader, { sinceMs: 2, untilMs: 1 }, make)).toMatchObject({
    ok: false,
    error: { type: 'invalid' },
  });
  expect(await mergedStates(reader, { sinceMs: Number.NaN, untilMs: 1 }, make)).toMatchObject({ ok: false });
  reader.close();
});

test('an unlimited range, and minutes of 1970 beside those of today, are no long loop', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const rig = await new StoreRig(data).open({}, START);
  for (const startMs of [0, START]) rig.store.writer.state({ ...series, level: 'minute', startMs }, encode('3'));
  await rig.close(START + MINUTE);
  const reader = await new StoreRig(data).read();
  expect(await merged(reader, -8e10, 8e10)).toMatch(/^6 /);
  expect(roll(data)).toBe(8);
  expect(await merged(reader, -8e10, 8e10)).toMatch(/^6 /);
  reader.close();
});
