/** When calls began and ended, from the footers of their files; where these are not enough, from their columns. No database. */
import { existsSync } from 'node:fs';
import { ParquetFile } from './parquet/read.ts';

/** Files that are remembered: they never change. */
const KNOWN_MAX = 65_536;

interface Times {
  /** Unix time in ns; null: no call in the file has a time. */
  readonly starts: readonly [first: bigint, last: bigint] | null;
  /** Nothing in the file ends later, ns. */
  readonly endMost: bigint;
  /** When the last of its calls ended, ns; null: nobody asked. */
  end: bigint | null;
}

export class CallTimes {
  readonly #known = new Map<string, Times>();
  /** Files that turned out to be damaged. */
  readonly #damaged: Set<string>;

  constructor(damaged: Set<string>) {
    this.#damaged = damaged;
  }

  /** Unix ms of the first byte of the first call, and of the last byte that any call has; null: no call has a time. */
  extent(paths: readonly string[]): { readonly firstMs: number; readonly endMs: number } | null {
    let first: bigint | null = null;
    const ends: { path: string; times: Times }[] = [];
    for (const path of paths) {
      const times = this.#timesOf(path);
      if (times.starts === null) continue;
      if (first === null || times.starts[0] < first) first = times.starts[0];
      ends.push({ path, times });
    }
    if (first === null) return null;
    let end = first;
    // The latest first: a file is read only while something in it may end after what is found.
    for (const { path, times } of ends.sort((a, b) => (a.times.endMost < b.times.endMost ? 1 : -1))) {
      if (times.endMost <= end) break;
      times.end ??= this.#endOf(path, times);
      if (times.end > end) end = times.end;
    }
    return { firstMs: msOf(first), endMs: msOf(end) };
  }

  #timesOf(path: string): Times {
    let times = this.#known.get(path);
    if (times !== undefined) return times;
    const file = ParquetFile.open(path);
    if (file === null && existsSync(path)) this.#damaged.add(path);
    const starts = file?.wideBounds('ts') ?? null;
    const longest = file?.wideBounds('last_response_ns')?.[1] ?? 0n;
    times = { starts, endMost: starts === null ? 0n : starts[1] + (longest > 0n ? longest : 0n), end: null };
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(path, times);
    return times;
  }

  #endOf(path: string, { starts }: Times): bigint {
    const [first, last] = starts!;
    const file = ParquetFile.open(path);
    const from = file?.optionalNumbers('ts', first) ?? null;
    const after = file?.optionalNumbers('last_response_ns', 0n) ?? null;
    if (from === null || after === null) {
      if (existsSync(path)) this.#damaged.add(path);
      return last;
    }
    let end = 0;
    for (let i = 0; i < from.length; i++) {
      const lasted = after[i]!;
      const ended = lasted > 0 ? from[i]! + lasted : from[i]!;
      if (ended > end) end = ended;
    }
    return first + BigInt(end);
  }
}

const NS_PER_MS = 1e6;
const msOf = (ns: bigint): number => Number(ns) / NS_PER_MS;
