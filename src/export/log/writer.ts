/**
 * Lines to a descriptor, without ever making the capture wait. Lines are copied into batches; batches wait in a queue of
 * bounded bytes and are written one after the other by the thread pool. When the queue is full, new lines are dropped and
 * counted: `log_queue_full` while the disk is only slow, `log_write_failed` while it refuses.
 *
 * A refused write is tried again from the byte where it stopped, so a line torn by a full disk is completed when there is
 * room. Only when its rest cannot follow (another file was opened meanwhile, the last run was killed) does a torn line
 * remain: then the file goes on with a newline, and the torn line is written again whole or counted.
 */
import { fstat, read, writev } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { assert } from '../../base/assert.ts';
import type { LossSink } from '../../model/loss.ts';
import { type Batch, Batches, linesIn, wholeLines } from './batches.ts';
import type { LogOpener } from './opener.ts';

const fstatFd = promisify(fstat);
const NEWLINE = 0x0a;
const NEWLINE_BYTES = Buffer.from('\n');

/** A batch that is not full waits this long for more lines. */
const FLUSH_MS = 100;
/** Pauses after a refused write: doubled up to the second. */
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 5_000;
/** A non-blocking pipe whose reader is slow is tried again after this. */
const SLOW_PIPE_MS = 5;
/** A write in flight when time is up gets this long to say how far it came. */
const LAST_WRITE_MS = 50;
/** A rotation that failed is tried again after this. */
const ROTATE_AGAIN_MS = 60_000;

export type LogEvent =
  /** A write was refused; `code` is the errno's name (ENOSPC: the disk is full). Said once for each code until it recovers. */
  | { readonly type: 'write_failed'; readonly name: string; readonly code: string }
  /** Writing works again; `lines` were dropped meanwhile. */
  | { readonly type: 'recovered'; readonly name: string; readonly lines: number }
  /** Nobody reads the pipe any more: nothing will ever be written again. */
  | { readonly type: 'reader_gone'; readonly name: string }
  /** The file in use stays in use. */
  | { readonly type: 'reopen_failed' | 'rotate_failed'; readonly name: string; readonly code: string };

const ADVICE: Readonly<Record<string, string>> = {
  ENOENT: 'Its folder does not exist: make it, or name another file.',
  EACCES: 'This user may not write there: change the permissions of the folder, or name another file.',
  EPERM: 'This user may not write there: change the permissions of the folder, or name another file.',
  EROFS: 'The file system is read-only: name a file on another one.',
  EISDIR: 'It is a folder: name a file in it.',
  ENOSPC: 'The disk is full: free some space.',
};

export interface WriterOptions {
  readonly opener: LogOpener;
  readonly losses: LossSink;
  readonly report: (event: LogEvent) => void;
  /** Bound of everything held in memory, bytes. */
  readonly queueBytes: number;
  /** Rotate before the file grows over this; null: never. */
  readonly rotateBytes: number | null;
  /** Rotate when the file is older, milliseconds; null: never. Looked at before each write. */
  readonly rotateAgeMs: number | null;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';

const writeFd = (fd: number, pieces: readonly Buffer[]): Promise<number | string> =>
  new Promise((resolve) => writev(fd, pieces, null, (error, n) => resolve(error === null ? n : codeOf(error))));

/** Whether the file behind `fd` ends in the middle of a line. False for pipes and for what cannot be read. */
async function endsMidLine(fd: number, size: number): Promise<boolean> {
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  return new Promise((resolve) =>
    read(fd, last, 0, 1, size - 1, (error, n) => resolve(error === null && n === 1 && last[0] !== NEWLINE)),
  );
}

export class LogWriter {
  readonly #o: WriterOptions;
  /** Lines accepted and later given up, or never accepted. */
  lostLines = 0;
  #fd = -1;
  #size = 0;
  #bornMs = 0;
  /** The file in use ends in the middle of a line whose rest will not follow. */
  #torn = false;
  readonly #batches = new Batches();
  #timer: NodeJS.Timeout | null = null;
  #pump: Promise<void> | null = null;
  #failing = '';
  #lostWhileFailing = 0;
  #gone = false;
  #rotateNotBeforeMs = 0;
  #reopenWanted = false;
  #closing: AbortController = new AbortController();
  readonly #roomWanted: (() => void)[] = [];

  constructor(options: WriterOptions) {
    this.#o = options;
  }

  /** Opens the log; to be called before the first line. Null, or what is wrong and what to do about it. */
  async start(): Promise<string | null> {
    try {
      await this.#use(await this.#o.opener.open());
      return null;
    } catch (error) {
      const code = codeOf(error);
      return `Cannot open log ${this.#o.opener.name}: ${code}. ${ADVICE[code] ?? 'Name another file.'}`;
    }
  }

  /** Bytes waiting in memory. */
  get queuedBytes(): number {
    return this.#batches.bytes;
  }

