/** Files set aside by rotation: their names, compressing them in the background, removing the oldest. */
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip, createZstdCompress } from 'node:zlib';

export type Compression = 'zstd' | 'gzip' | 'none';

export type RotationReport =
  | { readonly type: 'aside'; readonly path: string }
  /** The file stays as it is, uncompressed; the next rotation tries again. */
  | { readonly type: 'compress_failed'; readonly path: string; readonly code: string }
  | { readonly type: 'remove_failed'; readonly path: string; readonly code: string };

const stamp = (at: Date): string => at.toISOString().slice(0, 19).replace(/[-:]/g, '');

/** `calls.20261122T160405.ndjson`, or with `n` > 0 `calls.20261122T160405.1.ndjson` (UTC). */
export function rotatedName(path: string, at: Date, n: number): string {
  const extension = extname(path);
  return `${path.slice(0, path.length - extension.length)}.${stamp(at)}${n === 0 ? '' : `.${n}`}${extension}`;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';
const SUFFIX: Readonly<Record<Exclude<Compression, 'none'>, string>> = { zstd: '.zst', gzip: '.gz' };

interface Aside {
  readonly file: string;
  /** Sorts by age: the stamp, then the number. */
  readonly order: string;
  readonly compressed: boolean;
}

export class RotatedFiles {
  readonly #path: string;
  readonly #keep: number;
  readonly #compression: Compression;
  readonly #report: (event: RotationReport) => void;
  readonly #known = new Set<string>();
  #work: Promise<void> = Promise.resolve();
  #waiting = false;

  constructor(
    path: string,
    options: { keep: number; compression: Compression; report: (event: RotationReport) => void },
  ) {
    this.#path = path;
    this.#keep = options.keep;
    this.#compression = options.compression;
    this.#report = options.report;
  }

  /** Removes what is too old and compresses the rest, one file after the other, in the background. Also takes up what a killed run left. */
  tidy(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    this.#work = this.#work.then(() => {
      this.#waiting = false;
      return this.#tidy();
    });
  }

  settled(): Promise<void> {
    return this.#work;
  }

  async #tidy(): Promise<void> {
    const files = await this.#list();
    for (const old of files.slice(0, Math.max(0, files.length - this.#keep))) await this.#remove(old.file);
    for (const aside of files.slice(Math.max(0, files.length - this.#keep))) {
      if (!this.#known.has(aside.order)) this.#report({ type: 'aside', path: aside.file });
      this.#known.add(aside.order);
      if (!aside.compressed && this.#compression !== 'none') await this.#compress(aside.file, this.#compression);
    }
    const orders = new Set(files.map((f) => f.order));
    for (const order of this.#known) if (!orders.has(order)) this.#known.delete(order);
  }

  /** Oldest first. Half-compressed files of a run that was killed are removed on the way. */
  async #list(): Promise<Aside[]> {
    const folder = dirname(this.#path);
    const extension = extname(this.#path);
    const stem = `${basename(this.#path, extension)}.`;
    let names: string[];
    try {
      names = await readdir(folder);
    } catch {
      return [];
    }
    const found: Aside[] = [];
    for (const name of names) {
      if (!name.startsWith(stem)) continue;
      const m = /^(\d{8}T\d{6})(?:\.(\d+))?(.*)$/.exec(name.slice(stem.length));
      if (m === null || !m[3]!.startsWith(extension)) continue;
      const rest = m[3]!.slice(extension.length);
      const file = join(folder, name);
      if (rest === '.zst.part' || rest === '.gz.part') await this.#remove(file);
      else if (rest === '' || rest === '.zst' || rest === '.gz')
        found.push({ file, order: `${m[1]}.${(m[2] ?? '0').padStart(9, '0')}`, compressed: rest !== '' });
    }
    return found.sort((a, b) =>
      a.order < b.order ? -1 : a.order > b.order ? 1 : Number(b.compressed) - Number(a.compressed),
    );
  }

  async #remove(file: string): Promise<void> {
    try {
      await unlink(file);
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') this.#report({ type: 'remove_failed', path: file, code: codeOf(error) });
    }
  }

  async #compress(file: string, how: Exclude<Compression, 'none'>): Promise<void> {
    const done = `${file}${SUFFIX[how]}`;
    const part = `${done}.part`;
    try {
      const { mode } = await stat(file);
      await pipeline(
        createReadStream(file),
        how === 'zstd' ? createZstdCompress() : createGzip(),
        createWriteStream(part, { mode: mode & 0o777, flush: true }),
      );
      await rename(part, done);
      await unlink(file);
    } catch (error) {
      await unlink(part).catch(() => {});
      this.#report({ type: 'compress_failed', path: file, code: codeOf(error) });
    }
  }
}
