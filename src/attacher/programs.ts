/** Measures the kernel programs for a moment: `status` shows what they cost. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadedProgram } from '../kernel/load.ts';
import { readPrograms, startStatistics } from '../kernel/progstats.ts';
import type { ProgramStatus } from '../model/status.ts';

/** Long enough to see every program run on a busy host; the statistics cost each run some 20 ns meanwhile. */
const MEASURE_MS = 500;

/** Run counts and average times over the last moment; null where the kernel refuses to tell. */
export async function measurePrograms(
  programs: readonly LoadedProgram[],
  variant: string,
): Promise<readonly ProgramStatus[]> {
  const statistics = startStatistics();
  const before = statistics.ok ? readPrograms(programs) : null;
  if (!statistics.ok || before?.ok !== true) {
    return programs.map(({ name }) => ({ name, variant, run_count: null, avg_ns: null }));
  }
  await sleep(MEASURE_MS);
  const after = readPrograms(programs);
  statistics.value.stop();
  return programs.map(({ name }, i) => {
    const first = before.value[i]!;
    const last = after.ok ? after.value[i]! : first;
    const runs = last.runs - first.runs;
    return { name, variant, run_count: runs, avg_ns: runs === 0 ? null : (last.runNs - first.runNs) / runs };
  });
}