  /** The errno's name while writes are refused, else "". */
  get failing(): string {
    return this.#failing;
  }

  /** Takes one line (pure ASCII, newline included) or text of several; false: dropped and counted. Never waits. */
  write(line: string): boolean {
    if (line.length === 0) return true;
    const batch = this.#accept(line.length);
    if (batch === null) return false;
    batch.buf.latin1Write(line, batch.length);
    this.#accepted(line.length);
    return true;
  }

  /** As `write`, for the first `length` of `bytes`, which are copied. */
  writeBytes(bytes: Buffer, length: number): boolean {
    const batch = this.#accept(length);
    if (batch === null) return false;
    bytes.copy(batch.buf, batch.length, 0, length);
    this.#accepted(length);
    return true;
  }

  /** The batch with room for `size` bytes; null: there is none, and the line is counted. */
  #accept(size: number): Batch | null {
    assert(this.#fd >= 0, 'a log is started before its first line');
    if (this.#gone || this.#batches.bytes + size > this.#o.queueBytes) {
      this.#drop(1, size);
      return null;
    }
    if (!this.#batches.fits(size)) this.#seal(size);
    return this.#batches.open;
  }

  #accepted(size: number): void {
    this.#batches.added(size);
    if (this.#timer === null && this.#pump === null) this.#timer = setTimeout(() => this.#flush(), FLUSH_MS);
  }

  /** Resolves when a source that can wait (a file) may go on: at most half of the queue is used, or writes are refused. */
  async room(): Promise<void> {
    if (this.#hasRoom()) return;
    await new Promise<void>((resolve) => this.#roomWanted.push(resolve));
  }

  /**
   * Resolves when everything accepted so far is written, or writes are refused; after `msMax` in any case, with false when something
   * still waits for a slow disk or reader.
   */
  async flushed(msMax = Number.POSITIVE_INFINITY): Promise<boolean> {
    const patience = Number.isFinite(msMax) ? AbortSignal.timeout(msMax) : null;
    while (this.#batches.bytes > 0 && this.#failing === '' && !this.#gone) {
      if (patience?.aborted === true) return false;
      this.#flush();
      const room = new Promise<void>((resolve) => this.#roomWanted.push(resolve));
      await (patience === null ? room : Promise.race([room, aborted(patience)]));
    }
    return true;
  }

  /** Opens the log anew (SIGHUP after logrotate moved the file). Lines already accepted go to the new file. */
  reopen(): void {
    this.#reopenWanted = true;
    this.#flush();
  }

  /**
   * Writes what is left for at most `ms`, counts the rest as lost and closes. False: a write is still stuck in the thread pool (a pipe that
   * nobody reads), which an ordinary exit of the process would wait for.
   */
  async close(ms: number): Promise<boolean> {
    const deadline = setTimeout(() => this.#closing.abort(), ms);
    while (this.#batches.bytes > 0 && !this.#closing.signal.aborted) {
      this.#flush();
      if (this.#pump !== null) await Promise.race([this.#pump, aborted(this.#closing.signal)]);
    }
    clearTimeout(deadline);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#closing.abort();
    if (this.#pump !== null) await Promise.race([this.#pump, sleep(LAST_WRITE_MS)]);
    this.#giveUpAll();
    // A write still stuck in the thread pool owns its descriptor; the process ends it.
    const stuck = this.#pump !== null;
    if (!stuck && this.#fd >= 0) await this.#o.opener.release(this.#fd).catch(() => {});
    await this.#o.opener.settled();
    return !stuck;
  }

  #hasRoom(): boolean {
    return this.#batches.bytes * 2 <= this.#o.queueBytes || this.#failing !== '' || this.#gone;
  }

  #tellRoom(): void {
    if (this.#roomWanted.length > 0 && (this.#hasRoom() || this.#batches.bytes === 0))
      for (const resolve of this.#roomWanted.splice(0)) resolve();
  }

  #drop(lines: number, bytes: number): void {
    this.lostLines += lines;
    if (this.#failing !== '') this.#lostWhileFailing += lines;
    this.#o.losses.lose(this.#gone || this.#failing !== '' ? 'log_write_failed' : 'log_queue_full', lines, bytes);
  }

  /** Closes the open batch; the next one holds at least `size` bytes. */
  #seal(size = 0): void {
    this.#batches.close(size);
    this.#run();
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#seal();
  }

  #run(): void {
    if (this.#pump !== null || (this.#batches.first === undefined && !this.#reopenWanted)) return;
    this.#pump = this.#drain().finally(() => {
      this.#pump = null;
      if (this.#gone || this.#closing.signal.aborted) return;
      // Closed after the pump had looked for the last time.
      if (this.#batches.first !== undefined) this.#run();
      else if (!this.#batches.openIsEmpty) this.#timer ??= setTimeout(() => this.#flush(), FLUSH_MS);
    });
  }

  async #drain(): Promise<void> {
    while (!this.#gone && !this.#closing.signal.aborted) {
      if (this.#reopenWanted) await this.#reopen();
      const { first } = this.#batches;
      if (first === undefined) break;
      await this.#rotateIfDue(first.length);
      if (!(await this.#writeQueued())) break;
    }
    if (this.#gone) this.#giveUpAll();
  }

  /** Writes what is queued, up to the end of a batch; false: it was given up. */
  async #writeQueued(): Promise<boolean> {
    const { rotateBytes } = this.#o;
    /** Of the first batch. */
    let at = 0;
    let pause = RETRY_MS_MIN;
    do {
      const batch = this.#batches.first;
      // Given up meanwhile, by close().
      if (batch === undefined) return false;
      let n: number | string = 0;
      if (this.#torn) {
        const ended = await writeFd(this.#fd, [NEWLINE_BYTES]);
        this.#torn = ended !== 1;
        if (ended === 1) this.#size++;
        n = ended;
      }
      if (!this.#torn)
        n = await writeFd(this.#fd, this.#batches.pieces(at, (rotateBytes ?? Number.POSITIVE_INFINITY) - this.#size));
      if (this.#batches.first !== batch) return false;
      if (typeof n === 'number') {
        this.#size += n;
        at = this.#batches.written(at + n);
        if (this.#batches.first !== batch) this.#recovered();
        this.#tellRoom();
        pause = RETRY_MS_MIN;
        continue;
      }
      if (n === 'EPIPE') {
        this.#gone = true;
        this.#failing = n;
        this.#o.report({ type: 'reader_gone', name: this.#o.opener.name });
        this.#tellRoom();
        return false;
      }
      // A pipe that somebody made non-blocking is only slow.
      const slow = n === 'EAGAIN' || n === 'EINTR';
      if (!slow) this.#refused(n);
      await sleep(slow ? SLOW_PIPE_MS : pause, undefined, { signal: this.#closing.signal }).catch(() => {});
      if (!slow) pause = Math.min(pause * 2, RETRY_MS_MAX);
      const midLine = at > 0 && batch.buf[at - 1] !== NEWLINE;
      if (this.#closing.signal.aborted) {
        this.#torn = midLine;
        if (this.#batches.first === batch) this.#batches.keepFrom(at);
        return false;
      }
      if (this.#reopenWanted) {
        // The rest of a torn line would be nonsense in another file: it begins again there.
        if (await this.#reopen()) at = wholeLines(batch, at);
      }
    } while (at > 0 || this.#failing !== '');
    return true;
  }

  #refused(code: string): void {
    if (this.#failing === code) return;
    this.#failing = code;
    this.#o.report({ type: 'write_failed', name: this.#o.opener.name, code });
    this.#tellRoom();
  }

  #recovered(): void {
    if (this.#failing === '') return;
    this.#failing = '';
    this.#o.report({ type: 'recovered', name: this.#o.opener.name, lines: this.#lostWhileFailing });
    this.#lostWhileFailing = 0;
  }

  #giveUpAll(): void {
    for (const batch of this.#batches.giveUp()) {
      const lines = linesIn(batch);
      this.lostLines += lines;
      this.#o.losses.lose('log_write_failed', lines, batch.length);
    }
    this.#tellRoom();
  }

  /** Takes `fd` into use: where it ends, how old it is, whether its last line is whole. */
  async #use(fd: number): Promise<void> {
    const old = this.#fd;
    const info = await fstatFd(fd);
    this.#fd = fd;
    this.#size = info.isFile() ? info.size : 0;
    this.#torn = info.isFile() && (await endsMidLine(fd, info.size));
    this.#bornMs = this.#size > 0 && info.birthtimeMs > 0 ? info.birthtimeMs : Date.now();
    if (old >= 0 && old !== fd) await this.#o.opener.release(old).catch(() => {});
  }

  /** True when another file is in use now. */
  async #reopen(): Promise<boolean> {
    this.#reopenWanted = false;
    try {
      await this.#use(await this.#o.opener.open());
      return true;
    } catch (error) {
      this.#o.report({ type: 'reopen_failed', name: this.#o.opener.name, code: codeOf(error) });
      return false;
    }
  }

  async #rotateIfDue(coming: number): Promise<void> {
    const { rotateBytes, rotateAgeMs } = this.#o;
    if (this.#size === 0 || (rotateBytes === null && rotateAgeMs === null)) return;
    const now = Date.now();
    const due =
      (rotateBytes !== null && this.#size + coming > rotateBytes) ||
      (rotateAgeMs !== null && now - this.#bornMs >= rotateAgeMs);
    if (!due || now < this.#rotateNotBeforeMs) return;
    try {
      const fd = await this.#o.opener.rotate();
      if (fd !== null) await this.#use(fd);
    } catch (error) {
      this.#rotateNotBeforeMs = now + ROTATE_AGAIN_MS;
      this.#o.report({ type: 'rotate_failed', name: this.#o.opener.name, code: codeOf(error) });
    }
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
