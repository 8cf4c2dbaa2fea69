import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { disown, own, pauseMs } from './registry.ts';

/** Where cgroup v2 is mounted: /sys/fs/cgroup, or below it on hybrid hosts; null when it is not. */
export function unifiedMount(): string | null {
  for (const line of readFileSync('/proc/self/mountinfo', 'utf8').split('\n')) {
    const [before, after] = line.split(' - ');
    if (after?.startsWith('cgroup2 ') === true) return before!.split(' ')[4]!;
  }
  return null;
}

let made = 0;

/** A cgroup of our own below the unified mount. Leaving the scope ends every process in it. */
export class Cgroup implements AsyncDisposable {
  /** Absolute. */
  readonly path: string;
  /** As Headwater shows it: below the mount, with a leading slash. */
  readonly name: string;

  constructor(label = 'test') {
    const mount = unifiedMount();
    if (mount === null) throw new Error('Cannot make a cgroup: cgroup v2 is not mounted');
    this.name = `/headwater-${label}-${process.pid}-${++made}`;
    this.path = join(mount, this.name);
    mkdirSync(this.path);
    own(this, () => this.#removeNow());
  }

  /** Inode of the directory, which is the cgroup's id in the kernel. */
  get id(): number {
    return statSync(this.path).ino;
  }

  /** A cgroup below this one; goes away with it. */
  child(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path);
    return path;
  }

  /** Every process in it and below. */
  pids(): number[] {
    return this.#tree().flatMap((path) =>
      readFileSync(join(path, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number),
    );
  }

  /** The cgroup and those below it, deepest first. */
  #tree(path = this.path): string[] {
    if (!existsSync(path)) return [];
    const below = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...below.flatMap((entry) => this.#tree(join(path, entry.name))), path];
  }

  #kill(): void {
    // cgroup.kill: Linux 5.14 and newer.
    const kill = join(this.path, 'cgroup.kill');
    if (existsSync(kill)) writeFileSync(kill, '1');
    else for (const pid of this.pids()) process.kill(pid, 'SIGKILL');
  }

  #tryRemove(): boolean {
    if (!existsSync(this.path)) return true;
    this.#kill();
    try {
      for (const path of this.#tree()) rmdirSync(path);
      return true;
    } catch (error) {
      // Processes take a moment to die.
      if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
      throw error;
    }
  }

  #removeNow(): void {
    for (let i = 0; i < 200 && !this.#tryRemove(); i++) pauseMs(10);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let i = 0; !this.#tryRemove(); i++) {
      if (i === 500) throw new Error(`Cannot remove ${this.path}: processes ${this.pids().join(', ')} do not end`);
      await sleep(10);
    }
    disown(this);
  }
}
