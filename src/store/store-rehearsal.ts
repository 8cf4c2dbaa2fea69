/**
 * What the store does with calls, done with made-up ones before the first real one: until the runtime has compiled it, a call costs its
 * thread twice as much (agent/rehearsal.ts has the why). A writer as real calls have it fills batches; the store's thread makes
 * files of them, whose bytes nobody takes. Segments have what real ones have: more rows than a page, states, a ledger.
 */
import { closeSync, openSync } from 'node:fs';
import type { Worker } from 'node:worker_threads';
import { Memory } from '../base/memory.ts';
import type { Exchange } from '../model/exchange.ts';
import type { Redacted } from '../redact/redacted.ts';
import { parquetFile } from './parquet/file.ts';
import { release } from './parquet/grown.ts';
import { type FromWorker, SHARED_BYTES, SLAB_FREE, slabMemory, slabStates, type ToWorker } from './protocol.ts';
import { Segment } from './segment.ts';
import { segmentFilters } from './segment-filters.ts';
import { StoreWriter } from './writer.ts';

/** Calls of a segment: more than a page of a file has. */
const SEGMENT_CALLS = 20_000;
/** Calls between two looks at the clock, which says that a second has passed. */
const TICK_CALLS = 500;
const STATE_BYTES = 2_000;
const FIRST_MS = 1_795_363_440_000;
const HOUR_MS = 3_600_000;
/** However busy the machine is, the start does not wait longer. */
const WAIT_MS_MAX = 1_500;

/** The side of the thread that parses. */
export class StoreRehearsal {
  readonly #worker: Worker;
  readonly #nowhere = openSync('/dev/null', 'w');
  readonly #shared = new SharedArrayBuffer(SHARED_BYTES);
  #writer = this.#writerOf();
  #nowMs = FIRST_MS;
  #calls = 0;
  #segments = 0;
  #rehearsed = 0;
  #done = 0;

  constructor(worker: Worker) {
    this.#worker = worker;
  }

  /** Takes a call; valid during the call only. */
  call(x: Redacted<Exchange>): void {
    this.#writer.call(x);
    this.#calls++;
    if (this.#calls % TICK_CALLS === 0) this.#second();
    if (this.#calls === SEGMENT_CALLS) this.endSegment();
  }

  /** Ends the segment; the next calls have a writer of their own. */
  endSegment(): void {
    if (this.#calls === 0) return;
    this.#second();
    // The hour is over.
    this.#nowMs += HOUR_MS;
    this.#writer.tick(this.#nowMs, this.#calls, []);
    this.#calls = 0;
    this.#writer = this.#writerOf();
  }

  /** Resolves to how many calls the store's thread has gone through: all of them, unless the machine is too slow. */
  async end(waitMs = WAIT_MS_MAX): Promise<number> {
    this.endSegment();
    closeSync(this.#nowhere);
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

  /** A second passes: states come, and calls are lost. */
  #second(): void {
    this.#nowMs += 1_000;
    const key = { level: 'minute', service: 'rehearsal', side: 'server', method: 'GET', kind: 'rehearsal' } as const;
    const route = `/${this.#calls % 7}`;
    this.#writer.state({ ...key, route, startMs: this.#nowMs }, new Uint8Array(STATE_BYTES).fill(this.#calls));
    this.#writer.tick(this.#nowMs, this.#calls, [
      { reason: 'ring_full', count: this.#calls, bytes: this.#calls * 100 },
    ]);
  }

  #writerOf(): StoreWriter {
    return new StoreWriter(
      {
        handedFd: this.#nowhere,
        anchor: { wallNs: BigInt(FIRST_MS) * 1_000_000n },
        run: 'rehearsal',
        losses: { lose: () => undefined },
        worker: { postMessage: (message) => this.#taken(message) },
        shared: this.#shared,
        nextSegment: 1,
        owed: 0,
      },
      FIRST_MS,
    );
  }

  /** What the writer hands over: its batches are free again at once. */
  #taken(message: ToWorker): void {
    if (message.type === 'batch') {
      const { buf } = slabMemory(this.#shared, message.slab);
      this.#send(new Uint8Array(buf.subarray(0, message.length)).buffer, false);
      Atomics.store(slabStates(this.#shared), message.slab, SLAB_FREE);
    } else if (message.type === 'rotate') {
      this.#send(new ArrayBuffer(0), true);
      this.#segments++;
    }
  }

  #send(records: ArrayBuffer, last: boolean): void {
    const message: ToWorker = { type: 'rehearse', records, last };
    this.#worker.postMessage(message, [records]);
  }
}

/** The side of the thread that writes: a segment from its batches to the bytes of its files. */
export class RehearsedSegment {
  readonly #segment = new Segment();

  /** Takes a batch; with the last one the segment is over, and its calls are the answer. */
  batch(records: ArrayBuffer, last: boolean): number | null {
    const segment = this.#segment;
    segment.consume(new Memory(records, 0, records.byteLength), 0, records.byteLength);
    release(new Uint8Array(records));
    if (!last) return null;
    const { rows } = segment;
    for (const columns of [segment.calls.all, segment.states, segment.ledger])
      for (const piece of parquetFile(columns, {})) release(piece);
    const { values, pieces } = segmentFilters(segment);
    release(values);
    release(pieces);
    segment.clear();
    return rows;
  }
}
