/**
 * Counts the events of a text/event-stream (WHATWG HTML 9.2.6): lines end in CRLF, LF or CR; an empty line ends an event,
 * and one without a `data` field is none, so comments that keep a connection alive do not count. Nothing is kept but where
 * reading stands. After a hole, counting goes on at the next line; an event of which a part was in it does not count
 * unless a data line of it comes afterwards.
 */
import type { Memory } from '../../base/memory.ts';
import type { EventUnits, StreamFacts } from '../../model/units.ts';
import { EventTimes } from './times.ts';

const LF = 10;
const CR = 13;
const COLON = 58;
const DATA = 'data';
const BOM = [0xef, 0xbb, 0xbf];

/** Where reading stands in a line: so many characters of `data` came and nothing else, or one of these. */
const OTHER = -1;
const IS_DATA = DATA.length + 1;

export class ServerSentEvents implements EventUnits {
  readonly kind = 'sse';
  readonly #times = new EventTimes('sse');
  #line = 0;
  /** The event at hand has a data line. */
  #data = false;
  /** The last byte was a CR: an LF after it belongs to it. */
  #cr = false;
  /** Bytes of a byte order mark at the very beginning; -1: past it. */
  #bom = 0;

  read(memory: Memory, from: number, end: number, ts: number): void {
    const { view } = memory;
    for (let at = from; at < end; at++) {
      const c = view.getUint8(at);
      if (c === LF || c === CR) {
        if (c === CR || !this.#cr) this.#lineEnd(ts);
        this.#cr = c === CR;
        continue;
      }
      this.#cr = false;
      if (this.#line === OTHER || this.#line === IS_DATA) continue;
      if (this.#bom >= 0 && this.#mark(c)) continue;
      if (this.#line === DATA.length) this.#line = c === COLON ? IS_DATA : OTHER;
      else this.#line = c === DATA.charCodeAt(this.#line) ? this.#line + 1 : OTHER;
    }
  }

  skip(): void {
    this.#times.hole();
    this.#line = OTHER;
    this.#data = false;
    this.#cr = false;
    this.#bom = -1;
  }

  facts(): StreamFacts {
    return this.#times.facts();
  }

  #lineEnd(ts: number): void {
    const line = this.#line;
    const empty = line === 0 && this.#bom <= 0;
    this.#line = 0;
    this.#bom = -1;
    if (line === IS_DATA || line === DATA.length) this.#data = true;
    else if (empty && this.#data) {
      this.#data = false;
      this.#times.event(ts);
    }
  }

  /** Whether `c` belongs to a byte order mark. */
  #mark(c: number): boolean {
    if (c === BOM[this.#bom]) {
      this.#bom = this.#bom === BOM.length - 1 ? -1 : this.#bom + 1;
      return true;
    }
    if (this.#bom > 0) this.#line = OTHER;
    this.#bom = -1;
    return this.#line === OTHER;
  }
}
