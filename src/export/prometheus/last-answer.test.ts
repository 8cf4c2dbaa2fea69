/** What is copied from the answer before is what would have been written. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StatsRig } from '../../../test/unit/stats-rig.ts';
import type { Exposition } from './family.ts';
import { LastAnswers } from './last-answer.ts';
import { ProtobufExposition } from './protobuf.ts';
import { StatisticsMetrics } from './statistics.ts';
import { TextExposition } from './text.ts';

const CREATED_MS = 1_795_363_440_250;
const MINUTE_NS = 60e9;
const MAKE: Record<string, (last?: LastAnswers) => Exposition> = {
  OpenMetrics: (last) => new TextExposition(CREATED_MS, last),
  'the older text': (last) => new TextExposition(null, last),
  protobuf: (last) => new ProtobufExposition(CREATED_MS, last),
};

const answered = (metrics: StatisticsMetrics, out: Exposition): Buffer => {
  for (const _ of metrics.write(null, out));
  return Buffer.concat([...out.finish()]);
};

const steps = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({ route: fc.nat(5), ms: fc.nat(900), inFlight: fc.integer({ min: 1, max: 4 }) }),
    },
    { weight: 1, arbitrary: fc.constant('minute' as const) },
    { weight: 3, arbitrary: fc.constantFrom(...Object.keys(MAKE)) },
  ),
  { maxLength: 60 },
);

test.each([
  ['all', 1 << 20],
  ['some', 10_000],
  ['nothing', 0],
])('with %s remembered, answers in turns and formats are the same bytes as without', (_, bytesMax) => {
  fc.assert(
    fc.property(steps, (all) => {
      const rig = new StatsRig();
      const metrics = new StatisticsMetrics(rig.engine);
      const last = new LastAnswers(bytesMax);
      let now = 1e9;
      for (const step of [...all, ...Object.keys(MAKE), ...Object.keys(MAKE)]) {
        if (step === 'minute') {
          now += MINUTE_NS;
          rig.engine.advance(now);
        } else if (typeof step === 'string') {
          const fresh = answered(metrics, MAKE[step]!());
          expect(answered(metrics, MAKE[step]!(last)).equals(fresh)).toBe(true);
          expect(last.bytes).toBeLessThanOrEqual(bytesMax);
        } else {
          const { route, ms, inFlight } = step;
          now += 1e6;
          const times = [now - ms * 1e6 - 1e6, now - ms * 1e6, now - 5e5, now] as const;
          rig.call({ route: `/r${route}`, status: 200 + route, inFlight, times });
        }
      }
      expect(last.bytes > 0).toBe(bytesMax > 0 && all.some((step) => typeof step === 'object'));
    }),
    { numRuns: 40 },
  );
});

test('a histogram that was in the answer before the last one only is forgotten', () => {
  const rig = new StatsRig();
  const metrics = new StatisticsMetrics(rig.engine);
  const last = new LastAnswers();
  for (let i = 0; i < 50; i++) rig.call({ route: `/r${i}` });
  answered(metrics, MAKE['OpenMetrics']!(last));
  const { bytes } = last;
  const other = new StatisticsMetrics(new StatsRig().engine);
  answered(other, MAKE['OpenMetrics']!(last));
  expect(bytes).toBeGreaterThan(50 * 1_000);
  expect(last.bytes).toBe(0);
});
