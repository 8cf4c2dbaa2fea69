import fc from 'fast-check';
import { expect, test } from 'vitest';
import { IdTable } from './id-table.ts';

/** Ids as they come, and ids that all want the same place. */
const id = fc.oneof(
  fc.integer({ min: 0, max: 60 }),
  fc.integer({ min: 1, max: 40 }).map((n) => (n << 13) + 1),
  fc.integer({ min: 1, max: 2 ** 31 - 1 }),
);

test('a table has what a map has, whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(id, fc.nat(4)), { maxLength: 300 }), (steps) => {
      const table = new IdTable<number>();
      const map = new Map<number, number>();
      for (const [n, [key, what]] of steps.entries()) {
        if (what < 2) {
          table.delete(key);
          map.delete(key);
        } else {
          table.set(key, n);
          map.set(key, n);
        }
        expect([table.get(key), table.size]).toEqual([map.get(key), map.size]);
      }
      for (const [key] of steps) expect(table.get(key)).toBe(map.get(key));
      expect(table.entries()).toEqual([...map].sort(([a], [b]) => a - b));
    }),
    { numRuns: 500 },
  );
});

test('thousands at once, and none again', () => {
  const table = new IdTable<string>();
  for (let round = 0; round < 3; round++) {
    for (let key = 1; key < 8_192; key += 2) table.set(key + round * 8_192, String(key));
    expect(table.size).toBe(4_096);
    for (let key = 1; key < 8_192; key += 2) expect(table.get(key + round * 8_192)).toBe(String(key));
    for (const [key] of table.entries()) table.delete(key);
    expect([table.size, table.entries()]).toEqual([0, []]);
  }
});
