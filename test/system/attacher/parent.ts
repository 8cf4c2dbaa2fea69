/** Runs startAttacher as `headwater run` does, for the tests: node parent.ts OPTIONS_JSON. */
import { openSync } from 'node:fs';
import type { LoadKernel } from '../../../src/attacher/kernel-side.ts';
import { type AttacherOptions, startAttacher } from '../../../src/attacher/start.ts';

export interface ParentOptions extends Omit<AttacherOptions, 'loadKernel' | 'say'> {
  /** Attach the real programs; otherwise maps are stood in for by /dev/null. */
  readonly attach: boolean;
}

const { attach, ...options } = JSON.parse(process.argv[2]!) as ParentOptions;
const standIn: LoadKernel = () => ({
  description: { standIn: true },
  maps: [{ name: 'ring', fd: openSync('/dev/null', 'r') }],
  programs: [],
  variant: 'none',
  attach: () => [],
  taps: null,
  tapsAbsent: '',
});
/** Loaded only here: the other tests run where no programs are built. */
const realKernel = async (): Promise<LoadKernel> =>
  (await import('../../../src/attacher/kernel-side.ts')).loadKernel({ ringBytes: 65536, secrets: false });

const refusal = startAttacher({
  ...options,
  loadKernel: attach ? await realKernel() : standIn,
  say: (line) => process.stderr.write(`${line}\n`),
});
process.stderr.write(`${refusal}\n`);
process.exit(3);
