/** Runs startAttacher as `headwater run` does, for the tests: node parent.ts OPTIONS_JSON. */
import { openSync } from 'node:fs';
import type { LoadKernel } from '../../../src/attacher/kernel-side.ts';
import { Refusal } from '../../../src/attacher/refusal.ts';
import { type AttacherOptions, runUntilSignalled, startAttacher } from '../../../src/attacher/start.ts';

export interface ParentOptions extends Omit<AttacherOptions, 'loadKernel' | 'say'> {
  /** Attach the real programs; otherwise maps are stood in for by /dev/null. */
  readonly attach: boolean;
}

const { attach, ...options } = JSON.parse(process.argv[2]!) as ParentOptions;
const standIn: LoadKernel = () => ({
  description: { standIn: true },
  maps: [{ name: 'ring', fd: openSync('/dev/null', 'r') }],
  measure: async () => [],
  detach: () => undefined,
});
/** Loaded only here: the other tests run where no programs are built. */
const realKernel = async (): Promise<LoadKernel> => {
  const [{ loadKernel }, { measurePrograms }] = await Promise.all([
    import('../../../src/attacher/kernel-side.ts'),
    import('../../../src/agent/programs.ts'),
  ]);
  return loadKernel({ ringBytes: 65536 }, measurePrograms);
};
const attacher = startAttacher({
  ...options,
  loadKernel: attach ? await realKernel() : standIn,
  say: (line) => process.stderr.write(`${line}\n`),
});
if (attacher instanceof Refusal) {
  process.stderr.write(`${attacher}\n`);
  process.exit(3);
}
process.stdout.write(`${JSON.stringify({ attacher: process.pid, pipeline: attacher.pipelinePid })}\n`);
process.exit(await runUntilSignalled(attacher));
