/** `headwater doctor`: can this machine run Headwater? Each check with what it means and what to do. */
import { EXIT } from '../../base/failure.ts';
import { lookOf } from '../text/terminal.ts';
import { distributionOf, type Finding } from './finding.ts';
import { KERNEL_CHECKS } from './kernel.ts';
import { type Machine, thisMachine } from './machine.ts';
import { PERMISSION_CHECKS } from './permissions.ts';
import { renderPage, type Section, verdict } from './render.ts';
import { selfProbe } from './self-probe.ts';
import { BUILD_CHECKS, RUN_CHECKS } from './tools.ts';

/** Every check but the self-probe: looks, changes nothing. */
export const examine = (machine: Machine): Section[] =>
  (
    [
      ['Kernel', KERNEL_CHECKS],
      ['Permissions', PERMISSION_CHECKS],
      ['To run', RUN_CHECKS],
      ['To build and to learn', BUILD_CHECKS],
    ] as const
  ).map(([title, checks]) => ({ title, findings: checks.map((check) => check(machine)) }));

const blocking = (findings: readonly Finding[]): boolean => findings.some((finding) => finding.level === 'blocks');

/** Prints the page (or JSON). Resolves to the exit code: 1 when something blocks. */
export async function doctorCommand({ json }: { readonly json?: true }): Promise<number> {
  const machine = await thisMachine();
  const sections = examine(machine);
  const probe = await selfProbe(machine, blocking(sections.flatMap((section) => section.findings)));
  sections.push({ title: 'Proof', findings: [probe] });
  const findings = sections.flatMap((section) => section.findings);
  const distribution = distributionOf(machine.host.read('/etc/os-release') ?? '');
  const page =
    json === true
      ? `${JSON.stringify({ can_run: !blocking(findings), verdict: verdict(findings), distribution, checks: findings }, null, 2)}\n`
      : renderPage(sections, distribution, lookOf(process.stdout, process.env));
  process.stdout.write(page);
  return blocking(findings) ? EXIT.BAD_ANSWER : EXIT.DONE;
}
