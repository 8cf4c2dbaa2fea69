/** Cgroup id -> path. The id that the kernel programs report is the inode number of the cgroup's folder. */
import type { HostFiles } from './host.ts';

/** Cgroups remembered; a walk stops there. */
const CGROUPS_MAX = 16_384;
/** A miss looks again, but not more often than this. */
const WALK_INTERVAL_MS = 1_000;

export class CgroupPaths {
  readonly #host: HostFiles;
  readonly #mount: string;
  #paths = new Map<number, string>();
  #walkedAt = Number.NEGATIVE_INFINITY;

  /** @param mount where the unified hierarchy is mounted. */
  constructor(host: HostFiles, mount: string) {
    this.#host = host;
    this.#mount = mount;
  }

  /**
   * Path below the mount, or "" when it is not known (yet, or not visible from here). A removed cgroup keeps its path
   * until the next walk.
   *
   * @param nowMs any monotonic clock, milliseconds.
   */
  path(id: number, nowMs: number): string {
    const known = this.#paths.get(id);
    if (known !== undefined || id === 0) return known ?? '';
    if (nowMs - this.#walkedAt < WALK_INTERVAL_MS) return '';
    this.#walkedAt = nowMs;
    this.#walk();
    return this.#paths.get(id) ?? '';
  }

  #walk(): void {
    const found = new Map<number, string>();
    const waiting = ['/'];
    for (let i = 0; i < waiting.length && found.size < CGROUPS_MAX; i++) {
      const path = waiting[i]!;
      const folder = path === '/' ? this.#mount : this.#mount + path;
      const id = this.#host.inode(folder);
      if (id > 0) found.set(id, path);
      for (const name of this.#host.folders(folder)) waiting.push(path === '/' ? `/${name}` : `${path}/${name}`);
    }
    this.#paths = found;
  }
}
