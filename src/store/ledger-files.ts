/** The ledger files of a data folder: what was counted and lost in each second, without a database. */
import { existsSync } from 'node:fs';
import { ParquetFile } from './parquet/read.ts';

/** Files that are remembered: they never change. */
const KNOWN_MAX = 65_536;
const MS_PER_S = 1_000;

interface Summary {
  /** Unix ms of the first and the last second in the file. */
  readonly seconds: readonly [number, number] | null;
  /** Of the seconds in which calls were counted. */
  readonly counted: readonly [number, number] | null;
  /** What the whole file has of each reason. */
  readonly lost: ReadonlyMap<string, number>;
}

interface Row {
  readonly second: number;
  readonly captured: number;
  readonly reason: string;
  readonly lost: number;
}

export class LedgerFiles {
  readonly #known = new Map<string, Summary>();
  readonly #damaged: Set<string>;

  constructor(damaged: Set<string>) {
    this.#damaged = damaged;
  }

  /** Count of each reason over the seconds from `fromMs` to `toMs`, both included. */
  losses(paths: readonly string[], fromMs: number, toMs: number): Map<string, number> {
    const sums = new Map<string, number>();
    const add = (reason: string, lost: number): void => {
      if (lost > 0) sums.set(reason, (sums.get(reason) ?? 0) + lost);
    };
    for (const path of paths) {
      const { seconds, lost } = this.#summary(path);
      if (seconds === null || lost.size === 0 || seconds[0] > toMs || seconds[1] < fromMs) continue;
      if (seconds[0] >= fromMs && seconds[1] <= toMs) for (const [reason, n] of lost) add(reason, n);
      else
        for (const row of this.#rows(path)) if (row.second >= fromMs && row.second <= toMs) add(row.reason, row.lost);
    }
    return sums;
  }

  /** Unix ms of the first second in which calls were counted, and of the end of the last; null: there is none. */
  extent(paths: readonly string[]): { readonly firstMs: number; readonly endMs: number } | null {
    const counted = paths.flatMap((path) => this.#summary(path).counted ?? []);
    if (counted.length === 0) return null;
    return {
      firstMs: counted.reduce((a, b) => Math.min(a, b)),
      endMs: counted.reduce((a, b) => Math.max(a, b)) + MS_PER_S,
    };
  }

  #summary(path: string): Summary {
    let summary = this.#known.get(path);
    if (summary !== undefined) return summary;
    const rows = this.#rows(path);
    const lost = new Map<string, number>();
    for (const row of rows) if (row.lost > 0) lost.set(row.reason, (lost.get(row.reason) ?? 0) + row.lost);
    const ends = (some: readonly Row[]): [number, number] | null =>
      some.length === 0
        ? null
        : [
            some.reduce((a, b) => (a.second < b.second ? a : b)).second,
            some.reduce((a, b) => (a.second > b.second ? a : b)).second,
          ];
    summary = { seconds: ends(rows), counted: ends(rows.filter(({ captured }) => captured > 0)), lost };
    if (this.#known.size >= KNOWN_MAX) this.#known.clear();
    this.#known.set(path, summary);
    return summary;
  }

  #rows(path: string): Row[] {
    const file = ParquetFile.open(path);
    const seconds = file?.numbers('second') ?? null;
    const captured = file?.numbers('captured') ?? null;
    const lost = file?.numbers('lost') ?? null;
    const reasons = file?.bytes('reason') ?? null;
    if (seconds === null || captured === null || lost === null || reasons === null) {
      if (existsSync(path)) this.#damaged.add(path);
      return [];
    }
    return seconds.map((second, i) => ({
      second,
      captured: captured[i]!,
      reason: reasons[i]!.toString(),
      lost: lost[i]!,
    }));
  }
}
