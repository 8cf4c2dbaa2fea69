import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import type { EventUnits, StreamFacts } from '../../model/units.ts';
import { EventTimes } from './times.ts';

const LF = 10;
const SPACE = 32;

/**
 * Counts the lines of newline-delimited JSON that are not blank. The last one need not end in a newline. After a hole,
 * counting goes on behind the next newline: the line that was cut does not count.
 */
export class JsonLines implements EventUnits {
  readonly kind = 'ndjson';
  readonly #times = new EventTimes('ndjson');
  /** The line at hand: nothing but blanks, something, or cut by a hole. */
  #line: 'blank' | 'text' | 'cut' = 'blank';
  #textAt = UNSEEN;

  read(memory: Memory, from: number, end: number, ts: number): void {
    const { view } = memory;
    for (let at = from; at < end; at++) {
      const c = view.getUint8(at);
      if (c === LF) {
        if (this.#line === 'text') this.#times.event(ts);
        this.#line = 'blank';
      } else if (c > SPACE) {
        if (this.#line === 'blank') this.#line = 'text';
        this.#textAt = ts;
      }
    }
  }

  skip(): void {
    this.#times.hole();
    this.#line = 'cut';
  }

  facts(whole: boolean): StreamFacts {
    if (whole && this.#line === 'text') {
      this.#line = 'blank';
      this.#times.event(this.#textAt);
    }
    return this.#times.facts();
  }
}
