import { UNSEEN } from '../../base/clock.ts';
import type { StreamFacts } from '../../model/units.ts';

/** When events came: a count and three times, whatever the number of events. */
export class EventTimes {
  readonly #kind: StreamFacts['kind'];
  #count = 0;
  #firstAt = UNSEEN;
  #lastAt = UNSEEN;
  #maxGapNs = UNSEEN;
  #partial = false;
  /** When the event before came, if none can be between it and the next one; else UNSEEN. */
  #before = UNSEEN;

  constructor(kind: StreamFacts['kind']) {
    this.#kind = kind;
  }

  /** An event ended with a byte seen at `ts`. */
  event(ts: number): void {
    if (this.#count++ === 0 && !this.#partial) this.#firstAt = ts;
    if (this.#before !== UNSEEN && ts !== UNSEEN) this.#maxGapNs = Math.max(this.#maxGapNs, ts - this.#before);
    this.#before = ts;
    if (ts !== UNSEEN) this.#lastAt = ts;
  }

  /** Bytes that may have held events were not seen. */
  hole(): void {
    this.#partial = true;
    this.#before = UNSEEN;
  }

  facts(): StreamFacts {
    return {
      kind: this.#kind,
      events: this.#count,
      firstAt: this.#firstAt,
      lastAt: this.#lastAt,
      maxGapNs: this.#maxGapNs,
      partial: this.#partial,
    };
  }
}
