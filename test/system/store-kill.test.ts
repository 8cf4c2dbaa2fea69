import { expect, test } from 'vitest';
import { killAgainAndAgain } from '../crash/store-kill.ts';
import { Folder } from '../rig/folder.ts';

test('25 kills at random instants: nothing committed is lost or doubled, each start names what its kill lost, to the call, and it starts again each time', async () => {
  using folder = new Folder();
  const result = await killAgainAndAgain(folder.file('data'), 25, Math.random);
  expect(result.kills).toBe(25);
  expect(result.rows).toBeGreaterThan(10_000);
  expect(result.segments).toBeGreaterThan(25);
});
