import { expect, test } from 'vitest';
import { killAgainAndAgain } from '../crash/store-kill.ts';
import { Folder } from '../rig/folder.ts';

/** Two stores side by side: a writer lives for a second, most of which it waits. */
const KILLS = [13, 12];

test('25 kills at random instants: nothing committed is lost or doubled, each start names what its kill lost, to the call, and it starts again each time', async () => {
  using folder = new Folder();
  const results = await Promise.all(
    KILLS.map((kills, i) => killAgainAndAgain(folder.file(`data-${i}`), kills, Math.random)),
  );
  const sum = (of: (result: (typeof results)[number]) => number): number =>
    results.reduce((all, result) => all + of(result), 0);
  expect(sum(({ kills }) => kills)).toBe(25);
  // There was something to lose; how much is the machine's speed.
  expect(sum(({ rows }) => rows)).toBeGreaterThan(500);
  expect(sum(({ segments }) => segments)).toBeGreaterThan(2);
}, 900_000);
