/**
 * A live log as the kind of files that a sealed segment has. An agent is asked again and again while it writes: what was turned into files once stays,
 * and only what came since is read. Done in steps, so that the thread that captures goes on in between.
 */
import { closeSync, existsSync, fstatSync, openSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { Memory } from '../base/memory.ts';
import { readAt } from './filter-file.ts';
import { FRAME_BODY_MAX, FRAME_HEAD, frames } from './frames.ts';
import { ParquetFile } from './parquet/read.ts';
import { SEQUENCE_STRIDE } from './record.ts';
import { CALLS_FILE, LEDGER_FILE, SESSIONS_FILE, STATES_FILE, writeParquet } from './seal.ts';
import { Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';

/** Read at once: more than the largest frame. */
const READ_BYTES = 2 * (FRAME_HEAD + FRAME_BODY_MAX);
/** Of the log in files that stay; what is behind them is written anew when more has come. Some thousand calls: tens of ms. */
const PART_BYTES = 2 << 20;

export class LiveLog {
  readonly #number: number;
  readonly #log: string;
  /** Begin of the paths of its files. */
  readonly #prefix: string;
  /** What is behind the files that stay, and the words and contexts of all. */
  readonly #segment = new Segment();
  readonly #parts: SegmentFiles[] = [];
  #tail: SegmentFiles | null = null;
  /** Bytes of the log that were read, and that are in files. */
  #read = 0;
  #written = 0;
  /** Bytes that are in files which stay. */
  #stays = 0;
  /** Sequence of the first call in the next file that stays, and of the next call of all. */
  #from: number;
  #next: number;
  /** Behind this nothing can be read. */
  #damaged = false;

  constructor(number: number, log: string, prefix: string) {
    this.#number = number;
    this.#log = log;
    this.#prefix = prefix;
    this.#from = number * SEQUENCE_STRIDE;
    this.#next = this.#from;
  }

  /** Its files, oldest calls first; none when it is empty. */
  get files(): readonly SegmentFiles[] {
    return this.#tail === null ? this.#parts : [...this.#parts, this.#tail];
  }

  /** Reads on, up to the first damage. False: the log is gone (sealed meanwhile), or is another one. Fails as `node:fs` does. */
  async refresh(): Promise<boolean> {
    let fd: number;
    try {
      fd = openSync(this.#log, 'r');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw error;
    }
    try {
      const { size } = fstatSync(fd);
      if (size < this.#read) return false;
      while (this.#read < size && !this.#damaged) {
        const bytes = readAt(fd, this.#read, Math.min(READ_BYTES, size - this.#read));
        if (bytes === null || !(await this.#take(bytes))) break;
      }
    } finally {
      closeSync(fd);
    }
    if (this.#written < this.#read) this.#tail = this.#write();
    return true;
  }

  /** Returns whether there was a whole frame. */
  async #take(bytes: Buffer): Promise<boolean> {
    const memory = new Memory(bytes.buffer, bytes.byteOffset, bytes.length);
    const begin = this.#read;
    for (const frame of frames(bytes)) {
      // Torn: it is being written, or goes on behind these bytes.
      if (frame.type === 'torn') break;
      if (frame.type === 'damaged' || !this.#segment.consume(memory, frame.at, frame.end)) {
        this.#damaged = true;
        break;
      }
      if (frame.calls > 0) {
        if (this.#segment.rows === frame.calls) this.#from = frame.sequence;
        this.#next = frame.sequence + frame.calls;
      }
      this.#read = begin + frame.end;
      if (this.#read - this.#stays < PART_BYTES) continue;
      this.#parts.push(this.#write());
      this.#tail = null;
      this.#stays = this.#read;
      this.#segment.clearRows();
      this.#from = this.#next;
      await setImmediate();
    }
    return this.#read > begin;
  }

  #write(): SegmentFiles {
    const path = (name: string): string => `${this.#prefix}-${this.#stays}-${this.#read}-${name}`;
    const segment = this.#segment;
    writeParquet(path(CALLS_FILE), segment.calls.all, {});
    if (segment.states[0]!.rows > 0) writeParquet(path(STATES_FILE), segment.states, {});
    if (segment.ledger[0]!.rows > 0) writeParquet(path(LEDGER_FILE), segment.ledger, {});
    if (segment.sessions[0]!.rows > 0) writeParquet(path(SESSIONS_FILE), segment.sessions, {});
    this.#written = this.#read;
    const optional = (name: string): string | null => (existsSync(path(name)) ? path(name) : null);
    return {
      segment: this.#number,
      from: this.#from,
      calls: path(CALLS_FILE),
      newest: ParquetFile.open(path(CALLS_FILE))?.wideBounds('ts')?.[1] ?? null,
      states: optional(STATES_FILE),
      ledger: optional(LEDGER_FILE),
      values: null,
      pieces: null,
      websockets: optional(SESSIONS_FILE),
      version: 2,
    };
  }
}
