import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/**
 * Node strips types with WebAssembly, also in the store's worker threads. V8 frees replaced wrappers of it for all threads at once and
 * has aborted there (`Check failed: jit_page.has_value()` below Runtime_TierUpWasmToJSWrapper): no wrapper is ever replaced.
 */
const EXEC_ARGV = ['--wasm-wrapper-tiering-budget=2147483647'];

/** What both kinds of tests with the real kernel and real servers have in common. */
const REAL = { testTimeout: 300_000, hookTimeout: 300_000, pool: 'forks', execArgv: EXEC_ARGV } as const;

/** They load the machine as far as it goes, measure, or look at everything that the kernel has loaded: nothing runs beside them. */
const ALONE = [
  'test/kernel/order.test.ts',
  'test/kernel/robust.test.ts',
  'test/system/bench.test.ts',
  'test/system/conservation.test.ts',
  'test/system/debugging.test.ts',
  'test/system/h2-conservation.test.ts',
  'test/system/h2-load.test.ts',
  'test/system/live-kill.test.ts',
  'test/system/live-saturated.test.ts',
  'test/system/live-soak.test.ts',
  'test/system/load-statistics.test.ts',
  'test/system/tls-shed.test.ts',
  'test/system/tls-storm.test.ts',
];

export default defineConfig({
  test: {
    projects: [
      // Left to itself vitest takes one worker less than there are cores: one of two.
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'], testTimeout: 240_000, hookTimeout: 240_000, maxWorkers: Math.max(2, availableParallelism() - 1), execArgv: EXEC_ARGV } },
      // Cgroups, ports, folders and copies of libraries are each test's own, and most of these files wait more than they work: two at a time.
      { test: { name: 'system', include: ['test/kernel/**/*.test.ts', 'test/system/**/*.test.ts'], exclude: ALONE, maxWorkers: 2, sequence: { groupOrder: 1 }, ...REAL } },
      { test: { name: 'system-alone', include: ALONE, maxWorkers: 1, sequence: { groupOrder: 2 }, ...REAL } },
    ],
  },
});
