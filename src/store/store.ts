/** The embedded store: opens a data folder for writing, and closes it with everything on the disk. docs/store.md explains it. */
import { constants, openSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ClockAnchor } from '../base/clock.ts';
import type { LossSink, LossTotal } from '../model/loss.ts';
import { HANDED_FILE } from './layout.ts';
import { type FromWorker, type RetentionOptions, SHARED_BYTES, type StoreEvent, type ToWorker } from './protocol.ts';
import type { StoreDamage } from './recover.ts';
import { StoreWriter } from './writer.ts';

export interface StoreOptions {
  /** Ties the times of calls to the wall clock. */
  readonly anchor: ClockAnchor;
  /** First part of the ids of this run's calls. */
  readonly run: string;
  readonly losses: LossSink;
  readonly retention: RetentionOptions;
  readonly report: (event: StoreEvent) => void;
  /** Made by `startStoreWorker`; without it one is started now. */
  readonly worker?: Worker;
}

export type StoreResult =
  | { readonly ok: true; readonly store: Store }
  | { readonly ok: false; readonly message: string; readonly hint: string };

/** How often `settled` looks whether the disk has taken a batch. */
const SETTLE_MS = 5;
/** Heap of the worker: it holds typed arrays, which do not count. */
const WORKER_HEAP_MB = 64;
/** Longer than this its code does not take to load on any machine; then the first message waits for it. */
const WORKER_START_MS = 10_000;

/**
 * Starts the thread that writes and waits until its code is loaded: to be called while this process may still read its own
 * installation.
 */
export function startStoreWorker(): Worker {
  const ready = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(join(import.meta.dirname, `worker${extname(import.meta.filename)}`), {
    workerData: { ready },
    resourceLimits: { maxOldGenerationSizeMb: WORKER_HEAP_MB, maxYoungGenerationSizeMb: 8 },
  });
  // The thread needs nothing of this one's event loop to load its code.
  Atomics.wait(ready, 0, 0, WORKER_START_MS);
  return worker;
}

export class Store {
  readonly writer: StoreWriter;
  /** What the last run left damaged, each thing once. */
  readonly damage: readonly StoreDamage[];
  readonly #worker: Worker;
  readonly #closed: Promise<number>;

  private constructor(writer: StoreWriter, worker: Worker, damage: readonly StoreDamage[], closed: Promise<number>) {
    this.writer = writer;
    this.#worker = worker;
    this.damage = damage;
    this.#closed = closed;
  }

  /** Opens (or makes) the data folder. A folder in use, from a newer version, or not writable is refused with what to do. */
  static async open(data: string, options: StoreOptions, nowMs: number): Promise<StoreResult> {
    const worker = options.worker ?? startStoreWorker();
    const shared = new SharedArrayBuffer(SHARED_BYTES);
    let writer: StoreWriter | null = null;
    let closed: (unwritten: number) => void = () => {};
    const closing = new Promise<number>((resolve) => {
      closed = resolve;
    });
    const opened = new Promise<Extract<FromWorker, { type: 'opened' | 'refused' }>>((resolve, reject) => {
      // Its errors are answers: a throw is a broken invariant, and a store that silently takes nothing more would be worse than an end.
      worker.on('error', (error) => {
        reject(error);
        if (writer !== null) throw error;
      });
      worker.on('message', (message: FromWorker) => {
        switch (message.type) {
          case 'opened':
          case 'refused':
            resolve(message);
            break;
          case 'event':
            writer?.event(message.event);
            options.report(message.event);
            break;
          case 'closed':
            closed(message.unwritten);
        }
      });
    });
    const open: ToWorker = { type: 'open', data, retention: options.retention, shared };
    worker.postMessage(open);
    const answer = await opened;
    if (answer.type === 'refused') {
      await worker.terminate();
      return { ok: false, message: answer.message, hint: answer.hint };
    }
    writer = new StoreWriter(
      {
        handedFd: openSync(join(data, HANDED_FILE), constants.O_WRONLY | constants.O_CREAT, 0o640),
        anchor: options.anchor,
        run: options.run,
        losses: options.losses,
        worker,
        shared,
        nextSegment: answer.nextSegment,
        owed: answer.damage.reduce((sum, damage) => sum + ('calls' in damage ? damage.calls : 0), 0),
      },
      nowMs,
    );
    for (const damage of answer.damage) {
      if (damage.type === 'uncommitted') writer.note(damage.atMs, 'store_uncommitted', damage.calls, 0);
      if (damage.type === 'torn') writer.note(nowMs, 'store_uncommitted', damage.calls, damage.bytes);
    }
    return { ok: true, store: new Store(writer, worker, answer.damage, closing) };
  }

  /** Resolves when every call taken so far can be read from the folder: true; false when the disk does not take it in time. */
  async settled(timeoutMs: number): Promise<boolean> {
    const endMs = performance.now() + timeoutMs;
    let waiting = this.writer.flush();
    while (waiting.length > 0) {
      if (performance.now() > endMs) return false;
      await sleep(SETTLE_MS);
      waiting = waiting.filter((slab) => this.writer.onItsWay(slab));
    }
    return true;
  }

  /** Writes and seals everything; returns the calls that the disk did not take. */
  async close(nowMs: number, exchanges: number, losses: readonly LossTotal[]): Promise<number> {
    this.writer.end(nowMs, exchanges, losses);
    const close: ToWorker = { type: 'close' };
    this.#worker.postMessage(close);
    const unwritten = await this.#closed;
    if (unwritten === 0) this.writer.ended();
    await this.#worker.terminate();
    return unwritten;
  }
}
