/** The chunked transfer coding (RFC 9112 7.1), a byte machine over positions: sizes are read, data is only counted. */
import type { Memory } from '../../base/memory.ts';
import { ANOMALY_BIT } from '../../model/message.ts';
import type { BodyUnits } from '../../model/units.ts';

const SIZE = 0;
const BLANK = 1;
const EXTENSION = 2;
const SIZE_LF = 3;
const DATA = 4;
const DATA_CR = 5;
const DATA_LF = 6;

export type ChunkOutcome = 'need_more' | 'last' | 'bad';

export class Chunks {
  outcome: ChunkOutcome = 'need_more';
  /** Data bytes of all chunks so far. */
  body = 0;
  /** ANOMALY_BIT set, once `bad`. */
  anomalies = 0;
  #state = SIZE;
  #size = 0;
  #digits = 0;
  /** Bytes of the size line so far. */
  #line = 0;
  #remaining = 0;

  begin(): void {
    this.outcome = 'need_more';
    this.body = 0;
    this.anomalies = 0;
    this.#nextChunk();
  }

  /**
   * Reads [at, end); returns where it stopped: `end`, just after the last chunk's size line (`last`), or at the byte that
   * broke the coding (`bad`). Strict: a size is hex digits up to 2^53 - 1; lines end in CRLF, for a bare LF or CR there is
   * how readers of one message come to disagree; extensions hold no control byte. Data seen at `ts` goes to `units`.
   */
  read(memory: Memory, at: number, end: number, lineMax: number, units: BodyUnits | null, ts: number): number {
    const { view } = memory;
    let o = at;
    while (o < end) {
      if (this.#state === DATA) {
        const taken = Math.min(end - o, this.#remaining);
        if (units !== null) units.read(memory, o, o + taken, ts);
        this.skip(taken);
        o += taken;
        continue;
      }
      const c = view.getUint8(o);
      if (this.#state === DATA_CR || this.#state === DATA_LF) {
        if (c !== (this.#state === DATA_CR ? 13 : 10)) return this.#bad(o, c, ANOMALY_BIT.bad_chunk_end);
        if (this.#state === DATA_CR) this.#state = DATA_LF;
        else this.#nextChunk();
        o++;
        continue;
      }
      if (++this.#line > lineMax || !this.#sizeLine(c)) return this.#bad(o, c, ANOMALY_BIT.bad_chunk_size);
      o++;
      if (this.#state === DATA && this.#remaining === 0) {
        this.outcome = 'last';
        return o;
      }
    }
    return o;
  }

  /** Passes over `length` bytes if they all lie in the current chunk's data. */
  skip(length: number): boolean {
    if (this.#state !== DATA || length > this.#remaining) return false;
    this.#remaining -= length;
    this.body += length;
    if (this.#remaining === 0) this.#state = DATA_CR;
    return true;
  }

  /** One byte of a size line; false: it has no place there. */
  #sizeLine(c: number): boolean {
    switch (this.#state) {
      case SIZE: {
        const digit = hexDigit(c);
        if (digit >= 0) {
          this.#digits++;
          this.#size = this.#size * 16 + digit;
          return this.#size <= Number.MAX_SAFE_INTEGER;
        }
        if (this.#digits === 0) return false;
        if (c === 13) this.#state = SIZE_LF;
        else if (c === 59) this.#state = EXTENSION;
        else if (c === 32 || c === 9) this.#state = BLANK;
        else return false;
        return true;
      }
      case BLANK:
        // BWS, which only an extension may follow.
        if (c === 59) this.#state = EXTENSION;
        return c === 59 || c === 32 || c === 9;
      case EXTENSION:
        if (c === 13) this.#state = SIZE_LF;
        return c === 13 || c === 9 || (c >= 32 && c !== 0x7f);
      default:
        if (c !== 10) return false;
        this.#remaining = this.#size;
        this.#state = DATA;
        return true;
    }
  }

  #nextChunk(): void {
    this.#state = SIZE;
    this.#size = 0;
    this.#digits = 0;
    this.#line = 0;
    this.#remaining = 0;
  }

  #bad(o: number, c: number, anomaly: number): number {
    this.outcome = 'bad';
    this.anomalies = anomaly | (c === 10 ? ANOMALY_BIT.bare_lf : 0) | (c === 0 ? ANOMALY_BIT.nul_byte : 0);
    if (this.#state === SIZE_LF) this.anomalies |= ANOMALY_BIT.bare_cr;
    return o;
  }
}

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
