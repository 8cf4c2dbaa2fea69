/**
 * Reads a data folder, whether or not an agent writes to it. Sealed segments are read where they lie; live ones are turned
 * into the same kind of file in a scratch folder, as they grow (live-log.ts). Logs are listed before sealed segments, so that a segment that is sealed
 * meanwhile is seen at least once, and its number keeps it from being seen twice.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { CallTimes } from './call-times.ts';
import { DATABASE_LIMITS, Database, type DatabaseLimits } from './database.ts';
import { LIVE, logName, ROLLUP_LEVELS, SEALED, segmentName, segmentOf } from './layout.ts';
import { LedgerFiles } from './ledger-files.ts';
import { LiveLog } from './live-log.ts';
import { checkVersion, versionOf } from './migrate.ts';
import { ParquetFile } from './parquet/read.ts';
import { SEQUENCE_STRIDE } from './record.ts';
import { makeScratch } from './scratch.ts';
import {
  CALLS_FILE,
  LEDGER_FILE,
  list,
  PIECES_FILE,
  SCHEMA_KEY,
  SESSIONS_FILE,
  STATES_FILE,
  sealedSegments,
  VALUES_FILE,
  writeParquet,
} from './seal.ts';
import { Segment } from './segment.ts';
import { pathsOf, type SegmentFiles } from './segment-files.ts';
import { StateFiles } from './state-files.ts';
import type { StateSources } from './states.ts';
import { callsTable, parquet } from './tables.ts';
import { VIEWS } from './views.ts';

export type ReadResult =
  | { readonly ok: true; readonly reader: StoreReader }
  | { readonly ok: false; readonly message: string; readonly hint: string };

/** Opens a data folder for reading. Nothing in it is changed. */
export async function readStore(data: string, limits: DatabaseLimits = DATABASE_LIMITS): Promise<ReadResult> {
  if (!existsSync(data)) {
    return {
      ok: false,
      message: `there is no data folder ${data}`,
      hint: 'Give the folder that `headwater run --data` wrote to.',
    };
  }
  if (versionOf(data) === 0) {
    return {
      ok: false,
      message: `${data} is no data folder of headwater`,
      hint: 'It has no store.json. Give the folder that `headwater run --data` wrote to.',
    };
  }
  const checked = checkVersion(data);
  if (!checked.ok) return checked;
  const scratch = makeScratch();
  try {
    const reader = new StoreReader(data, scratch, new Database([join(data, SEALED), scratch], limits));
    await reader.refresh();
    return { ok: true, reader };
  } catch (error) {
    rmSync(scratch, { recursive: true, force: true });
    throw error;
  }
}

const FOOTER_MS = 5_000;
const MINUTE_MS = 60_000;

export class StoreReader {
  readonly data: string;
  readonly database: Database;
  /** Oldest first; live ones last. */
  segments: readonly SegmentFiles[] = [];
  /** Files that cannot be read, and what is missing because of it. */
  readonly damaged = new Set<string>();
  readonly #stateFiles: StateFiles;
  readonly #times: CallTimes;
  readonly #ledger: LedgerFiles;
  readonly #scratch: string;
  /** Sealed segments that were looked at: they never change. */
  readonly #known = new Map<number, SegmentFiles | null>();
  readonly #live = new Map<number, LiveLog>();
  /** Looks at the folder, one after the other. */
  #looking: Promise<void> = Promise.resolve();
  /** Questions under way, and files that go when all are answered. */
  #questions = 0;
  readonly #outdated: string[] = [];
  /** Live logs that were begun to be read: each has files of its own. */
  #opened = 0;
  #empty: SegmentFiles | null = null;
  /** As they were when somebody asked first after the last look. */
  #rolled: StateSources['rolled'] | null = null;
  #views = '';

  constructor(data: string, scratch: string, database: Database) {
    this.data = data;
    this.#scratch = scratch;
    this.#stateFiles = new StateFiles(data, this.damaged);
    this.#times = new CallTimes(this.damaged);
    this.#ledger = new LedgerFiles(this.damaged);
    this.database = database;
  }

  /** Looks at the folder again: what was written since is there afterwards. */
  async refresh(): Promise<void> {
    const look = this.#looking.then(() => this.#look());
    this.#looking = look.catch(() => {});
    await look;
  }

