import { EXIT, fail } from '../../base/failure.ts';
import type { ExportFlags } from '../flags.ts';

/** `headwater export`: past calls, or packets from now on. */
export async function exportCommand(flags: ExportFlags): Promise<number> {
  if (flags.pcapng !== undefined) {
    const { exportPackets } = await import('./export-packets.ts');
    return exportPackets(flags.pcapng, flags);
  }
  for (const [option, given] of [
    ['--seconds', flags.seconds],
    ['--with-secrets', flags.withSecrets],
  ] as const)
    if (given !== undefined)
      fail(EXIT.USAGE, `${option} is about packets: it needs --pcapng FILE`, 'calls come from the store: --data DIR');
  const { exportCalls } = await import('./export-calls.ts');
  return exportCalls(flags);
}
