import { expect, test } from 'vitest';
import { SHARED_BYTES, SLAB_FREE, SLABS, slabStates } from './protocol.ts';
import { Slabs } from './slabs.ts';

test('memory of a batch can go when it is free and was not used for a while, once', () => {
  const shared = new SharedArrayBuffer(SHARED_BYTES);
  const slabs = new Slabs(shared);
  const states = slabStates(shared);
  const idle = (): number[] => slabs.idle().map((bytes) => slabs.memory.findIndex(({ buf }) => buf === bytes));
  const taken = Array.from({ length: SLABS }, () => slabs.take());
  expect(taken).toEqual([...Array(SLABS).keys()]);
  expect([slabs.take(), slabs.taken]).toEqual([-1, SLABS]);
  for (let look = 0; look < 3; look++) expect(idle()).toEqual([]);
  // The writing thread frees all but the first two.
  for (let slab = 2; slab < SLABS; slab++) Atomics.store(states, slab, SLAB_FREE);
  expect(idle()).toEqual([]);
  expect(slabs.take()).toBe(2);
  Atomics.store(states, 2, SLAB_FREE);
  expect(idle()).toEqual([3, 4, 5, 6, 7]);
  expect(idle()).toEqual([2]);
  expect(idle()).toEqual([]);
});
