/** What the attacher needs of src/kernel: programs loaded and attached to the scope, and what the pipeline must be given. */
import { type CaptureOptions, type LoadedProgram, loadCapture } from '../kernel/load.ts';
import { mapFacts } from './map-facts.ts';
import { Refusal } from './refusal.ts';
import type { Scope } from './scope.ts';

/** Descriptors and plain facts only: they outlive the process image that loaded them (resident.ts). */
export interface KernelSide {
  /** Plain JSON for the pipeline: how to read the maps. */
  readonly description: unknown;
  /** Maps whose descriptors the pipeline inherits. */
  readonly maps: readonly { readonly name: string; readonly fd: number }[];
  readonly programs: readonly LoadedProgram[];
  /** Which build of the programs runs. */
  readonly variant: string;
  /** What keeps the programs attached: closing these detaches. */
  readonly links: readonly number[];
}

export type LoadKernel = (scope: Scope) => KernelSide | Refusal;

/** Loads the capture programs and attaches them to every cgroup of the scope. */
export const loadKernel =
  (options: CaptureOptions): LoadKernel =>
  (scope) => {
    const loaded = loadCapture(options);
    if (!loaded.ok) return refusalOf(loaded.error);
    const capture = loaded.value;
    const links: number[] = [];
    for (const cgroup of scope.cgroups) {
      const attached = capture.attach(cgroup.folder);
      if (!attached.ok) {
        capture.close();
        return refusalOf(attached.error);
      }
      links.push(...attached.value.links);
    }
    return {
      description: {
        variant: capture.variant,
        layout: capture.layout,
        maps: capture.maps.map(({ name, fd }) => mapFacts(name, fd)),
      },
      maps: Object.entries(capture.descriptors).map(([name, fd]) => ({ name, fd: fd as number })),
      programs: capture.programs,
      variant: capture.variant,
      links,
    };
  };

const refusalOf = (error: { message: string; detail: string }): Refusal => {
  const [what, ...fix] = error.message.split(': ');
  return new Refusal(`${what}.`, [fix.join(': '), error.detail.trim()].filter((part) => part !== '').join('\n  '));
};
