/** What the attacher needs of src/kernel: programs loaded and attached to the scope, and what the pipeline must be given. */
import { type Attachment, type CaptureOptions, loadCapture } from '../kernel/load.ts';
import type { ProgramStatus } from '../model/status.ts';
import { Refusal } from './refusal.ts';
import type { Scope } from './scope.ts';

export interface KernelSide {
  /** Plain JSON for the pipeline: how to read the maps. */
  readonly description: unknown;
  /** Maps whose descriptors the pipeline inherits. */
  readonly maps: readonly { readonly name: string; readonly fd: number }[];
  /** Run counts and times, measured for a moment. What needs CAP_SYS_ADMIN happens before it first waits. */
  measure(): Promise<readonly ProgramStatus[]>;
  /** Nothing is attached any more; the maps stay readable. */
  detach(): void;
}

export type LoadKernel = (scope: Scope) => KernelSide | Refusal;

/** Loads the capture programs and attaches them to every cgroup of the scope. */
export const loadKernel =
  (
    options: CaptureOptions,
    measure: (programs: readonly { name: string; fd: number }[], variant: string) => Promise<readonly ProgramStatus[]>,
  ): LoadKernel =>
  (scope) => {
    const loaded = loadCapture(options);
    if (!loaded.ok) return refusalOf(loaded.error);
    const capture = loaded.value;
    const attachments: Attachment[] = [];
    for (const cgroup of scope.cgroups) {
      const attached = capture.attach(cgroup.folder);
      if (!attached.ok) {
        capture.close();
        return refusalOf(attached.error);
      }
      attachments.push(attached.value);
    }
    return {
      description: { variant: capture.variant, layout: capture.layout },
      maps: Object.entries(capture.descriptors).map(([name, fd]) => ({ name, fd: fd as number })),
      measure: () => measure(capture.programs, capture.variant),
      detach() {
        for (const attachment of attachments) attachment.detach();
      },
    };
  };

const refusalOf = (error: { message: string; detail: string }): Refusal => {
  const [what, ...fix] = error.message.split(': ');
  return new Refusal(`${what}.`, [fix.join(': '), error.detail.trim()].filter((part) => part !== '').join('\n  '));
};
