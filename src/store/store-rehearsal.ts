/**
 * What the store's thread does with calls, done with made-up ones before the first real one: until the runtime has compiled it, a call costs this
 * thread twice as much (agent/rehearsal.ts has the why). The thread that parses encodes them, as it will do with real ones.
 */
import type { Worker } from 'node:worker_threads';
import { Memory } from '../base/memory.ts';
import type { Exchange } from '../model/exchange.ts';
import type { Redacted } from '../redact/redacted.ts';
import { CallEncoder } from './call-encoder.ts';
import { parquetFile } from './parquet/file.ts';
import { release } from './parquet/grown.ts';
import type { FromWorker, ToWorker } from './protocol.ts';
import { RecordBuffer } from './record-buffer.ts';
import { Segment } from './segment.ts';
import { valueFilter } from './value-filter.ts';

/** Calls of a segment: enough for some pages of a file. */
const SEGMENT_CALLS = 8_000;
/** However busy the machine is, the start does not wait longer. */
const WAIT_MS_MAX = 1_500;

/** The side of the thread that parses. */
export class StoreRehearsal {
  readonly #worker: Worker;
  #encoder = new CallEncoder('rehearsal');
  #records = new RecordBuffer(1 << 20);
  #calls = 0;
  #segments = 0;
  #rehearsed = 0;
  #done = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Takes a call; valid during the call only. */
  call(x: Redacted<Exchange>): void {
    const { words, row } = this.#encoder;
    this.#encoder.encode(x, this.#calls);
    for (const { memory, length } of [words.pending, row]) this.#records.bytes(memory.buf.subarray(0, length));
    words.pending.length = 0;
    if (++this.#calls === SEGMENT_CALLS) this.endSegment();
  }

  /** Hands over what was taken; the next calls have an encoder of their own. */
  endSegment(): void {
    if (this.#calls === 0) return;
    const records = this.#records.memory.buf.buffer.slice(0, this.#records.length) as ArrayBuffer;
    const message: ToWorker = { type: 'rehearse', records };
    this.#worker.postMessage(message, [records]);
    this.#segments++;
    this.#calls = 0;
    this.#records.length = 0;
    this.#encoder = new CallEncoder('rehearsal');
  }

  /** Resolves to how many calls the store's thread has gone through: all of them, unless the machine is too slow. */
  async end(waitMs = WAIT_MS_MAX): Promise<number> {
    this.endSegment();
    this.#records = new RecordBuffer(0);
    const worker = this.#worker;
    const { promise, resolve } = Promise.withResolvers<void>();
    const heard = (message: FromWorker): void => {
      if (message.type !== 'rehearsed') return;
      this.#rehearsed += message.calls;
      if (++this.#done === this.#segments) resolve();
    };
    worker.on('message', heard);
    const timeout = Number.isFinite(waitMs) ? setTimeout(resolve, waitMs) : undefined;
    if (this.#segments > 0) await promise;
    clearTimeout(timeout);
    worker.off('message', heard);
    return this.#rehearsed;
  }
}

/** The side of the thread that writes: a segment from its records to the bytes of its files. Returns how many calls were in it. */
export function rehearseSegment(records: ArrayBuffer): number {
  const segment = new Segment();
  const memory = new Memory(records, 0, records.byteLength);
  segment.consume(memory, 0, records.byteLength);
  const { rows } = segment;
  for (const piece of parquetFile(segment.calls.all, {})) release(piece);
  release(valueFilter(segment));
  segment.clear();
  return rows;
}
