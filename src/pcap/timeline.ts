import { type ClockAnchor, UNSEEN } from '../base/clock.ts';

/**
 * Packets may be older than the first one (merged files, several files in any order) and times must stay positive, so
 * time 0 is earlier by this much. A double then counts nanoseconds exactly for 74 days more.
 */
const MARGIN_S = 30 * 86_400;
const MARGIN_NS = BigInt(MARGIN_S) * 1_000_000_000n;
/** The end of the year 9999: what a file says beyond it is no time, and cannot be written as one. */
const WALL_NS_END = 253_402_300_800n * 1_000_000_000n;

/** Ties the times of all clocks in a capture to one anchor: the first packet that has a time, less a margin. */
export class Timeline {
  #anchor: ClockAnchor | null;
  readonly #onAnchor: (anchor: ClockAnchor) => void;

  /** `onAnchor` is called once, before any time is given; not when `anchor` (of an earlier file) is there already. */
  constructor(anchor: ClockAnchor | null, onAnchor: (anchor: ClockAnchor) => void) {
    this.#anchor = anchor;
    this.#onAnchor = onAnchor;
  }

  get anchor(): ClockAnchor | null {
    return this.#anchor;
  }

  /** A packet without a time comes first: any anchor will do. */
  ensure(): void {
    if (this.#anchor === null) this.#set({ wallNs: 0n });
  }

  /** Nanoseconds since the anchor of a Unix time. Slow: once for each clock. */
  since(wallNs: bigint): number {
    if (this.#anchor === null) this.#set({ wallNs: wallNs - MARGIN_NS });
    return Number(wallNs - (this.#anchor as ClockAnchor).wallNs);
  }

  #set(anchor: ClockAnchor): void {
    this.#anchor = anchor;
    this.#onAnchor(anchor);
  }
}

/** Times of one clock of a file, in units of `10 ** -digits` or `2 ** -bits` seconds, as two 32-bit halves. */
export class UnitClock {
  readonly #timeline: Timeline;
  readonly #unitsPerSecond: bigint;
  readonly #unitNs: number;
  readonly #offsetNs: bigint;
  #known = false;
  #baseHigh = 0;
  #baseLow = 0;
  #baseNs = 0;
  #endNs = 0;

  constructor(timeline: Timeline, unitsPerSecond: bigint, offsetSeconds: bigint) {
    this.#timeline = timeline;
    this.#unitsPerSecond = unitsPerSecond;
    this.#unitNs = 1e9 / Number(unitsPerSecond);
    this.#offsetNs = offsetSeconds * 1_000_000_000n;
  }

  /** Nanoseconds since the anchor; UNSEEN for a time before it, and for none. */
  time(high: number, low: number): number {
    if (!this.#known) {
      const units = (BigInt(high) << 32n) | BigInt(low);
      const wallNs = (units * 1_000_000_000n) / this.#unitsPerSecond + this.#offsetNs;
      if (wallNs < 0n || wallNs >= WALL_NS_END) {
        this.#timeline.ensure();
        return UNSEEN;
      }
      this.#known = true;
      this.#baseHigh = high;
      this.#baseLow = low;
      this.#baseNs = this.#timeline.since(wallNs);
      this.#endNs = this.#timeline.since(WALL_NS_END);
    }
    // Differences first: a double holds them exactly, the Unix time in nanoseconds it does not.
    const units = (high - this.#baseHigh) * 0x1_0000_0000 + (low - this.#baseLow);
    const ns = this.#baseNs + Math.round(units * this.#unitNs);
    return ns >= 0 && ns < this.#endNs ? ns : UNSEEN;
  }
}

/** Times of a classic pcap file: seconds and a fraction. */
export class SecondsClock {
  readonly #timeline: Timeline;
  readonly #fractionNs: number;
  #baseSeconds = 0;
  #baseNs = 0;
  /** The second that the last time was in (-1: there was none), and nanoseconds from the anchor to its begin. */
  #second = -1;
  #secondNs = 0;

  /** `fractionNs`: nanoseconds in one unit of the fraction. */
  constructor(timeline: Timeline, fractionNs: number) {
    this.#timeline = timeline;
    this.#fractionNs = fractionNs;
  }

  /** Nanoseconds since the anchor; UNSEEN for a time before it. */
  time(seconds: number, fraction: number): number {
    if (seconds !== this.#second) this.#turn(seconds, fraction);
    const ns = this.#secondNs + fraction * this.#fractionNs;
    return ns >= 0 ? ns : UNSEEN;
  }

  /** Another second begins. Seldom: V8 would take the product for a small integer, and throw its code away in the third one. */
  #turn(seconds: number, fraction: number): void {
    if (this.#second < 0) {
      const wallNs = BigInt(seconds) * 1_000_000_000n + BigInt(fraction * this.#fractionNs);
      this.#baseSeconds = seconds;
      this.#baseNs = this.#timeline.since(wallNs) - fraction * this.#fractionNs;
    }
    this.#second = seconds;
    this.#secondNs = this.#baseNs + (seconds - this.#baseSeconds) * 1e9;
  }
}
