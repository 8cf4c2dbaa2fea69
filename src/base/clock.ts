/**
 * Times inside Headwater are numbers: nanoseconds since the anchor of the source (the agent's start, or the first
 * packet of a file). A double holds 104 days of nanoseconds exactly and costs 1 ns where a bigint costs 35.
 */

/** A time that was not seen. Printed as null, never as a guess. */
export const UNSEEN = -1;

/** Ties a source's time 0 to the wall clock. Wall-clock steps after the start do not move it. */
export interface ClockAnchor {
  /** Unix time of `ts === 0`, in nanoseconds. */
  readonly wallNs: bigint;
}

/**
 * Unix time in milliseconds as the clock showed it when this thread began, gone on by the monotonic clock: what is compared
 * with times of calls, or must not jump when somebody sets the clock, asks this and not Date.now().
 */
export const steadyMs = (): number => performance.timeOrigin + performance.now();

const pad = (n: number, width: number): string => n.toString().padStart(width, '0');

/** Formats anchored times as RFC 3339 with nine decimals, without bigint arithmetic for each call. */
export class TimeFormatter {
  readonly #anchorS: number;
  readonly #anchorNs: number;
  #second = Number.NaN;
  #text = '';

  constructor(anchor: ClockAnchor) {
    this.#anchorS = Number(anchor.wallNs / 1_000_000_000n);
    this.#anchorNs = Number(anchor.wallNs % 1_000_000_000n);
  }

  /** `2026-11-22T16:04:05.123456789Z`; `ts` in nanoseconds since the anchor, must not be UNSEEN. */
  format(ts: number): string {
    const nanoseconds = this.split(ts);
    return `${this.#text}${pad(nanoseconds, 9)}Z`;
  }

  /** For whoever writes bytes: the nanoseconds of `ts` within its second, whose text is `secondText` afterwards. */
  split(ts: number): number {
    const total = ts + this.#anchorNs;
    const whole = Math.floor(total / 1e9);
    const second = this.#anchorS + whole;
    if (second !== this.#second) {
      this.#second = second;
      const date = new Date(second * 1000);
      this.#text = Number.isNaN(date.getTime()) ? '1970-01-01T00:00:00.' : date.toISOString().slice(0, 20);
    }
    return total - whole * 1e9;
  }

  /** What format() writes before the nine decimals, for the time last given to split(). */
  get secondText(): string {
    return this.#text;
  }
}
