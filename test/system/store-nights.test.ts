/** The nights in which local time has an hour too few or too many, as somebody in that zone asks about them. */
import { expect, test } from 'vitest';
import { parseRange } from '../../src/query/calls-range.ts';
import { storedReport } from '../../src/query/states.ts';
import { HEADWATER } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { run } from '../rig/program.ts';
import { StoreRig } from '../unit/store-rig.ts';
import { storedStatistics } from '../unit/stored-statistics.ts';

const CALLS_A_MINUTE = 2;
/** From midnight UTC on; clocks are set at 01:00 UTC in Europe. */
const MINUTES = 150;

async function night(data: string, day: string): Promise<void> {
  const anchor = { wallNs: BigInt(Date.parse(`${day}T00:00:00Z`)) * 1_000_000n };
  await storedStatistics(data, { minutes: MINUTES, callsAMinute: CALLS_A_MINUTE, anchor });
}

/** In a zone of the user's own. */
async function headwater(data: string, zone: string, ...args: string[]) {
  const { code, stderr, stdout } = await run([HEADWATER, ...args, '--data', data], { env: { TZ: zone } });
  return { code, stderr, stdout };
}

interface Counted {
  readonly range: unknown;
  readonly routes: readonly { readonly count: number; readonly rate_per_s: number }[];
}
const calls = ({ routes }: Counted): number => routes.reduce((sum, { count }) => sum + count, 0);

test('the hour that is missing: a range across it has what was called in it, and no hour of nothing', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await night(data, '2026-03-29');
  // From 01:50 to 03:10 by the clock on the wall: 20 minutes.
  const range = ['--since', '2026-03-29T01:50:00+01:00', '--until', '2026-03-29T03:10:00+02:00'];
  const found = await headwater(data, 'Europe/Berlin', 'query', ...range, '--json', '--limit', '1000');
  expect([found.code, found.stderr]).toEqual([0, '']);
  expect(found.stdout.trimEnd().split('\n')).toHaveLength(20 * CALLS_A_MINUTE);
  const report = JSON.parse((await headwater(data, 'Europe/Berlin', 'report', ...range, '--json')).stdout) as Counted;
  expect(report.range).toEqual({ since: '2026-03-29T00:50:00.000Z', until: '2026-03-29T01:10:00.000Z' });
  expect(calls(report)).toBe(20 * CALLS_A_MINUTE);
  expect(report.routes.reduce((sum, { rate_per_s }) => sum + rate_per_s, 0)).toBeCloseTo(CALLS_A_MINUTE / 60, 6);
  // 02:30 was never on that wall: a time without a zone is not guessed.
  expect(await headwater(data, 'Europe/Berlin', 'query', '--since', '2026-03-29 02:30')).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'headwater: "2026-03-29 02:30" has no zone: write 2026-03-29T02:30:00Z for UTC, or 2026-03-29T02:30:00+02:00\n',
  });
});

test('the hour that comes twice: its two halves are apart, and a date is midnight UTC in every zone', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await night(data, '2026-10-25');
  const reader = await new StoreRig(data).read();
  const count = async (since: string, until: string): Promise<number> => {
    const range = parseRange(since, until, Date.now());
    if (!range.ok) throw new Error(range.error.message);
    const [sinceMs, untilMs] = [range.value.since!, range.value.until!].map((ns) => Number(ns / 1_000_000n));
    const report = await storedReport(reader, sinceMs!, untilMs!, Date.now());
    if (!report.ok) throw new Error(report.error.message);
    return calls(report.value);
  };
  expect(await count('2026-10-25T02:00+02:00', '2026-10-25T02:59+02:00')).toBe(59 * CALLS_A_MINUTE);
  expect(await count('2026-10-25T02:00+01:00', '2026-10-25T02:30+01:00')).toBe(30 * CALLS_A_MINUTE);
  expect(await count('2026-10-25T02:00+02:00', '2026-10-25T02:30+01:00')).toBe(90 * CALLS_A_MINUTE);
  reader.close();
  for (const zone of ['Europe/Berlin', 'America/New_York']) {
    const day = ['--since', '2026-10-25', '--until', '2026-10-26', '--json'];
    const { code, stdout, stderr } = await headwater(data, zone, 'report', ...day);
    expect([code, stderr]).toEqual([0, '']);
    expect(calls(JSON.parse(stdout) as Counted)).toBe(MINUTES * CALLS_A_MINUTE);
  }
});
