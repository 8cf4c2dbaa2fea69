/** What one check says. */

/** `blocks`: Headwater cannot run here until it is fixed. `warn`: it runs, and something is missing or weaker. */
export type Level = 'ok' | 'warn' | 'blocks';

/** Commands, one line each, for each family of distributions. */
export interface Fixes {
  readonly debian: string;
  readonly fedora: string;
  readonly alpine: string;
}

export type Distribution = keyof Fixes;

export interface Finding {
  /** Stable name of the check. */
  readonly check: string;
  readonly level: Level;
  /** What was found, one line. */
  readonly found: string;
  /** What it means for Headwater; "" when the finding says it. */
  readonly meaning: string;
  /** Exact commands; null when nothing is to do, or no command does it (then `meaning` says what does). */
  readonly fix: Fixes | null;
}

/** The same command everywhere. */
export const everywhere = (command: string): Fixes => ({ debian: command, fedora: command, alpine: command });

/** One package of each distribution. */
export const packages = (debian: string, fedora: string, alpine: string): Fixes => ({
  debian: `apt-get install -y ${debian}`,
  fedora: `dnf install -y ${fedora}`,
  alpine: `apk add ${alpine}`,
});

export const ok = (check: string, found: string, meaning = ''): Finding => ({
  check,
  level: 'ok',
  found,
  meaning,
  fix: null,
});
export const warn = (check: string, found: string, meaning: string, fix: Fixes | null): Finding => ({
  check,
  level: 'warn',
  found,
  meaning,
  fix,
});
export const blocks = (check: string, found: string, meaning: string, fix: Fixes | null): Finding => ({
  check,
  level: 'blocks',
  found,
  meaning,
  fix,
});

const FAMILIES: Readonly<Record<string, Distribution>> = {
  debian: 'debian',
  ubuntu: 'debian',
  fedora: 'fedora',
  rhel: 'fedora',
  centos: 'fedora',
  amzn: 'fedora',
  alpine: 'alpine',
};

/** The family, from the text of /etc/os-release (os-release(5)); null when it is none of the three. */
export const distributionOf = (osRelease: string): Distribution | null => {
  const value = (key: string): string => new RegExp(`^${key}=["']?([^"'\\n]*)`, 'm').exec(osRelease)?.[1] ?? '';
  for (const id of [value('ID'), ...value('ID_LIKE').split(' ')]) {
    const family = FAMILIES[id];
    if (family !== undefined) return family;
  }
  return null;
};
