import { defaultConfig } from '../../config/defaults.ts';
import type { Config } from '../../config/schema.ts';
import type { ReplayFlags } from '../flags.ts';

/** `headwater replay FILE...`. */
export async function replay(files: readonly string[], flags: ReplayFlags): Promise<number> {
  const config = await configOf(flags);
  const { replayCommand } = await import('../../agent/replay.ts');
  return await replayCommand(files, {
    config,
    format: flags.format,
    redact: flags.redact,
    stats: flags.stats === true,
    keylog: flags.keylog ?? null,
  });
}

/** What reads configurations and filters is loaded where there is one: of a small file the start is most of the cost. */
async function configOf({ config, filter }: ReplayFlags): Promise<Config> {
  if (config === undefined && filter === undefined) return defaultConfig();
  const { settings } = await import('./settings.ts');
  return settings(config, filter === undefined ? {} : { filter });
}