  async #look(): Promise<void> {
    this.#rolled = null;
    const logs = list(join(this.data, LIVE))
      .filter((name) => name.endsWith('.log'))
      .map(segmentOf)
      .filter((number) => number >= 0);
    let sealed = sealedSegments(this.data);
    let gone = false;
    for (const number of logs) if (!sealed.has(number) && !(await this.#refreshLive(number))) gone = true;
    // A log that vanished was sealed meanwhile.
    if (gone) sealed = sealedSegments(this.data);
    for (const number of this.#known.keys()) if (!sealed.has(number)) this.#known.delete(number);
    const closed: SegmentFiles[] = [];
    for (const [number, path] of sealed) {
      const files = this.#sealedFiles(number, join(this.data, path));
      if (files !== null) closed.push(files);
    }
    const isSealed = new Set(closed.map(({ segment }) => segment));
    for (const number of this.#live.keys())
      if (!logs.includes(number) || isSealed.has(number)) this.#live.delete(number);
    const live = [...this.#live.values()].flatMap(({ files }) => files);
    const before = this.segments;
    this.segments = [...closed, ...live].sort((a, b) => a.from - b.from);
    this.#retire(before);
  }

  /** Leaves a file out from now on: it turned out to be damaged, or is gone (too old) since the last refresh. */
  async exclude(path: string): Promise<void> {
    if (existsSync(path)) this.damaged.add(path);
    for (const [number, files] of this.#known) if (files?.calls === path) this.#known.set(number, null);
    this.segments = this.segments.filter(({ calls }) => calls !== path);
  }

  /** What there is of statistics. */
  get states(): StateSources {
    const minutes = this.segments.flatMap(({ segment, states }) => (states === null ? [] : { segment, states }));
    this.#rolled ??= ROLLUP_LEVELS.map((level) => this.#stateFiles.rollups(level));
    return { files: this.#stateFiles, minutes, rolled: this.#rolled };
  }

  /** Unix ms of the first instant that the folder knows of, and of the end of the last; null: it is empty. */
  extent(): { readonly firstMs: number; readonly endMs: number } | null {
    const calls = this.#times.extent(this.segments.map(({ calls }) => calls));
    if (calls !== null) return calls;
    // Statistics alone are kept (stats_only): the ledger knows the second of each call, a state its minute.
    const counted = this.#ledger.extent(this.#ledgers());
    if (counted !== null) return counted;
    const { files, minutes } = this.states;
    const spans = minutes.flatMap(({ states }) => files.spans(states));
    if (spans.length === 0) return null;
    return {
      firstMs: spans.reduce((first, [from]) => Math.min(first, from), Number.POSITIVE_INFINITY),
      endMs: spans.reduce((last, [, to]) => Math.max(last, to), Number.NEGATIVE_INFINITY) + MINUTE_MS,
    };
  }

  /** What the ledger has lost over the seconds from `fromMs` to `toMs` (Unix ms), both included, by reason. */
  losses(fromMs: number, toMs: number): Map<string, number> {
    return this.#ledger.losses(this.#ledgers(), fromMs, toMs);
  }

  #ledgers(): string[] {
    return this.segments.flatMap(({ ledger }) => ledger ?? []);
  }

  close(): void {
    this.database.close();
    rmSync(this.#scratch, { recursive: true, force: true });
  }

  #sealedFiles(segment: number, folder: string): SegmentFiles | null {
    const known = this.#known.get(segment);
    if (known !== undefined) return known;
    const file = (name: string): string | null => {
      const path = join(folder, name);
      if (!existsSync(path)) return null;
      if (ParquetFile.open(path) !== null) return path;
      this.damaged.add(path);
      return null;
    };
    const calls = join(folder, CALLS_FILE);
    const footer = ParquetFile.open(calls);
    if (footer === null) this.damaged.add(calls);
    const files: SegmentFiles | null =
      footer === null
        ? null
        : {
            segment,
            from: segment * SEQUENCE_STRIDE,
            calls,
            newest: footer.wideBounds('ts')?.[1] ?? null,
            states: file(STATES_FILE),
            ledger: file(LEDGER_FILE),
            values: join(folder, VALUES_FILE),
            pieces: join(folder, PIECES_FILE),
            websockets: file(SESSIONS_FILE),
            version: footer.metadata.get(SCHEMA_KEY) === '1' ? 1 : 2,
          };
    this.#known.set(segment, files);
    return files;
  }

  /** False: the log is gone. */
  async #refreshLive(number: number): Promise<boolean> {
    const log = join(this.data, LIVE, logName(number));
    const known = this.#live.get(number);
    if (known !== undefined && (await known.refresh())) return true;
    this.#live.delete(number);
    const live = new LiveLog(number, log, join(this.#scratch, `${segmentName(number)}-${this.#opened++}`));
    if (!(await live.refresh())) return false;
    this.#live.set(number, live);
    return true;
  }

  /** Keeps the files that a question reads until it is answered, however often somebody looks again meanwhile. */
  async holding<T>(question: () => Promise<T>): Promise<T> {
    this.#questions++;
    try {
      return await question();
    } finally {
      this.#questions--;
      if (this.#questions === 0) for (const path of this.#outdated.splice(0)) rmSync(path, { force: true });
    }
  }

  /** Files of live logs that are not used any more go with the questions that read them. */
  #retire(before: readonly SegmentFiles[]): void {
    const used = new Set(this.segments.flatMap(pathsOf));
    for (const path of before.flatMap(pathsOf))
      if (path.startsWith(this.#scratch) && !used.has(path)) this.#outdated.push(path);
    if (this.#questions === 0) for (const path of this.#outdated.splice(0)) rmSync(path, { force: true });
  }

  /** Files without rows, so that the views exist before there is anything. */
  #none(): SegmentFiles {
    if (this.#empty === null) {
      const path = (name: string): string => join(this.#scratch, `none-${name}`);
      const segment = new Segment();
      writeParquet(path(CALLS_FILE), segment.calls.all, {});
      writeParquet(path(STATES_FILE), segment.states, {});
      writeParquet(path(LEDGER_FILE), segment.ledger, {});
      writeParquet(path(SESSIONS_FILE), segment.sessions, {});
      this.#empty = {
        segment: 0,
        from: 0,
        calls: path(CALLS_FILE),
        newest: null,
        states: path(STATES_FILE),
        ledger: path(LEDGER_FILE),
        values: null,
        pieces: null,
        websockets: path(SESSIONS_FILE),
        version: 2,
      };
    }
    return this.#empty;
  }

  /** The only folders that statements read from. */
  get folders(): readonly string[] {
    return [join(this.data, SEALED), this.#scratch];
  }

  /** Statements that make the views of VIEW_NAMES over what is there now; files that cannot be read are left out. */
  async views(): Promise<readonly string[]> {
    const some = this.segments.length === 0 ? [this.#none()] : this.segments;
    const files = (of: (files: SegmentFiles) => string | null, none: string): string => {
      const paths = some.flatMap((segment) => of(segment) ?? []);
      return parquet(paths.length === 0 ? [none] : paths);
    };
    const none = this.#none();
    const views = VIEWS({
      calls: callsTable(some),
      states: files(({ states }) => states, none.states!),
      ledger: files(({ ledger }) => ledger, none.ledger!),
      websockets: files(({ websockets }) => websockets, none.websockets!),
    });
    if (views.join() === this.#views) return views;
    try {
      for (const view of views) await this.database.run(view);
      this.#views = views.join();
      return views;
    } catch (error) {
      if (!(await this.#dropUnreadable())) throw error;
      return await this.views();
    }
  }

  /** Leaves out segments whose files have a footer that cannot be read; false: there is none. */
  async #dropUnreadable(): Promise<boolean> {
    const readable = async (path: string | null): Promise<boolean> => {
      if (path === null) return true;
      const answer = await this.database.select(`SELECT * FROM ${parquet([path])} LIMIT 0`, FOOTER_MS);
      if (!answer.ok && existsSync(path)) this.damaged.add(path);
      return answer.ok;
    };
    const before = this.segments;
    const kept: SegmentFiles[] = [];
    for (const files of before) {
      if (!(await readable(files.calls))) {
        if (this.#known.has(files.segment)) this.#known.set(files.segment, null);
        continue;
      }
      const states = (await readable(files.states)) ? files.states : null;
      const ledger = (await readable(files.ledger)) ? files.ledger : null;
      const websockets = (await readable(files.websockets)) ? files.websockets : null;
      const same = states === files.states && ledger === files.ledger && websockets === files.websockets;
      const left = same ? files : { ...files, states, ledger, websockets };
      kept.push(left);
      if (!same && this.#known.has(files.segment)) this.#known.set(files.segment, left);
    }
    this.segments = kept;
    return kept.some((files, i) => files !== before[i]) || kept.length < before.length;
  }
}
