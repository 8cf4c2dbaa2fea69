import { expect, test } from 'vitest';
import { WallClock } from './wall-clock.ts';

const HOUR_MS = 3_600_000;

function clock(): { wall: WallClock; said: string[]; set: (aheadMs: number) => void } {
  const said: string[] = [];
  let aheadMs = 0;
  const wall = new WallClock(
    (text) => said.push(text),
    () => aheadMs,
  );
  return {
    wall,
    said,
    set: (ms) => {
      aheadMs = ms;
      wall.tick();
    },
  };
}

test('an hour forward and back is said twice, and once it is back nothing is wrong', () => {
  const { wall, said, set } = clock();
  set(3);
  expect(wall.problem).toBe('');
  set(HOUR_MS + 3);
  set(HOUR_MS + 4);
  expect(wall.problem).toContain("times of calls are 3600.0 s behind the machine's clock");
  set(2);
  set(3);
  expect(wall.problem).toBe('');
  expect(wall.steps).toBe(2);
  expect(said).toEqual([
    expect.stringContaining('went forward by 3600.0 s'),
    expect.stringContaining('went back by 3600.0 s'),
  ]);
});

test('back first', () => {
  const { wall, said, set } = clock();
  set(-HOUR_MS);
  expect(said).toEqual([expect.stringContaining('went back by 3600.0 s')]);
  expect(wall.problem).toContain("3600.0 s ahead of the machine's clock");
});

test('corrections below a second are not told, until together they are one', () => {
  const { wall, said, set } = clock();
  for (const ms of [200, -300, 999]) set(ms);
  expect(said).toEqual([]);
  set(1_000);
  expect(wall.steps).toBe(1);
});

test('a thread that waits for a core between the two clocks does not make a step of it', () => {
  const said: string[] = [];
  const looks = [0, -2_000, 0, 0, 0];
  const wall = new WallClock(
    (text) => said.push(text),
    () => looks.shift()!,
  );
  for (let i = 0; i < 4; i++) wall.tick();
  expect([looks, said, wall.steps, wall.problem]).toEqual([[], [], 0, '']);
});
