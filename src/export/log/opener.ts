/** Where a log's bytes go: opened here, or by whoever may (the pipeline itself has no rights on the machine). */
import { close, constants, open } from 'node:fs';
import { access, rename } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Compression, RotatedFiles, type RotationReport, rotatedName } from './rotated.ts';

const openFd = promisify(open);
const closeFd = promisify(close);

/**
 * Gives the writer its descriptor. All of it may fail with a Node system error; the writer then keeps what it has.
 * Descriptors are opened for appending, so that a file truncated by somebody else does not get a hole.
 */
export interface LogOpener {
  /** For messages: the path, or "stdout". */
  readonly name: string;
  /** The current file, made if it is not there. */
  open(): Promise<number>;
  /** Sets the current file aside and opens a new one; null when this kind of log cannot be rotated. */
  rotate(): Promise<number | null>;
  /** The writer is done with `fd`. */
  release(fd: number): Promise<void>;
  /** Waits for work in the background (compressing files set aside). */
  settled(): Promise<void>;
}

/** A descriptor that somebody else opened and owns: stdout, or one inherited from the attacher. */
export class InheritedOpener implements LogOpener {
  readonly name: string;
  readonly #fd: number;

  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.name = name;
  }

  async open(): Promise<number> {
    return this.#fd;
  }
  async rotate(): Promise<null> {
    return null;
  }
  async release(): Promise<void> {}
  async settled(): Promise<void> {}
}

export interface PathOptions {
  /** Files set aside that stay; older ones are removed. */
  readonly keep: number;
  readonly compression: Compression;
  /** Told what becomes of files set aside. */
  readonly report: (event: RotationReport) => void;
}

/** A file at a path, rotated by renaming: calls.ndjson becomes calls.20261122T160405.ndjson[.zst|.gz]. */
export class PathOpener implements LogOpener {
  readonly name: string;
  readonly #aside: RotatedFiles;

  constructor(path: string, options: PathOptions) {
    this.name = path;
    this.#aside = new RotatedFiles(path, options);
  }

  async open(): Promise<number> {
    const fd = await this.#openFile();
    this.#aside.tidy();
    return fd;
  }

  async rotate(): Promise<number> {
    const at = new Date();
    let aside = rotatedName(this.name, at, 0);
    for (let n = 1; await taken(aside); n++) aside = rotatedName(this.name, at, n);
    await rename(this.name, aside);
    const fd = await this.#openFile();
    this.#aside.tidy();
    return fd;
  }

  release(fd: number): Promise<void> {
    return closeFd(fd);
  }

  settled(): Promise<void> {
    return this.#aside.settled();
  }

  // Readable too, so that the writer can see whether the last run ended in the middle of a line.
  #openFile(): Promise<number> {
    return openFd(this.name, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOCTTY, 0o640);
  }
}

async function taken(path: string): Promise<boolean> {
  for (const suffix of ['', '.zst', '.gz']) {
    try {
      await access(path + suffix);
      return true;
    } catch {
      // Not there: what we hope for.
    }
  }
  return false;
}
