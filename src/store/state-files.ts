/** The files of states in a data folder: minutes of each segment, and what was merged of them. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROLLUP, type RollupLevel, rollupOf } from './layout.ts';
import { ParquetFile, type Words } from './parquet/read.ts';
import { list, STATES_FILE } from './seal.ts';

/** One state as it lies in a file; `state` shares memory with others. */
export interface StateRow {
  /** Unix ms. */
  readonly startMs: number;
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  readonly kind: string;
  readonly state: Buffer;
}

/** A segment and its file of states. */
export interface SegmentStates {
  readonly segment: number;
  readonly states: string;
}

/** A folder of merged states. */
export interface Rollup {
  readonly folder: string;
  /** Unix ms. */
  readonly startMs: number;
  /** Number of the last segment that is in it. */
  readonly through: number;
}

const TEXTS = ['service', 'side', 'method', 'route', 'kind'] as const;

/** What a file holds, by columns: of the minutes of a segment a report wants a few, and a row is made when it is asked for. */
class StateTable {
  readonly #starts: readonly number[];
  readonly #words: readonly Words[];
  readonly #states: readonly Buffer[];

  private constructor(starts: readonly number[], words: readonly Words[], states: readonly Buffer[]) {
    this.#starts = starts;
    this.#words = words;
    this.#states = states;
  }

  /** null: the file is damaged or gone. */
  static of(path: string): StateTable | null {
    const file = ParquetFile.read(path);
    const starts = file?.numbers('start') ?? null;
    const states = file?.bytes('state') ?? null;
    const words = TEXTS.map((name) => file?.words(name) ?? null);
    if (starts === null || states === null || words.includes(null)) return null;
    return new StateTable(starts, words as Words[], states);
  }

  /** Of the states. */
  get bytes(): number {
    return this.#states.reduce((sum, { length }) => sum + length, 0);
  }

  /** Rows whose start lies in [fromMs, toMs). */
  rows(fromMs: number, toMs: number): StateRow[] {
    const rows: StateRow[] = [];
    for (const [i, startMs] of this.#starts.entries()) {
      if (startMs < fromMs || startMs >= toMs) continue;
      const [service, side, method, route, kind] = this.#words.map(({ texts, of }) => texts[of[i]!]!) as [
        string,
        string,
        string,
        string,
        string,
      ];
      rows.push({ startMs, service, side, method, route, kind, state: this.#states[i]! });
    }
    return rows;
  }
}

export class StateFiles {
  readonly #data: string;
  /** Files that turned out to be damaged. */
  readonly #damaged: Set<string>;
  /** Stretches that each file has starts in: they never change. None: it cannot be read. */
  readonly #spans = new Map<string, readonly (readonly [number, number])[]>();
  /** Files that were asked for last, oldest first, and what they take. */
  readonly #read = new Map<string, { readonly table: StateTable; readonly bytes: number }>();
  #readBytes = 0;

  constructor(data: string, damaged: Set<string>) {
    this.#data = data;
    this.#damaged = damaged;
  }

  /**
   * Unix ms of the first and last minute in a file of states; several pairs when days lie between: a clock was set, and nobody
   * should look through the years from 1970 on. Empty: nothing in it can be read.
   */
  spans(path: string): readonly (readonly [number, number])[] {
    let spans = this.#spans.get(path);
    if (spans === undefined) {
      const file = ParquetFile.open(path);
      if (file === null && existsSync(path)) this.#damaged.add(path);
      const bounds = file?.bounds('start') ?? null;
      if (bounds === null) spans = [];
      else spans = bounds[1] - bounds[0] <= GAP_MS ? [bounds] : clusters(file?.numbers('start') ?? []);
      if (this.#spans.size >= SPANS_KEPT) this.#spans.clear();
      this.#spans.set(path, spans);
    }
    return spans;
  }

  /** Rows of a file whose start lies in [fromMs, toMs); none when it is damaged, which is remembered. */
  rows(path: string, fromMs: number, toMs: number): readonly StateRow[] {
    if (!this.spans(path).some(([first, last]) => first < toMs && last >= fromMs)) return [];
    return this.#tableOf(path)?.rows(fromMs, toMs) ?? [];
  }

  /** Rows of a roll-up; null: it is damaged (which is remembered) or gone. */
  rolled({ folder }: Rollup): readonly StateRow[] | null {
    return this.#tableOf(join(folder, STATES_FILE))?.rows(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY) ?? null;
  }

  #tableOf(path: string): StateTable | null {
    const known = this.#read.get(path);
    if (known !== undefined) {
      this.#read.delete(path);
      this.#read.set(path, known);
      return known.table;
    }
    if (this.#damaged.has(path)) return null;
    const table = StateTable.of(path);
    if (table === null) {
      if (existsSync(path)) this.#damaged.add(path);
      return null;
    }
    const { bytes } = table;
    this.#read.set(path, { table, bytes });
    this.#readBytes += bytes;
    for (const [oldest, { bytes }] of this.#read) {
      if (this.#readBytes <= ROWS_BYTES_MAX || oldest === path) break;
      this.#read.delete(oldest);
      this.#readBytes -= bytes;
    }
    return table;
  }

  /** What was merged of each stretch of a level, by its start; the most complete one. */
  rollups(level: RollupLevel): Map<number, Rollup> {
    const found = new Map<number, Rollup>();
    for (const name of list(join(this.#data, ROLLUP, level.name))) {
      const parsed = rollupOf(name);
      if (parsed === null || parsed.startMs % level.ms !== 0) continue;
      // Its file was damaged and is set aside: it is made again.
      if (!existsSync(join(this.#data, ROLLUP, level.name, name, STATES_FILE))) continue;
      const known = found.get(parsed.startMs);
      if (known === undefined || known.through < parsed.through)
        found.set(parsed.startMs, { folder: join(this.#data, ROLLUP, level.name, name), ...parsed });
    }
    return found;
  }

  /** Gives the rows back that are kept: the parts of a report ask for the same ones. */
  forget(): void {
    this.#read.clear();
    this.#readBytes = 0;
  }
}
/** Of states, while somebody asks: the minutes of a segment or three, and some hours. */
const ROWS_BYTES_MAX = 16 << 20;
const SPANS_KEPT = 65_536;
const GAP_MS = 86_400_000;

function clusters(starts: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  for (const start of starts.toSorted((a, b) => a - b)) {
    const last = found.at(-1);
    if (last !== undefined && start - last[1] <= GAP_MS) last[1] = start;
    else found.push([start, start]);
  }
  return found;
}
