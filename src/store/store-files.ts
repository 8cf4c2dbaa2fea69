/** The files of a data folder, as its one writer has them. Synchronous: it runs in a thread of its own. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { steadyMs } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import { FRAME_HEAD, writeHead } from './frames.ts';
import { LIVE, logName, STORE_VERSION } from './layout.ts';
import { releaseLock, takeLock } from './lock.ts';
import { checkVersion, prepareFolder, versionOf } from './migrate.ts';
import {
  type BatchMessage,
  type FromWorker,
  type OpenMessage,
  type RetentionOptions,
  SLAB_FREE,
  SLABS,
  slabMemory,
  slabStates,
} from './protocol.ts';
import { readLog, recover, type StoreDamage, setAside } from './recover.ts';
import { retain } from './retention.ts';
import { RollUp } from './rollup.ts';
import { seal } from './seal.ts';
import { Segment } from './segment.ts';
import { mergerOf } from './state-merge.ts';

/** Committed to the disk at least this often. */
const SYNC_MS = 1_000;
const RETRY_MS_MIN = 250;
const RETRY_MS_MAX = 5_000;
/** Logs whose sealing failed are tried again this often. */
const RESEAL_MS = 10_000;

/** Not there, which a disk that fails does not say. */
function isGone(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? String(error);

export type OpenResult =
  | { readonly ok: true; readonly files: StoreFiles }
  | { readonly ok: false; readonly message: string; readonly hint: string };

export class StoreFiles {
  readonly nextSegment: number;
  readonly damage: readonly StoreDamage[];
  readonly #data: string;
  readonly #retention: RetentionOptions;
  readonly #startedMs = steadyMs();
  readonly #say: (message: FromWorker) => void;
  readonly #slabs: readonly Memory[];
  readonly #states: Int32Array;
  readonly #head = Buffer.alloc(FRAME_HEAD);
  readonly #segment = new Segment();
  /** The open log's segment; -1: none is open. */
  #number = -1;
  #openedMs = 0;
  #fd = -1;
  /** Where the next frame goes: behind the last whole one. */
  #end = 0;
  #dirty = false;
  /** Of what was written since the last commit; null: there is nothing, and an idle thread sleeps. */
  #sync: NodeJS.Timeout | null = null;
  /** Batches and rotations that wait for the disk, in order. At most SLABS batches. */
  readonly #waiting: (BatchMessage | { readonly type: 'rotate'; readonly segment: number })[] = [];
  #failing = '';
  #retryMs = RETRY_MS_MIN;
  #retry: NodeJS.Timeout | null = null;
  /** Whole logs that are not sealed yet. */
  readonly #unsealed: number[];
  #reseal: NodeJS.Timeout | null = null;
  readonly #rollUp: RollUp;
  /** Under way; retention waits for it, because it reads what retention removes. */
  #rolling: Generator<void, number> | null = null;

  private constructor(options: OpenMessage, say: (message: FromWorker) => void, found: readonly StoreDamage[]) {
    this.#data = options.data;
    this.#rollUp = new RollUp(options.data, mergerOf);
    this.#retention = options.retention;
    this.#say = say;
    this.#slabs = Array.from({ length: SLABS }, (_, i) => slabMemory(options.shared, i));
    this.#states = slabStates(options.shared);
    const { nextSegment, logs, damage } = recover(this.#data, found);
    this.nextSegment = nextSegment;
    this.damage = damage;
    this.#unsealed = [...logs];
    if (logs.length > 0) this.#resealSoon(0);
  }

  static open(options: OpenMessage, say: (message: FromWorker) => void): OpenResult {
    const { data } = options;
    let locked = false;
    let migrating = false;
    try {
      // A folder from a newer version is not touched.
      const checked = checkVersion(data);
      if (!checked.ok) return checked;
      mkdirSync(data, { recursive: true, mode: 0o750 });
      accessSync(data, constants.W_OK | constants.X_OK);
      const holder = takeLock(data);
      if (holder !== null) {
        return {
          ok: false,
          message: `the data folder ${data} is in use by process ${holder}`,
          hint: 'Two agents cannot write to one folder: end that process, or give this one another folder with --data.',
        };
      }
      locked = true;
      const from = versionOf(data);
      migrating = from > 0 && from < STORE_VERSION;
      const damage = prepareFolder(data);
      migrating = false;
      return { ok: true, files: new StoreFiles(options, say, damage) };
    } catch (error) {
      if (locked) releaseLock(data);
      if (migrating)
        return {
          ok: false,
          message: `cannot bring the store in ${data} to version ${STORE_VERSION}: ${codeOf(error)}`,
          hint: 'Nothing in it is lost: mend that (ENOSPC is a full disk) and start again, or give another folder with --data.',
        };
      return {
        ok: false,
        message: `cannot use the data folder ${data}: ${codeOf(error)}`,
        hint: 'It must exist or be possible to make, and belong to the user that the pipeline runs as.',
      };
    }
  }

  batch(message: BatchMessage): void {
    this.#waiting.push(message);
    if (this.#retry === null) this.#work();
  }

  /** Segment `segment` is complete. */
  rotate(segment: number): void {
    this.#waiting.push({ type: 'rotate', segment });
    if (this.#retry === null) this.#work();
  }

  /** Commits what was written; while the disk refuses, it is tried again. */
  #commit(): void {
    if (this.#sync !== null) clearTimeout(this.#sync);
    this.#sync = null;
    if (!this.#dirty) return;
    try {
      fdatasyncSync(this.#fd);
      this.#dirty = false;
    } catch (error) {
      this.#failed(codeOf(error));
      this.#commitSoon();
    }
  }

  #commitSoon(): void {
    this.#sync ??= setTimeout(() => this.#commit(), SYNC_MS);
  }

  /** Now and then: merges states of what is over, then removes what is too old or too much. */
  keep(nowMs: number): void {
    if (this.#rolling !== null) return;
    this.#rolling = this.#rollUp.run(nowMs, this.#unsealed.length > 0 ? 0 : this.#segment.statesFromMs);
    this.#roll(nowMs);
  }

  /** A step at a time: batches wait no longer than one state takes. */
  #roll(nowMs: number): void {
    if (this.#rolling === null) return;
    let done = true;
    try {
      done = this.#rolling.next().done === true;
    } catch (error) {
      // What is not merged is read by the minute, and is tried again.
      this.#say({ type: 'event', event: { type: 'roll_up_failed', code: codeOf(error) } });
    }
    if (!done) {
      setImmediate(() => this.#roll(nowMs));
      return;
    }
    this.#rolling = null;
    for (const path of this.#rollUp.damaged) {
      this.#rollUp.damaged.delete(path);
      if (existsSync(path)) this.#sayUnreadable(path);
    }
    this.retain(nowMs);
  }

  retain(nowMs: number): void {
    try {
      // A clock that was ahead at the start, and was set back since, is not believed either.
      retain(this.#data, this.#retention, this.#startedMs, Math.min(nowMs, Date.now()));
    } catch (error) {
      this.#failed(codeOf(error));
    }
  }

  /** Writes what waits, seals, lets go of the folder. Returns the calls that the disk did not take. */
  close(): number {
    if (this.#retry !== null) clearTimeout(this.#retry);
    if (this.#reseal !== null) clearTimeout(this.#reseal);
    this.#retry = null;
    this.#rolling = null;
    this.#work();
    if (this.#retry !== null) clearTimeout(this.#retry);
    const unwritten = this.#waiting.reduce((sum, m) => sum + (m.type === 'batch' ? m.calls : 0), 0);
    this.#commit();
    if (this.#sync !== null) clearTimeout(this.#sync);
    this.#sealCurrent();
    for (const number of this.#unsealed.splice(0)) this.#sealLog(number);
    this.retain(steadyMs());
    try {
      releaseLock(this.#data);
    } catch {
      // The disk is gone; the lock of a process that has ended is no hindrance.
    }
    return unwritten;
  }

  #work(): void {
    this.#retry = null;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.type === 'rotate') {
        if (next.segment === this.#number) this.#sealCurrent();
        this.#waiting.shift();
        continue;
      }
      try {
        this.#write(next);
      } catch (error) {
        this.#failed(codeOf(error));
        this.#retry = setTimeout(() => this.#work(), this.#retryMs);
        this.#retryMs = Math.min(RETRY_MS_MAX, this.#retryMs * 2);
        return;
      }
      this.#waiting.shift();
      if (this.#failing !== '') {
        this.#failing = '';
        this.#retryMs = RETRY_MS_MIN;
        this.#say({ type: 'event', event: { type: 'recovered', file: this.#path(this.#number) } });
      }
      Atomics.store(this.#states, next.slab, SLAB_FREE);
    }
  }

  #write({ slab, length, calls, firstSequence, segment, openedMs }: BatchMessage): void {
    if (segment !== this.#number) {
      if (this.#number >= 0) this.#sealCurrent();
      this.#fd = openSync(this.#path(segment), 'wx', 0o640);
      this.#number = segment;
      this.#openedMs = openedMs;
      this.#end = 0;
      this.#segment.clear();
    }
    const memory = this.#slabs[slab]!;
    const body = memory.buf.subarray(0, length);
    writeHead(this.#head, body, calls, firstSequence);
    // Positions are explicit: what a full disk took of a frame is written again from its start.
    this.#put(this.#head, this.#end);
    this.#put(body, this.#end + FRAME_HEAD);
    this.#end += FRAME_HEAD + length;
    this.#dirty = true;
    this.#commitSoon();
    this.#segment.consume(memory, 0, length);
  }

  #put(bytes: Buffer, position: number): void {
    let at = 0;
    while (at < bytes.length) at += writeSync(this.#fd, bytes, at, bytes.length - at, position + at);
  }

  #path(segment: number): string {
    return join(this.#data, LIVE, logName(segment));
  }

  #failed(code: string): void {
    if (this.#failing === code) return;
    this.#failing = code;
    this.#say({ type: 'event', event: { type: 'write_failed', file: this.#path(Math.max(0, this.#number)), code } });
  }

  #sealCurrent(): void {
    if (this.#number < 0) return;
    const number = this.#number;
    const path = this.#path(number);
    this.#number = -1;
    try {
      // A torn end (the disk was full when the run ended) must not be taken for damage later.
      ftruncateSync(this.#fd, this.#end);
      fdatasyncSync(this.#fd);
    } catch {
      // Whatever is whole in it is found again.
    }
    try {
      closeSync(this.#fd);
    } catch {
      // It is closed all the same.
    }
    this.#fd = -1;
    this.#dirty = false;
    try {
      if (!this.#segment.empty) seal(this.#data, number, this.#openedMs, this.#segment);
      rmSync(path, { force: true });
    } catch (error) {
      const code = codeOf(error);
      if (!isGone(path)) {
        this.#say({ type: 'event', event: { type: 'seal_failed', segment: number, code } });
        this.#unsealed.push(number);
        this.#resealSoon(RESEAL_MS);
      } else {
        const calls = this.#segment.calls.rows;
        this.#say({ type: 'event', event: { type: 'segment_gone', segment: number, calls, code } });
      }
    }
    this.#segment.clear();
  }

  #sayUnreadable(path: string): void {
    let file = path;
    try {
      file = setAside(this.#data, path);
    } catch {
      // It stays where it is, and the next start tries again.
    }
    this.#say({ type: 'event', event: { type: 'damage', damage: { type: 'unreadable', file } } });
  }

  #resealSoon(ms: number): void {
    this.#reseal ??= setTimeout(() => {
      this.#reseal = null;
      const number = this.#unsealed.shift();
      if (number === undefined) return;
      const sealed = this.#sealLog(number);
      if (this.#unsealed.length > 0) this.#resealSoon(sealed ? 0 : RESEAL_MS);
    }, ms);
  }

  /** Seals a log that is no longer written to. */
  #sealLog(number: number): boolean {
    const path = this.#path(number);
    if (!existsSync(path)) return true;
    try {
      const segment = readLog(path);
      if (segment === null) return true;
      if (segment.header === null) {
        this.#sayUnreadable(path);
        return true;
      }
      if (!segment.empty) seal(this.#data, number, segment.header.openedMs, segment);
      rmSync(path);
      return true;
    } catch (error) {
      this.#say({ type: 'event', event: { type: 'seal_failed', segment: number, code: codeOf(error) } });
      this.#unsealed.push(number);
      return false;
    }
  }
}
