/** Which cgroups are observed: finds the unified hierarchy and checks what the user named. */
import { realpathSync } from 'node:fs';
import type { HostFiles } from './host.ts';
import { Refusal } from './refusal.ts';

/** CGROUP2_SUPER_MAGIC of linux/magic.h. */
export const CGROUP2_MAGIC = 0x63677270;
/** cgroups that one agent attaches to. */
export const SCOPE_CGROUPS_MAX = 64;

export interface CgroupMount {
  /** Where the unified hierarchy is mounted: /sys/fs/cgroup, or /sys/fs/cgroup/unified on hybrid hosts. */
  readonly mount: string;
  /** Version 1 controllers are mounted beside it. */
  readonly hybrid: boolean;
}

export interface ScopeCgroup {
  /** Absolute folder. */
  readonly folder: string;
  /** Path below the mount, "/" for the whole hierarchy. */
  readonly path: string;
  /** Inode number of the folder: what bpf_get_current_cgroup_id and skb_cgroup_id call it. */
  readonly id: number;
}

export interface Scope {
  readonly mount: string;
  readonly cgroups: readonly ScopeCgroup[];
  /** Named by the user but inside another of them: attaching twice would count everything twice. */
  readonly covered: readonly string[];
}

/** mountinfo writes space, tab, newline and backslash as octal (proc(5)). */
const unescapeMount = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Finds the mount in the text of /proc/self/mountinfo; null when cgroup v2 is not mounted. */
export const findCgroupMount = (mountinfo: string): CgroupMount | null => {
  const found: { readonly mount: string; readonly whole: boolean }[] = [];
  let hybrid = false;
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    const type = after?.split(' ')[0];
    if (type === 'cgroup') hybrid = true;
    if (type !== 'cgroup2') continue;
    const [, , , root, mount] = before!.split(' ');
    if (mount !== undefined) found.push({ mount: unescapeMount(mount), whole: root === '/' });
  }
  // The whole hierarchy before a part of it (a bind mount, a container), the usual place before others.
  const rank = ({ mount, whole }: (typeof found)[number]): number =>
    (whole ? 0 : 1e6) + (mount.startsWith('/sys/fs/cgroup') ? 0 : 1e5) + mount.length;
  const best = found.sort((a, b) => rank(a) - rank(b))[0];
  return best === undefined ? null : { mount: best.mount, hybrid };
};

const isInside = (folder: string, other: string): boolean =>
  folder !== other && folder.startsWith(other === '/' ? '/' : `${other}/`);

/** @param named folders given with --cgroup; none: the whole unified hierarchy. */
export const resolveScope = (host: HostFiles, named: readonly string[]): Scope | Refusal => {
  const mounted = findCgroupMount(host.read('/proc/self/mountinfo') ?? '');
  if (mounted === null) {
    return new Refusal(
      'Cannot find a cgroup v2 hierarchy: /proc/self/mountinfo names none.',
      'Mount one: mkdir -p /sys/fs/cgroup/unified && mount -t cgroup2 none /sys/fs/cgroup/unified (or boot with systemd.unified_cgroup_hierarchy=1).',
    );
  }
  const { mount } = mounted;
  if (named.length > SCOPE_CGROUPS_MAX) {
    return new Refusal(
      `Cannot observe ${named.length} cgroups: at most ${SCOPE_CGROUPS_MAX}.`,
      'Name a cgroup above them instead.',
    );
  }
  const folders: string[] = [];
  for (const name of named.length === 0 ? [mount] : named) {
    const folder = checkCgroup(host, mount, name);
    if (folder instanceof Refusal) return folder;
    if (!folders.includes(folder)) folders.push(folder);
  }
  const outer = folders.filter((folder) => !folders.some((other) => isInside(folder, other)));
  return {
    mount,
    cgroups: outer.map((folder) => ({ folder, path: folder.slice(mount.length) || '/', id: host.inode(folder) })),
    covered: folders.filter((folder) => !outer.includes(folder)),
  };
};

const checkCgroup = (host: HostFiles, mount: string, name: string): string | Refusal => {
  let folder: string;
  try {
    folder = realpathSync(host.real(name)).slice(host.real('').length);
  } catch (error) {
    const inside = `${mount}${name.startsWith('/') ? '' : '/'}${name}`;
    return new Refusal(
      `Cannot observe cgroup ${name}: ${(error as NodeJS.ErrnoException).code === 'EACCES' ? 'permission denied' : 'no such folder'}.`,
      host.isFolder(inside)
        ? `Did you mean --cgroup ${inside}?`
        : `Name a folder below ${mount}; PID's own is ${mount}$(sed -n 's/^0:://p' /proc/PID/cgroup).`,
    );
  }
  if (!host.isFolder(folder))
    return new Refusal(`Cannot observe cgroup ${name}: not a folder.`, `Name a folder below ${mount}.`);
  if (host.fileSystem(folder) !== CGROUP2_MAGIC) {
    return new Refusal(
      `Cannot observe cgroup ${name}: it is not in a cgroup v2 hierarchy.`,
      `Name a folder below ${mount}, where the unified hierarchy is mounted.`,
    );
  }
  if (folder !== mount && !isInside(folder, mount)) {
    return new Refusal(
      `Cannot observe cgroup ${name}: it is in another mount of the hierarchy.`,
      `Name the same cgroup below ${mount}.`,
    );
  }
  return folder;
};
