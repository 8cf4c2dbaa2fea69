/**
 * Gives back what only the start needed. Of the runtime's 110 MB of code and tables a process touches 40 while it starts, and goes on with half of them; the
 * kernel counts the rest as the process's memory until somebody else wants it. Pages of files that were never changed are in the page cache all
 * the same: unmapping them costs the next use of one a look there.
 */
import { adviseUnused, trimHeap } from '../kernel/posix.ts';
import type { HostFiles } from './host.ts';

export interface Mapping {
  /** As /proc/PID/maps has it: addresses, access, file. */
  readonly line: string;
  readonly from: bigint;
  readonly bytes: bigint;
}

const HEAD = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ (\d+)/;
const SMAPS_BYTES_MAX = 8 << 20;

/**
 * Mappings in the text of /proc/PID/smaps (proc(5)) whose pages are all their file's own: private, of a file, not writable, and without a page that
 * was changed before it became so (relocations).
 */
export function fileOnlyMappings(smaps: string): Mapping[] {
  const found: Mapping[] = [];
  let current: Mapping | null = null;
  for (const line of smaps.split('\n')) {
    const head = HEAD.exec(line);
    if (head !== null) {
      const [, from, to, access, inode] = head;
      const start = BigInt(`0x${from}`);
      const fits = /^r-[x-]p$/.test(access!) && inode !== '0';
      current = fits ? { line, from: start, bytes: BigInt(`0x${to}`) - start } : null;
    } else if (current !== null && line.startsWith('Anonymous:')) {
      if (/^Anonymous:\s+0 kB$/.test(line)) found.push(current);
      current = null;
    }
  }
  return found;
}

/** Those of `mappings` that are still there, by the text of /proc/PID/maps: what lies at an address now may be something else. */
export function stillThere(mappings: readonly Mapping[], maps: string): Mapping[] {
  const lines = new Set(maps.split('\n'));
  return mappings.filter(({ line }) => lines.has(line));
}

/** Gives back what the process does not use at the moment, and what malloc holds free. A kernel that does not tell of mappings leaves them as they are. */
export class UnusedPages {
  readonly #host: HostFiles;
  #mappings: readonly Mapping[] | null = null;

  constructor(host: HostFiles) {
    this.#host = host;
  }

  /** The first time, when the process has started: some tens of milliseconds. Then one: the list of mappings alone is read again. */
  giveBack(): void {
    trimHeap();
    const text = this.#host.read(`/proc/self/${this.#mappings === null ? 'smaps' : 'maps'}`, SMAPS_BYTES_MAX);
    if (text === null) return;
    this.#mappings = this.#mappings === null ? fileOnlyMappings(text) : stillThere(this.#mappings, text);
    for (const { from, bytes } of this.#mappings) adviseUnused(from, bytes);
  }
}
