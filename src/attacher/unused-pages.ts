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
const MAPS_BYTES_MAX = 8 << 20;
/** Growth of the process since pages were last given back, from which on it is worth some milliseconds to do so again. */
export const GROWN_BYTES = 12 << 20;

/** A private mapping of a file that is not writable, by its line. */
const maybeFileOnly = ([, , , access, inode]: RegExpExecArray): boolean => /^r-[x-]p$/.test(access!) && inode !== '0';

/**
 * Mappings in the lines of /proc/PID/smaps (proc(5)) whose pages are all their file's own: private, of a file, not writable, and without a page that
 * was changed before it became so (relocations).
 */
export function fileOnlyMappings(smaps: Iterable<string>): Mapping[] {
  const found: Mapping[] = [];
  let current: Mapping | null = null;
  for (const line of smaps) {
    const head = HEAD.exec(line);
    if (head !== null) {
      const [, from, to] = head;
      const start = BigInt(`0x${from}`);
      current = maybeFileOnly(head) ? { line, from: start, bytes: BigInt(`0x${to}`) - start } : null;
    } else if (current !== null && line.startsWith('Anonymous:')) {
      if (/^Anonymous:\s+0 kB$/.test(line)) found.push(current);
      current = null;
    }
  }
  return found;
}

/** Lines in the text of /proc/PID/maps that may be such mappings. */
export function candidates(maps: string): Set<string> {
  const fits = (line: string): boolean => {
    const head = HEAD.exec(line);
    return head !== null && maybeFileOnly(head);
  };
  return new Set(maps.split('\n').filter(fits));
}

/** Gives back what the process does not use at the moment, and what malloc holds free. A kernel that does not tell of mappings leaves them as they are. */
export class UnusedPages {
  readonly #host: HostFiles;
  /** Resident set when pages were last given back, or the smallest since. */
  #least = Number.POSITIVE_INFINITY;
  #known: ReadonlySet<string> = new Set();
  #mappings: readonly Mapping[] = [];

  constructor(host: HostFiles) {
    this.#host = host;
  }

  /** Gives back when the process has grown: an idle one never does it. */
  look(rss = process.memoryUsage.rss()): void {
    if (rss >= this.#least + GROWN_BYTES) this.giveBack();
    else this.#least = Math.min(this.#least, rss);
  }

  /** The first time, and when a library was loaded since: some tens of milliseconds. Else some: the list of mappings alone is read again. */
  giveBack(): void {
    trimHeap();
    const maps = this.#host.read('/proc/self/maps', MAPS_BYTES_MAX);
    if (maps === null) return;
    const lines = candidates(maps);
    if (![...lines].every((line) => this.#known.has(line))) {
      this.#known = lines;
      this.#mappings = fileOnlyMappings(this.#host.lines('/proc/self/smaps', MAPS_BYTES_MAX));
    }
    // What lies at an address now may be something else than it was.
    for (const { line, from, bytes } of this.#mappings) if (lines.has(line)) adviseUnused(from, bytes);
    this.#least = process.memoryUsage.rss();
  }
}
