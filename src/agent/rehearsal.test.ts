import { expect, test } from 'vitest';
import { rehearse } from './rehearsal.ts';

const PASSES = [500, 500];

test.each([
  { logged: false, stored: false },
  { logged: true, stored: true },
])('every call of the rehearsal comes out: %o', (rehearsed) => {
  let rests = 0;
  expect(rehearse(rehearsed, () => void rests++, PASSES)).toBe(1_000);
  expect(rests).toBe(PASSES.length);
});
