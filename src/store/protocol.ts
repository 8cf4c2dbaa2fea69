/** What the thread that parses and the thread that writes say to each other. Batches themselves lie in shared memory. */
import { Memory } from '../base/memory.ts';
import type { StoreDamage } from './recover.ts';

/** Shared batches, and the bytes of each. All of them filled is the queue's bound: a second at 30,000 calls/s. */
export const SLABS = 8;
export const SLAB_BYTES = 2 << 20;

/** Shared memory: one u32 for each batch (0: free, 1: on its way to the disk), then the batches. */
export const SLAB_STATES_BYTES = 64;
export const SHARED_BYTES = SLAB_STATES_BYTES + SLABS * SLAB_BYTES;
export const SLAB_FREE = 0;
export const SLAB_TAKEN = 1;
export const slabMemory = (shared: SharedArrayBuffer, slab: number): Memory =>
  new Memory(shared, SLAB_STATES_BYTES + slab * SLAB_BYTES, SLAB_BYTES);
export const slabStates = (shared: SharedArrayBuffer): Int32Array => new Int32Array(shared, 0, SLABS);

export interface RetentionOptions {
  /** Sealed segments older than this go; null: age does not matter. */
  readonly ageMs: number | null;
  /** The oldest go while the data folder is larger than this, in bytes; null: size does not matter. */
  readonly bytes: number | null;
}

export interface OpenMessage {
  readonly type: 'open';
  readonly data: string;
  readonly retention: RetentionOptions;
  /** SHARED_BYTES. */
  readonly shared: SharedArrayBuffer;
}
export interface BatchMessage {
  readonly type: 'batch';
  readonly slab: number;
  readonly length: number;
  readonly calls: number;
  readonly firstSequence: number;
  readonly segment: number;
  /** Unix time in ms at which the segment was begun: names its hour. */
  readonly openedMs: number;
}
export type ToWorker =
  /** Before `open`: records of made-up calls, for the thread's own account (store-rehearsal.ts). */
  | { readonly type: 'rehearse'; readonly records: ArrayBuffer; readonly last: boolean }
  | OpenMessage
  | BatchMessage
  /** No further batch for this segment: seal it. */
  | { readonly type: 'rotate'; readonly segment: number }
  | { readonly type: 'close' };

/** What happens to the store while it runs; for the user. */
export type StoreEvent =
  | { readonly type: 'write_failed'; readonly file: string; readonly code: string }
  | { readonly type: 'recovered'; readonly file: string }
  | { readonly type: 'seal_failed'; readonly segment: number; readonly code: string }
  /** It could not be sealed, and its log is no longer there: somebody removed the folder. */
  | { readonly type: 'segment_gone'; readonly segment: number; readonly calls: number; readonly code: string }
  | { readonly type: 'roll_up_failed'; readonly code: string }
  | { readonly type: 'damage'; readonly damage: StoreDamage };

export type FromWorker =
  /** A segment of made-up calls is over. */
  | { readonly type: 'rehearsed'; readonly calls: number }
  | { readonly type: 'opened'; readonly nextSegment: number; readonly damage: readonly StoreDamage[] }
  | { readonly type: 'refused'; readonly message: string; readonly hint: string }
  | { readonly type: 'event'; readonly event: StoreEvent }
  /** Calls that were never written, because the disk refused until the end. */
  | { readonly type: 'closed'; readonly unwritten: number };
