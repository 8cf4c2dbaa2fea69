/**
 * When the store hears of the time: several times a second while the ring is read, because what it has accepted must not wait
 * long for the disk; else once a second with everything else, because each waking of an idle agent costs a fifth of a millisecond.
 */

/** From a look at the ring to the store's turn. */
const SOON_MS = 250;

export class StoreClock {
  readonly #tick: () => void;
  #timer: NodeJS.Timeout | null = null;
  #looked = false;

  constructor(tick: () => void) {
    this.#tick = tick;
  }

  /** The ring is looked at. */
  looked(): void {
    this.#looked = true;
    if (this.#timer === null) this.#arm();
  }

  /** A second has passed. */
  second(): void {
    if (this.#timer === null) this.#tick();
  }

  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #arm(): void {
    this.#looked = false;
    this.#timer = setTimeout(this.#soon, SOON_MS);
  }

  readonly #soon = (): void => {
    this.#timer = null;
    this.#tick();
    // Once more after the last look: a batch that was too young now is handed over then.
    if (this.#looked) this.#arm();
  };
}
