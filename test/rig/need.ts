/**
 * Tests that need more than Node: `when(describe, 'root', 'cgroup2', 'nginx')('nginx', ...)`. What is missing is printed
 * once for each place, with what to do, and the tests count as skipped.
 */
import { execFileSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { unifiedMount } from './cgroup.ts';

const ROOT = join(import.meta.dirname, '../..');

/** 'root', 'cgroup2', 'netns', 'bpf' (the built kernel programs), 'ipv6', 'readable' (by any user), 'go1.24', or the name of a program. */
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

/** Root's home is closed to others on Debian, and so is a clone below it. */
function isReadableByAll(file: string): boolean {
  const mayAll = (path: string, mode: number): boolean => (statSync(path).mode & mode) === mode;
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if (!mayAll(folder, 0o001)) return false;
    if (folder === dirname(folder)) return mayAll(file, 0o005);
  }
}

/** "go version go1.19.8 linux/amd64" */
function goMinor(): number {
  const go = findProgram('go');
  return go === null ? 0 : Number(/ go1\.(\d+)/.exec(execFileSync(go, ['version'], { encoding: 'latin1' }))?.[1] ?? 0);
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
    case 'readable':
      return isReadableByAll(join(ROOT, 'bin/headwater'))
        ? null
        : `needs a clone that other users can read: ${ROOT} is closed to them`;
    case 'go1.24':
      return goMinor() >= 24 ? null : 'needs Go 1.24 or newer (HTTP/2 in clear in net/http)';
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
