import { defineConfig } from 'vitest/config';

/**
 * Node strips types with WebAssembly, also in the store's worker threads. V8 frees replaced wrappers of it for all threads at once and
 * has aborted there (`Check failed: jit_page.has_value()` below Runtime_TierUpWasmToJSWrapper): no wrapper is ever replaced.
 */
const EXEC_ARGV = ['--wasm-wrapper-tiering-budget=2147483647'];

export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts', 'test/unit/**/*.test.ts', 'test/fuzz/**/*.test.ts'], testTimeout: 60_000, execArgv: EXEC_ARGV } },
      // Real kernel, real servers: one file at a time, because they share two cores and some load the machine.
      { test: { name: 'system', include: ['test/kernel/**/*.test.ts', 'test/system/**/*.test.ts'], testTimeout: 180_000, hookTimeout: 120_000, fileParallelism: false, pool: 'forks', execArgv: EXEC_ARGV } },
    ],
  },
});
