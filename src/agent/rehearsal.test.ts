import { expect, test } from 'vitest';
import { startStoreWorker } from '../store/store.ts';
import { StoreRehearsal } from '../store/store-rehearsal.ts';
import { rehearse } from './rehearsal.ts';

const PASSES = [500, 500];

test.each([
  { stored: false, secrets: false },
  { stored: false, secrets: true },
  { stored: true, secrets: true },
])('every call of the rehearsal comes out: %o', async ({ stored, secrets }) => {
  const worker = stored ? startStoreWorker() : null;
  const store = worker === null ? null : new StoreRehearsal(worker);
  let rests = 0;
  const { made, out } = rehearse({ logged: stored, store, secrets }, () => void rests++, PASSES);
  // On a slow machine a pass ends before all are made.
  expect(made).toBeGreaterThan(0);
  expect(out).toBe(made);
  expect(rests).toBe(PASSES.length);
  // The store's thread takes as long as the machine is slow, and the start does not wait for ever.
  if (store !== null) expect(await store.end(Number.POSITIVE_INFINITY)).toBe(made);
  await worker?.terminate();
});
