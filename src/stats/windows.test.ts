import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MinuteRing, WINDOW_MINUTES } from './windows.ts';

test('sums are those of a list, whatever the order and the gaps', () => {
  const event = fc.record({ minute: fc.integer({ min: 1_000, max: 1_000 + WINDOW_MINUTES - 1 }), error: fc.boolean() });
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), fc.constantFrom(5, 60, 360), (events, minutes) => {
      const ring = new MinuteRing();
      for (const { minute, error } of events) ring.add(minute, 1, error ? 1 : 0);
      const last = 1_000 + WINDOW_MINUTES - 1;
      const inside = events.filter(({ minute }) => minute > last - minutes);
      expect(ring.sum(last, minutes)).toEqual({
        calls: inside.length,
        errors: inside.filter(({ error }) => error).length,
      });
    }),
  );
});

test('what is older than the ring makes room, and does not come back', () => {
  const ring = new MinuteRing();
  ring.add(10, 5, 5);
  ring.add(10 + WINDOW_MINUTES, 7, 1);
  ring.add(10, 100, 100);
  expect(ring.sum(10 + WINDOW_MINUTES, 1)).toEqual({ calls: 7, errors: 1 });
  expect(ring.sum(10, 5)).toEqual({ calls: 0, errors: 0 });
});
