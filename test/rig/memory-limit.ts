/** A memory cgroup of our own, v2 or v1: what moves in pays for what it allocates from then on, and is killed beyond the limit. */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { unifiedMount } from './cgroup.ts';
import { disown, own } from './registry.ts';

let made = 0;

/** Where memory is limited, and by which file; null where it cannot be. */
function controller(): { readonly mount: string; readonly limit: string; readonly events: string } | null {
  const unified = unifiedMount();
  if (unified !== null && / memory\b/.test(` ${readFileSync(join(unified, 'cgroup.subtree_control'), 'utf8')}`))
    return { mount: unified, limit: 'memory.max', events: 'memory.events' };
  const v1 = '/sys/fs/cgroup/memory';
  return existsSync(join(v1, 'memory.limit_in_bytes'))
    ? { mount: v1, limit: 'memory.limit_in_bytes', events: 'memory.oom_control' }
    : null;
}

export const memoryCanBeLimited = (): boolean => controller() !== null;

export class MemoryLimit implements AsyncDisposable {
  readonly #path: string;
  readonly #events: string;

  constructor(bytes: number) {
    const { mount, limit, events } = controller()!;
    this.#path = join(mount, `headwater-memory-${process.pid}-${++made}`);
    this.#events = join(this.#path, events);
    mkdirSync(this.#path);
    own(this, () => rmdirSync(this.#path));
    writeFileSync(join(this.#path, limit), String(bytes));
  }

  /** All threads of a process. */
  add(pid: number): void {
    writeFileSync(join(this.#path, 'cgroup.procs'), String(pid));
  }

  /** Processes that the kernel has killed here for want of memory. */
  get kills(): number {
    return Number(/^oom_kill (\d+)/m.exec(readFileSync(this.#events, 'utf8'))?.[1] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let i = 0; ; i++) {
      try {
        rmdirSync(this.#path);
        break;
      } catch (error) {
        // The killed take a moment to leave.
        if (i === 500 || (error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
        await sleep(10);
      }
    }
    disown(this);
  }
}
