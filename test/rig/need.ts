/**
 * Tests that need more than Node: `when(describe, 'root', 'cgroup2', 'nginx')('nginx', ...)`. What is missing is printed
 * once for each place, with what to do, and the tests count as skipped.
 */
import { accessSync, constants, existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { unifiedMount } from './cgroup.ts';

const ROOT = join(import.meta.dirname, '../..');

/** 'root', 'cgroup2', 'netns', 'bpf' (the built kernel programs), 'ipv6', or the name of a program. */
export type Need = string;

/** Path of a program, also of those in sbin that users do not have in their PATH; null when it is not installed. */
export function findProgram(name: string): string | null {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/go/bin']) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

function reason(need: Need): string | null {
  const isRoot = process.getuid?.() === 0;
  switch (need) {
    case 'root':
      return isRoot ? null : 'needs root: run the tests with sudo';
    case 'cgroup2':
      return unifiedMount() !== null ? null : 'needs cgroup v2: mount -t cgroup2 none /sys/fs/cgroup';
    case 'netns':
      return isRoot && existsSync('/proc/self/ns/net') ? null : 'needs root and network namespaces';
    case 'bpf': {
      const folder = join(ROOT, 'bpf/build');
      const built = existsSync(folder) && readdirSync(folder).some((name) => name.endsWith('.bpf.o'));
      return built ? null : 'needs the kernel programs: run tools/bpf/build';
    }
    case 'ipv6':
      return existsSync('/proc/net/if_inet6') ? null : 'needs IPv6';
    default:
      return findProgram(need) !== null ? null : `needs ${need}: run tools/setup test as root`;
  }
}

/** Why the test cannot run here; null when it can. */
export function missing(...needs: Need[]): string | null {
  const reasons = needs.map(reason).filter((text) => text !== null);
  return reasons.length === 0 ? null : reasons.join('; ');
}

/** vitest's `describe` or `it`, skipped loudly when something is missing. */
export function when<R>(api: { skipIf(condition: boolean): R }, ...needs: Need[]): R {
  const why = missing(...needs);
  if (why !== null) console.warn(`SKIPPED: ${why}`);
  return api.skipIf(why !== null);
}
