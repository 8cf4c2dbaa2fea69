/** Precedence: flags > file > defaults. */
import type { Config } from './schema.ts';

/** What the flags of `run` can say; a flag that was not given is absent. */
export interface ConfigFlags {
  readonly cgroups?: readonly string[];
  readonly log?: string;
  readonly filter?: string;
  readonly listen?: string;
  readonly socket?: string;
  readonly statsOnly?: boolean;
  /** Nanoseconds. */
  readonly window?: number;
  readonly data?: string;
  readonly verifyTags?: boolean;
  /** false: --no-store. */
  readonly store?: boolean;
}

/** `config` with everything that a flag says; does not change its argument. */
export function overlayFlags(config: Config, flags: ConfigFlags): Config {
  return {
    ...config,
    ...(flags.cgroups !== undefined && { cgroups: [...flags.cgroups] }),
    ...(flags.log !== undefined && { log: { ...config.log, file: flags.log } }),
    ...(flags.filter !== undefined && { filter: flags.filter }),
    ...(flags.listen !== undefined && { listen: flags.listen }),
    ...(flags.socket !== undefined && { socket: flags.socket }),
    ...(flags.statsOnly !== undefined && { stats_only: flags.statsOnly }),
    ...(flags.window !== undefined && { window: flags.window }),
    ...(flags.verifyTags !== undefined && { tls: { ...config.tls, verify_tags: flags.verifyTags } }),
    ...((flags.data !== undefined || flags.store === false) && {
      store: {
        ...config.store,
        ...(flags.data !== undefined && { folder: flags.data, enabled: true }),
        ...(flags.store === false && { enabled: false }),
      },
    }),
  };
}
