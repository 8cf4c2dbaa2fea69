import { expect, test } from 'vitest';
import { rehearse } from './rehearsal.ts';

test.each([true, false])('every call of the rehearsal comes out (logged: %s)', (logged) => {
  expect(rehearse(logged, [500, 500])).toBe(1_000);
});
