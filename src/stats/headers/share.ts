/**
 * A share (of messages that have a header, of lines with a value) over the windows so far, older ones fading. Two things are learned: where it
 * stands, and how much it moves from window to window by itself. The second is what keeps mixed clients with fluctuating parts quiet: against
 * sampling noise alone, any fluctuation would be significant sooner or later.
 */
import { tail } from './significance.ts';

/** What is left of a window's weight when the next one comes: the last sixteen windows or so count. */
export const FADE = 15 / 16;
/**
 * Before windows have shown how much a share moves, it is taken to move like a draw from a beta distribution with this intraclass correlation
 * (a share of one half then has a standard deviation of 0.16), with the weight of so many windows.
 */
const PRIOR_CORRELATION = 0.1;
const PRIOR_WINDOWS = 3;
/** Calls come in bunches - those of one connection share a client - so that n of them weigh as n / BUNCH independent ones, if not fewer. */
export const BUNCH = 2;

export class Share {
  /** Faded sums: of counts, of trials, of trials squared, of counts squared by trials. */
  #x = 0;
  #n = 0;
  #nn = 0;
  #xx = 0;
  /** Never anything but 0; never anything but all. */
  #none = true;
  #all = true;

  get trials(): number {
    return this.#n;
  }

  get mean(): number {
    return this.#n === 0 ? 0 : this.#x / this.#n;
  }

  /** Windows that count, by their weight. */
  get windows(): number {
    return this.#nn === 0 ? 0 : (this.#n * this.#n) / this.#nn;
  }

  get none(): boolean {
    return this.#none;
  }

  get all(): boolean {
    return this.#all;
  }

  /** A window with `x` out of `n`. */
  add(x: number, n: number): void {
    this.fade();
    if (n === 0) return;
    this.#x += x;
    this.#n += n;
    this.#nn += n * n;
    this.#xx += (x * x) / n;
    if (x > 0) this.#none = false;
    if (x < n) this.#all = false;
  }

  /** A share that was always 0 in as many trials as another has. */
  static never(like: Share): Share {
    const share = new Share();
    share.#n = like.#n;
    share.#nn = like.#nn;
    share.#all = like.#n === 0;
    return share;
  }

  /** A window goes by without trials. */
  fade(): void {
    this.#x *= FADE;
    this.#n *= FADE;
    this.#nn *= FADE;
    this.#xx *= FADE;
  }

  /**
   * Probability of `x` out of `n`, or something farther from the mean on the same side, if nothing changed. `bunch`: of how many trials one is
   * independent, at least BUNCH.
   */
  surprise(x: number, n: number, bunch: number): number {
    if (this.#n === 0 || n === 0) return 1;
    const trials = Math.floor(n / bunch);
    const known = this.#n / bunch;
    const smoothed = (this.#x / bunch + 0.5) / (known + 1);
    const count = x > smoothed * n ? Math.floor(x / bunch) : Math.ceil(x / bunch);
    // What was all or nothing in every window does not fluctuate with the clients' parts: only what is not known yet counts.
    const strength = this.#none || this.#all ? known + 1 : 1 / (this.#correlation() + 1 / (known + 1)) - 1;
    return tail(count, trials, smoothed, Math.max(strength, 0.1));
  }

  /** How much the share moves between windows, beyond sampling (by moments). */
  #correlation(): number {
    const p = this.mean;
    const spread = p * (1 - p);
    const { windows } = this;
    const freedom = Math.max(0, windows - 1);
    if (spread <= 0) return PRIOR_CORRELATION;
    const observed = (this.#xx / this.#n - p * p) / spread - freedom / this.#n;
    const learned = freedom < 0.5 ? 0 : Math.max(0, observed) * (windows / freedom);
    return Math.min(0.9, (PRIOR_WINDOWS * PRIOR_CORRELATION + freedom * learned) / (PRIOR_WINDOWS + freedom));
  }
}
