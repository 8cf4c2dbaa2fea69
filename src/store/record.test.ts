import { expect, test } from 'vitest';
import { SEGMENT_BYTES_MAX, SEGMENT_ROWS_MAX, segmentBytesMax } from './record.ts';

/** Calls of `bytes` each until the segment is over. */
const callsOf = (bytes: number): number => {
  let rows = 0;
  while (rows < SEGMENT_ROWS_MAX && rows * bytes < segmentBytesMax(rows)) rows++;
  return rows;
};

test('usual calls fill a segment up to one of its bounds, large ones make it shorter', () => {
  expect(callsOf(200)).toBe(SEGMENT_ROWS_MAX);
  for (const bytes of [400, 768, 1_000]) expect(callsOf(bytes)).toBe(Math.ceil(SEGMENT_BYTES_MAX / bytes));
  for (const bytes of [11_000, 100_000]) expect(callsOf(bytes) * bytes).toBeLessThan(SEGMENT_BYTES_MAX / 3);
});
