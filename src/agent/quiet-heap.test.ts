import { expect, test } from 'vitest';
import { GROWN_BYTES, QUIET_LOOKS, QUIET_SEGMENTS, QuietHeap, USUAL_BYTES } from './quiet-heap.ts';

/** A heap whose size is told, and the looks at which it was collected. */
function heap() {
  let segments = 0;
  let size = 0;
  let live = 0;
  let collected = 0;
  const collect = (): void => {
    collected++;
    size = live;
  };
  const quiet = new QuietHeap(collect as NodeJS.GCFunction);
  return {
    set: (bytes: number, used: number): void => {
      size = bytes;
      live = used;
    },
    look: (came: number): boolean => {
      segments += came;
      return quiet.look(segments, () => size);
    },
    get collected(): number {
      return collected;
    },
  };
}
const BUSY = QUIET_SEGMENTS + 1;

test('collected once, after a while in which hardly anything came', () => {
  const h = heap();
  h.set(60 << 20, 20 << 20);
  for (let i = 0; i < 10; i++) expect(h.look(BUSY)).toBe(false);
  for (let i = 1; i < QUIET_LOOKS; i++) expect(h.look(QUIET_SEGMENTS)).toBe(false);
  expect(h.look(0)).toBe(true);
  // As it was left, and a little more.
  h.set(USUAL_BYTES + GROWN_BYTES - 1, 20 << 20);
  for (let i = 0; i < 10; i++) expect(h.look(0)).toBe(false);
  expect(h.collected).toBe(1);
});

test('again when it has grown; what V8 gave back meanwhile counts', () => {
  const h = heap();
  h.set(90 << 20, 70 << 20);
  for (let i = 0; i < QUIET_LOOKS; i++) h.look(0);
  expect(h.collected).toBe(1);
  h.set(50 << 20, 50 << 20);
  expect(h.look(0)).toBe(false);
  h.set((50 << 20) + GROWN_BYTES, 20 << 20);
  expect(h.look(BUSY)).toBe(false);
  for (let i = 1; i < QUIET_LOOKS; i++) expect(h.look(0)).toBe(false);
  expect([h.look(0), h.collected]).toEqual([true, 2]);
});

test('where the runtime lends no collection, nothing is done', () => {
  const quiet = new QuietHeap(undefined);
  for (let i = 0; i < 10; i++) expect(quiet.look(0, () => 1 << 30)).toBe(false);
});
