import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'], testTimeout: 60_000 } },
      // Real kernel, real servers: one file at a time, because they share two cores and some load the machine.
      { test: { name: 'system', include: ['test/kernel/**/*.test.ts', 'test/system/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 120_000, fileParallelism: false, pool: 'forks' } },
    ],
  },
});
