import { expect, test } from 'vitest';
import { rehearse } from './rehearsal.ts';

test.each([
  { logged: false, stored: false },
  { logged: true, stored: true },
])('every call of the rehearsal comes out: %o', (rehearsed) => {
  expect(rehearse(rehearsed, [500, 500])).toBe(1_000);
});
