/**
 * Notices that the machine's clock was set, or that the machine slept, while the agent runs. Times of calls are those of the
 * clock as it was at the start, gone on by the kernel's monotonic one (base/clock.ts), so nothing that is measured, paired or
 * stored goes wrong by it; but they differ from the new clock's, and whoever reads them must know.
 */
import { steadyMs } from '../base/clock.ts';

/** What time services correct by is less, or they set the clock. */
const STEP_MS_MIN = 1_000;

export class WallClock {
  /** How often it was set by a second or more. */
  steps = 0;
  readonly #aheadMs: () => number;
  readonly #say: (text: string) => void;
  #toldMs = 0;

  /** `aheadMs`: by how much the machine's clock is ahead of the run's. */
  constructor(say: (text: string) => void, aheadMs = (): number => Date.now() - steadyMs()) {
    this.#say = say;
    this.#aheadMs = aheadMs;
  }

  /** About once a second. */
  tick(): void {
    const aheadMs = this.#aheadMs();
    const byMs = aheadMs - this.#toldMs;
    if (Math.abs(byMs) < STEP_MS_MIN) return;
    // Between its two clocks this thread may have had to wait for a core: then a second look says otherwise.
    if (Math.abs(this.#aheadMs() - aheadMs) >= STEP_MS_MIN) return;
    this.steps++;
    this.#toldMs = Math.abs(aheadMs) < STEP_MS_MIN ? 0 : aheadMs;
    const moved = `the machine's clock went ${byMs > 0 ? 'forward' : 'back'} by ${seconds(byMs)} (it was set, or the machine slept)`;
    this.#say(`${moved}: ${this.problem || 'it is the one of this run again'}`);
  }

  /** What is wrong with times now, and what to do; empty: nothing is. */
  get problem(): string {
    const ms = this.#toldMs;
    if (ms === 0) return '';
    const side = ms > 0 ? 'behind' : 'ahead of';
    return `times of calls are ${seconds(ms)} ${side} the machine's clock, which changed while this runs: start it anew to take the new time`;
  }
}

const seconds = (ms: number): string => `${(Math.abs(ms) / 1_000).toFixed(1)} s`;
