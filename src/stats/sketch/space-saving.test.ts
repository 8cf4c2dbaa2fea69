import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ByteBudget } from './budget.ts';
import { SpaceSaving } from './space-saving.ts';

/** Values as numbers, their lanes mixed so that neighbours do not sit side by side. */
const low = (value: number): number => Math.imul(value + 1, 2654435761 | 0);
const high = (value: number): number => Math.imul(value ^ 0x5bd1e995, 0x85ebca6b);

interface Model {
  readonly summary: SpaceSaving<string>;
  readonly truth: Map<number, number>;
  total: number;
}
function counted(capacity: number, stream: readonly (readonly [number, number])[]): Model {
  const model: Model = { summary: new SpaceSaving(capacity), truth: new Map(), total: 0 };
  for (const [value, weight] of stream) {
    model.summary.add(low(value), high(value), weight);
    model.truth.set(value, (model.truth.get(value) ?? 0) + weight);
    model.total += weight;
  }
  return model;
}
const stream = fc.array(fc.tuple(fc.oneof(fc.nat(5), fc.nat(400)), fc.constantFrom(1, 1, 1, 2, 50)), {
  maxLength: 800,
});
const capacity = fc.constantFrom(2, 3, 8, 20, 64);

function expectBounds({ summary, truth, total }: Model): void {
  expect(summary.total).toBe(total);
  expect(summary.size).toBeLessThanOrEqual(summary.capacity);
  expect(summary.offset).toBeLessThanOrEqual((2 * total) / summary.capacity);
  let places = 0;
  for (const [value, count] of truth) {
    const place = summary.find(low(value), high(value));
    const lower = place < 0 ? 0 : summary.count(place);
    if (place >= 0) places++;
    expect(lower).toBeLessThanOrEqual(count);
    expect(count - lower).toBeLessThanOrEqual(summary.offset);
  }
  expect(places).toBe(summary.size);
}

describe('against exact counts', () => {
  test('every true count lies between its counter and counter + offset, offset <= 2 total / capacity', () => {
    fc.assert(fc.property(capacity, stream, (k, items) => expectBounds(counted(k, items))));
  });

  test('nothing is missing while there are no more values than counters', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(31), { maxLength: 500 }), (values) => {
        const model = counted(
          32,
          values.map((value) => [value, 1] as const),
        );
        expect(model.summary.offset).toBe(0);
        expectBounds(model);
      }),
    );
  });

  test('a value with more than its part of the whole is never lost', () => {
    const { summary } = counted(
      64,
      Array.from({ length: 100_000 }, (_, i) => [i % 10 === 0 ? 7 : 1_000 + i, 1] as const),
    );
    const place = summary.find(low(7), high(7));
    expect(summary.count(place)).toBeLessThanOrEqual(10_000);
    expect(summary.count(place) + summary.offset).toBeGreaterThanOrEqual(10_000);
  });
});

test('merging any number of summaries keeps the bounds', () => {
  fc.assert(
    fc.property(capacity, fc.array(stream, { minLength: 2, maxLength: 5 }), (k, streams) => {
      const whole = counted(k, streams.flat());
      const merged = new SpaceSaving<string>(k);
      for (const items of streams) merged.merge(counted(k, items).summary, (mine, theirs) => mine ?? theirs);
      expectBounds({ ...whole, summary: merged });
    }),
    { numRuns: 60 },
  );
});

test('labels stay with their counters through growth, purges and merging', () => {
  const summary = new SpaceSaving<string>(16);
  for (let round = 0; round < 50; round++) {
    for (let value = 0; value < 6; value++) {
      const place = summary.add(low(value), high(value), 5);
      summary.setLabel(place, `label ${value}`);
    }
    for (let i = 0; i < 9; i++) summary.add(low(1_000 + round * 9 + i), high(1_000 + round * 9 + i), 1);
  }
  const other = new SpaceSaving<string>(16);
  other.merge(summary, (mine, theirs) => mine ?? theirs);
  for (const kept of [summary, other])
    for (let value = 0; value < 6; value++)
      expect(kept.label(kept.find(low(value), high(value)))).toBe(`label ${value}`);
});

test('without room to grow, the capacity is what there is', () => {
  const budget = new ByteBudget(0);
  const summary = new SpaceSaving<string>(64, budget);
  for (let value = 0; value < 1_000; value++) summary.add(low(value), high(value), 1);
  expect(summary.size).toBeLessThanOrEqual(8);
  expect(summary.offset).toBeLessThanOrEqual((2 * 1_000) / 8);
  expect(budget.refused).toBeGreaterThan(0);
});
