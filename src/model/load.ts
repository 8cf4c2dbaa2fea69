/** Calls in flight, and how long a service was at each level of concurrency. */
import { UNSEEN } from '../base/clock.ts';

/** Levels of concurrency told apart: 2^20 calls at once and more share the last. */
export const LOAD_BUCKETS = 41;

/**
 * Bucket of `inFlight` calls at once: 0 for none (or not known), then 1, 2, 3, 4-5, 6-7, 8-11, 12-15, 16-23, ... - each power of
 * two and one and a half times it.
 */
export function loadBucket(inFlight: number): number {
  if (inFlight < 2) return inFlight < 1 ? 0 : 1;
  const octave = 31 - Math.clz32(inFlight);
  const bucket = 2 * octave + ((inFlight >>> (octave - 1)) & 1);
  return bucket < LOAD_BUCKETS ? bucket : LOAD_BUCKETS - 1;
}

/** The lowest number in flight of a bucket: what names it in reports. */
export function loadBucketFloor(bucket: number): number {
  if (bucket < 2) return bucket;
  const octave = bucket >> 1;
  return (bucket & 1) === 0 ? 2 ** octave : 3 * 2 ** (octave - 1);
}

/** Of a counter that nothing was counted in yet: each connection begins with one of its own. */
const NOTHING = new Float64Array(0);

/**
 * Calls in flight of one service on one side; shared by all its connections. Also the integral over time that throughput
 * under load needs: it grows at each arrival and end, and whoever does the statistics takes it away with `drain`.
 */
export class LoadCounter {
  inFlight = 0;
  /** Time up to which the integral is complete; UNSEEN before the first event with a time. */
  #since: number = UNSEEN;
  /** Nanoseconds in each bucket, and nanoseconds times calls in flight, since the last drain. */
  #residence = NOTHING;
  #area = NOTHING;
  /** Buckets that are not zero lie in [low, high]. */
  #low = LOAD_BUCKETS;
  #high = 0;

  /** Whether time has passed since the last drain. */
  get pending(): boolean {
    return this.#low <= this.#high;
  }

  /** A call arrives at `at`, in ns since the anchor (UNSEEN: not known). Returns how many are in flight, with it. */
  enter(at: number): number {
    this.#pass(at);
    return ++this.inFlight;
  }

  /** A call ended at `at`, or nobody knows when (UNSEEN): then no time passes here. */
  leave(at: number): void {
    this.#pass(at);
    this.inFlight--;
  }

  /**
   * Adds the time spent in each bucket (ns), and the same times the calls in flight, to `residence` and `area`, arrays of
   * LOAD_BUCKETS. Costs one addition for each bucket visited since the last call. Idle time (bucket 0) is among it.
   */
  drain(residence: Float64Array, area: Float64Array): void {
    for (let b = this.#low; b <= this.#high; b++) {
      residence[b]! += this.#residence[b]!;
      area[b]! += this.#area[b]!;
      this.#residence[b] = 0;
      this.#area[b] = 0;
    }
    this.#low = LOAD_BUCKETS;
    this.#high = 0;
  }

  #pass(at: number): void {
    const since = this.#since;
    // Connections are read in turn, so an event may be a little older than the last one of another connection.
    if (at === UNSEEN || at <= since) return;
    this.#since = at;
    if (since === UNSEEN) return;
    const n = this.inFlight;
    const bucket = loadBucket(n);
    const spent = at - since;
    if (this.#area === NOTHING) {
      this.#residence = new Float64Array(LOAD_BUCKETS);
      this.#area = new Float64Array(LOAD_BUCKETS);
    }
    this.#residence[bucket]! += spent;
    this.#area[bucket]! += spent * n;
    if (bucket < this.#low) this.#low = bucket;
    if (bucket > this.#high) this.#high = bucket;
  }
}
