/** The most turns that are remembered. */
const KEPT = 16;

/**
 * Where the other side spoke up: stream offsets of one direction that data of the other direction acknowledged. A
 * message that does not share a burst with the one before it starts at such an offset, a piece of a body does not (save
 * where the other side answers early): after a loss that tells a message start from a body that looks like one.
 */
export class Turns {
  /** The last acknowledgement noted; -1 when it is not known. */
  #last = -1;
  #offsets: number[] | null = null;
  #next = 0;

  /** The other side spoke (data, or the opening of the connection) and acknowledged `ack`; -1: not known how far. */
  note(ack: number): void {
    if (ack === this.#last) return;
    this.#last = ack;
    if (ack < 0) return;
    this.#offsets ??= [];
    this.#offsets[this.#next] = ack;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** What was said at `ack` was no turn: the other side only interjected (100 Continue). */
  forget(ack: number): void {
    const i = this.#offsets === null ? -1 : this.#offsets.indexOf(ack);
    if (i >= 0) this.#offsets![i] = -1;
  }

  /** Is anything known? Then only `has` an offset when a turn was there. */
  get known(): boolean {
    return this.#last >= 0;
  }

  has(offset: number): boolean {
    return this.#offsets?.includes(offset) === true;
  }
}
