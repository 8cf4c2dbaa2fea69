import type { ReplayFlags } from '../program.ts';
import { settings } from './settings.ts';

/** `headwater replay FILE...`. */
export async function replay(files: readonly string[], flags: ReplayFlags): Promise<number> {
  const config = settings(flags.config, flags.filter === undefined ? {} : { filter: flags.filter });
  const { replayCommand } = await import('../../agent/replay.ts');
  return await replayCommand(files, {
    config,
    format: flags.format,
    redact: flags.redact,
    stats: flags.stats === true,
    keylog: flags.keylog ?? null,
  });
}
