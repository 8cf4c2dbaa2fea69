import { expect, test } from 'vitest';
import { ChangeCounts } from './change-counts.ts';

test('a counter goes on while others come, and goes when it changed longest ago of too many', () => {
  const counts = new ChangeCounts();
  counts.add({ side: 'server', service: 'quiet' }, 'order', 1);
  for (let i = 0; i < 10_000; i++) {
    counts.add({ side: 'server', service: `pod-${i}` }, 'presence', 0);
    counts.add({ side: 'server', service: 'steady' }, 'header_new', 1);
  }
  const kept = [...counts.values()];
  expect(kept.length).toBe(4_096);
  expect(kept.at(-1)).toEqual({ side: 'server', service: 'steady', kind: 'header_new', count: 10_000 });
  expect(kept.some(({ service }) => service === 'quiet')).toBe(false);
});
