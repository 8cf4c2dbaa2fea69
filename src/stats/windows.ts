/** Counts for each of the last minutes, and how fast an error budget burns over several windows. The caller drives time. */

/** Six hours, the longest window of the burn rate. */
export const WINDOW_MINUTES = 360;

/** The windows of error-budget burn, in minutes: a fast one to notice, slower ones to be sure (Google SRE workbook, chapter 5). */
export const BURN_WINDOWS = { '5m': 5, '1h': 60, '6h': 360 } as const;
export type BurnWindow = keyof typeof BURN_WINDOWS;
/** Share of calls that shall succeed, for which a report gives burn rates. */
export const BURN_OBJECTIVE = 0.999;

export interface WindowCount {
  calls: number;
  errors: number;
}

/** What each window holds. */
export type BurnCounts = Readonly<Record<BurnWindow, WindowCount>>;

/** Burn of one service on one side. */
export interface ServiceBurn {
  readonly service: string;
  readonly side: string;
  readonly burn: BurnCounts;
}

/** `sum`: calls and errors of the last so many minutes. */
export const burnOf = (sum: (minutes: number) => WindowCount): BurnCounts => ({
  '5m': sum(BURN_WINDOWS['5m']),
  '1h': sum(BURN_WINDOWS['1h']),
  '6h': sum(BURN_WINDOWS['6h']),
});

/** A ring of per-minute counts. Minutes are numbers that the caller chooses, such as Unix minutes. */
export class MinuteRing {
  readonly #calls = new Uint32Array(WINDOW_MINUTES);
  readonly #errors = new Uint32Array(WINDOW_MINUTES);
  /** Which minute a place holds; -1: none. */
  readonly #minutes = new Float64Array(WINDOW_MINUTES).fill(-1);

  /** Adds to `minute`; nothing if its place is taken by a later one, which is more than WINDOW_MINUTES ahead. */
  add(minute: number, calls: number, errors: number): void {
    const at = minute % WINDOW_MINUTES;
    if (this.#minutes[at] !== minute) {
      if (this.#minutes[at]! > minute) return;
      this.#minutes[at] = minute;
      this.#calls[at] = 0;
      this.#errors[at] = 0;
    }
    this.#calls[at]! += calls;
    this.#errors[at]! += errors;
  }

  /** Counts of the `minutes` up to and with `last`. O(minutes). */
  sum(last: number, minutes: number): WindowCount {
    const total = { calls: 0, errors: 0 };
    for (let minute = Math.max(0, last - minutes + 1); minute <= last; minute++) {
      const at = minute % WINDOW_MINUTES;
      if (this.#minutes[at] !== minute) continue;
      total.calls += this.#calls[at]!;
      total.errors += this.#errors[at]!;
    }
    return total;
  }
}

/**
 * How many times faster than allowed errors come: 1 uses the budget up exactly at the end of its period. null without calls.
 *
 * @param objective share of calls that shall succeed, in (0, 1): 0.999
 */
export function burnRate({ calls, errors }: Readonly<WindowCount>, objective: number): number | null {
  return calls === 0 ? null : errors / calls / (1 - objective);
}
