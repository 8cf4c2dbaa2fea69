/** What the attacher needs of src/kernel: programs loaded, attached to the scope when it says so, and what the pipeline must be given. */
import { type CaptureOptions, type LoadedProgram, loadCapture } from '../kernel/load.ts';
import { type LoadedTaps, loadTaps } from '../kernel/secrets.ts';
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
  /** Attaches the programs to the scope. What keeps them attached: closing these detaches. */
  attach(): readonly number[] | Refusal;
  /** null: TLS is not tapped, and `tapsAbsent` says why. */
  readonly taps: LoadedTaps | null;
  readonly tapsAbsent: string;
}

export type LoadKernel = (scope: Scope) => KernelSide | Refusal;

export interface KernelOptions extends CaptureOptions {
  /** Take TLS secrets. */
  readonly secrets: boolean;
}

/**
 * Loads the capture programs, to be attached to every cgroup of the scope. Without the TLS taps, which need more of the
 * machine and more rights, packets are captured all the same.
 */
export const loadKernel =
  (options: KernelOptions): LoadKernel =>
  (scope) => {
    const loaded = loadCapture(options);
    if (!loaded.ok) return refusalOf(loaded.error);
    const capture = loaded.value;
    const whole = scope.cgroups.some(({ path }) => path === '/');
    const tapped = options.secrets ? loadTaps(whole ? [] : scope.cgroups.map(({ folder }) => folder)) : null;
    const taps = tapped?.ok === true ? tapped.value : null;
    const tapsAbsent = tapped === null ? 'switched off (tls.secrets)' : tapped.ok ? '' : tapped.error.message;
    return {
      description: {
        variant: capture.variant,
        layout: capture.layout,
        maps: capture.maps.map(({ name, fd }) => mapFacts(name, fd)),
        tapsAbsent,
      },
      maps: [
        ...Object.entries(capture.descriptors).map(([name, fd]) => ({ name, fd: fd as number })),
        ...(taps === null
          ? []
          : [
              { name: 'secrets', fd: taps.secrets },
              { name: 'taps', fd: taps.counters },
            ]),
      ],
      taps,
      tapsAbsent,
      programs: capture.programs,
      variant: capture.variant,
      attach: () => {
        const links: number[] = [];
        for (const cgroup of scope.cgroups) {
          const attached = capture.attach(cgroup.folder);
          if (!attached.ok) {
            capture.close();
            return refusalOf(attached.error);
          }
          links.push(...attached.value.links);
        }
        return links;
      },
    };
  };

const refusalOf = (error: { message: string; detail: string }): Refusal => {
  const [what, ...fix] = error.message.split(': ');
  return new Refusal(`${what}.`, [fix.join(': '), error.detail.trim()].filter((part) => part !== '').join('\n  '));
};
