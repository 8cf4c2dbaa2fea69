/**
 * The header log's files, opened and renamed by the process that may. The pipeline gets descriptors and never names a
 * path. Rotation renames (nothing is copied) and, when closed files are to be compressed, hands over the closed file and
 * an empty archive: the bytes that came from the network go through the pipeline, not through here.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, renameSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Refusal } from './refusal.ts';

export interface LogFileOptions {
  /** Absolute path. */
  readonly path: string;
  /** How closed files are compressed. */
  readonly compress: 'none' | 'gzip' | 'zstd';
  /** Closed files that stay; 0 keeps all. */
  readonly keep: number;
}

/** Readable by root's group, as other logs are. */
const LOG_MODE = 0o640;
/** Rotations within one second. */
const SAME_SECOND_MAX = 1_000;

const EXTENSION = { none: '', gzip: '.gz', zstd: '.zst' } as const;

/** What a rotation hands over. The caller passes the descriptors on and closes them. */
export interface Rotation {
  readonly log: number;
  /** The closed file for reading, and its empty archive for writing; null when it stays as it is. */
  readonly archive: { readonly source: number; readonly target: number } | null;
}

const code = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

const FIXES: Readonly<Record<string, string>> = {
  ENOENT: 'Create its folder, or give another path: --log FILE.',
  EACCES: 'Give a path that you may write: --log FILE.',
  EISDIR: 'Name a file in it: --log FOLDER/headwater.ndjson.',
  ENXIO: 'Nobody reads this pipe: start its reader first.',
  EROFS: 'The file system is read-only: give a path elsewhere.',
  ENOSPC: 'The disk is full: make room, or give a path elsewhere.',
};

export class LogFiles {
  readonly #options: LogFileOptions;
  #pending: { readonly source: string; readonly target: string } | null = null;

  constructor(options: LogFileOptions) {
    this.#options = options;
  }

  /** Opens the log for appending; a file also for reading, so that the writer can see a line torn by a killed run. */
  open(): number | Refusal {
    const { path } = this.#options;
    try {
      // Non-blocking, so that a pipe without a reader is refused instead of waited for; files ignore it.
      const append = constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
      const fd = openSync(path, constants.O_WRONLY | append, LOG_MODE);
      if (!fstatSync(fd).isFile()) return fd;
      closeSync(fd);
      return openSync(path, constants.O_RDWR | append, LOG_MODE);
    } catch (error) {
      return new Refusal(
        `Cannot write the log ${path}: ${code(error)}.`,
        FIXES[code(error)] ?? 'Give another path: --log FILE.',
      );
    }
  }

  /**
   * Renames the log to `<path>.<UTC time>` and opens a new one; deletes the oldest beyond `keep`.
   *
   * @param now the wall clock.
   */
  rotate(now: Date): Rotation | Refusal {
    const { path, compress } = this.#options;
    const closed = this.#closedName(now);
    if (closed === null)
      return new Refusal(
        `Cannot rotate the log ${path}: too many rotations within a second.`,
        'Raise log.rotate.size.',
      );
    try {
      renameSync(path, closed);
    } catch (error) {
      return new Refusal(
        `Cannot rotate the log ${path}: ${code(error)}.`,
        FIXES[code(error)] ?? 'See that its folder is writable.',
      );
    }
    const log = this.open();
    if (log instanceof Refusal) {
      renameSync(closed, path);
      return log;
    }
    this.#prune();
    return { log, archive: compress === 'none' ? null : this.#openArchive(closed) };
  }

  /** The last rotation's archive is complete, or was given up: one of the two files goes. */
  archived(ok: boolean): void {
    const pending = this.#pending;
    this.#pending = null;
    if (pending === null) return;
    remove(ok ? pending.source : pending.target);
  }

  /** Behind every closed file of the same second: a name that pruning has freed would make the new one the oldest. */
  #closedName(now: Date): string | null {
    const stamp = now.toISOString().slice(0, 19).replace(/[-:]/g, '');
    const last = this.#closed().reduce((n, file) => (file.stamp === stamp ? Math.max(n, file.number) : n), -1);
    if (last + 1 >= SAME_SECOND_MAX) return null;
    return `${this.#options.path}.${stamp}Z${last < 0 ? '' : `-${last + 1}`}`;
  }

  /** Closed files and archives, oldest first. */
  #closed(): ClosedFile[] {
    const { path } = this.#options;
    const folder = dirname(path);
    const own = new RegExp(
      `^${basename(path).replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}\\.(\\d{8}T\\d{6})Z(?:-(\\d{1,6}))?(?:\\.gz|\\.zst)?$`,
    );
    let names: string[];
    try {
      names = readdirSync(folder);
    } catch {
      return [];
    }
    return names
      .flatMap((name) => {
        const found = own.exec(name);
        return found === null ? [] : [{ path: join(folder, name), stamp: found[1]!, number: Number(found[2] ?? '0') }];
      })
      .sort((a, b) => (a.stamp === b.stamp ? a.number - b.number : a.stamp < b.stamp ? -1 : 1));
  }

  /** null when the one before is not finished or the archive cannot be made: then the closed file stays as it is. */
  #openArchive(closed: string): Rotation['archive'] {
    if (this.#pending !== null) return null;
    const target = closed + EXTENSION[this.#options.compress];
    try {
      const source = openSync(closed, 'r');
      try {
        const archive = { source, target: openSync(target, 'wx', LOG_MODE) };
        this.#pending = { source: closed, target };
        return archive;
      } catch {
        closeSync(source);
        return null;
      }
    } catch {
      return null;
    }
  }

  #prune(): void {
    const { keep } = this.#options;
    if (keep === 0) return;
    // A closed file and its unfinished archive count once.
    const rotations = Map.groupBy(this.#closed(), (file) => `${file.stamp}-${file.number}`);
    for (const files of [...rotations.values()].slice(0, -keep)) for (const file of files) remove(file.path);
  }
}

interface ClosedFile {
  readonly path: string;
  readonly stamp: string;
  readonly number: number;
}

const remove = (path: string): void => {
  try {
    unlinkSync(path);
  } catch {
    // Somebody else removed it: that was the aim.
  }
};
