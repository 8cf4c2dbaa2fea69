/** What the thread that parses and the thread that writes say to each other. Batches themselves lie in shared memory. */
import type { StoreDamage } from './recover.ts';

/** Shared batches, and the bytes of each. All of them filled is the queue's bound: half a second at 30,000 calls/s. */
export const SLABS = 4;
export const SLAB_BYTES = 2 << 20;

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
  readonly slabs: SharedArrayBuffer;
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
  | OpenMessage
  | BatchMessage
  /** No further batch for this segment: seal it. */
  | { readonly type: 'rotate'; readonly segment: number }
  | { readonly type: 'close'; readonly sealAtMs: number };

/** What happens to the store while it runs; for the user. */
export type StoreEvent =
  | { readonly type: 'write_failed'; readonly file: string; readonly code: string }
  | { readonly type: 'recovered'; readonly file: string }
  | { readonly type: 'seal_failed'; readonly segment: number; readonly code: string }
  | { readonly type: 'damage'; readonly damage: StoreDamage };

export type FromWorker =
  | { readonly type: 'opened'; readonly nextSegment: number; readonly damage: readonly StoreDamage[] }
  | { readonly type: 'refused'; readonly message: string; readonly hint: string }
  | { readonly type: 'written'; readonly slab: number }
  | { readonly type: 'event'; readonly event: StoreEvent }
  /** Calls that were never written, because the disk refused until the end. */
  | { readonly type: 'closed'; readonly unwritten: number };
