/**
 * The chunked transfer coding (RFC 9112 7.1), a byte machine over positions: sizes are read, data is only counted.
 *
 * Where size lines are among bytes that were left out it goes `astray`: everything counts as data until a size line is believed
 * again, which is one whose chunk ends where it says, before another size line. A body may quote chunks, so the last one is
 * believed behind another, or where it and its trailer section are all of what was written at once.
 */
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
/** Astray: a size line is looked for. */
const LOOKING = 7;

/** Astray: how much of what comes before a size line was seen. */
const NOTHING = 0;
const SEEN_CR = 1;
const SEEN_LINE_END = 2;
/** Longer chunks are not believed while astray: servers write what they have in a buffer. */
const TRIAL_BYTES_MAX = 16 << 20;
/** A last chunk and its trailer section: RFC 9112 7.1.2. */
const LAST_BYTES_MAX = 4_096;

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
  /** Size lines were missed, and none is believed yet. */
  astray = false;
  /** It was astray: what is believed since is likely, not certain. */
  doubtful = false;
  /** It was astray, and its last chunk may be what came last, or among what is missing there. */
  mayHaveEnded = false;
  /** Astray: the present chunk begins with what may be a size line. */
  #trial = false;
  /** Bytes of framing since it went astray, which are data if it is not believed. */
  #uncounted = 0;
  #before = NOTHING;

  begin(): void {
    this.outcome = 'need_more';
    this.body = 0;
    this.anomalies = 0;
    this.astray = false;
    this.doubtful = false;
    this.mayHaveEnded = false;
    this.#trial = false;
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
    this.mayHaveEnded = this.doubtful && endsSection(memory, at, end);
    if (this.astray && this.#state === LOOKING && isLast(memory, at, end)) {
      this.astray = false;
      this.#nextChunk();
    }
    while (o < end) {
      if (this.#state === LOOKING) {
        o = this.#look(memory, o, end);
        continue;
      }
      if (this.#state === DATA) {
        const taken = Math.min(end - o, this.#remaining);
        if (units !== null) units.read(memory, o, o + taken, ts);
        this.skip(taken);
        o += taken;
        continue;
      }
      const c = view.getUint8(o);
      if (this.#state === DATA_CR || this.#state === DATA_LF) {
        if (c !== (this.#state === DATA_CR ? 13 : 10)) {
          if (this.doubtful) {
            this.#lookOn(0);
            continue;
          }
          return this.#bad(o, c, ANOMALY_BIT.bad_chunk_end);
        }
        if (this.#state === DATA_CR) this.#state = DATA_LF;
        else this.#nextChunk();
        this.#uncounted++;
        o++;
        continue;
      }
      if (++this.#line > lineMax || !this.#sizeLine(c)) {
        if (this.doubtful) {
          this.#lookOn(0);
          continue;
        }
        return this.#bad(o, c, ANOMALY_BIT.bad_chunk_size);
      }
      this.#uncounted++;
      o++;
      if (this.#state !== DATA) continue;
      if (this.astray && !this.#believe()) continue;
      if (this.#remaining === 0) {
        this.outcome = 'last';
        return o;
      }
    }
    return o;
  }

  /** Data of the present chunk that is still to come. */
  get remaining(): number {
    return this.#state === DATA ? this.#remaining : 0;
  }

  /** `length` bytes will never come: passes over them as `skip` does. */
  miss(length: number): boolean {
    this.mayHaveEnded = this.astray;
    return this.skip(length);
  }

  /** Passes over `length` bytes if they all lie in the current chunk's data, or end with the line end behind it. */
  skip(length: number): boolean {
    const lineEnd = this.#state === DATA || this.#state === DATA_CR ? 2 : this.#state === DATA_LF ? 1 : -1;
    if (lineEnd >= 0 && length === this.#remaining + lineEnd) {
      this.body += this.#remaining;
      this.#uncounted += lineEnd;
      this.#nextChunk();
      return true;
    }
    if (this.#state !== DATA || length > this.#remaining) return false;
    this.#remaining -= length;
    this.body += length;
    if (this.#remaining === 0) this.#state = DATA_CR;
    return true;
  }

  /** `length` bytes will never come, with size lines among them. */
  stray(length: number): void {
    this.doubtful = true;
    this.mayHaveEnded = true;
    this.#lookOn(length);
    // What comes next may be a size line: many a server writes each chunk with its own.
    this.#before = SEEN_LINE_END;
  }

  /** `bytes` that were not believed, or never came, are data. */
  #lookOn(bytes: number): void {
    if (!this.astray) this.#uncounted = 0;
    this.body += bytes + this.#uncounted;
    this.#uncounted = 0;
    this.astray = true;
    this.#state = LOOKING;
    this.#trial = false;
    this.#before = NOTHING;
  }

  /** Looks for a line end, and reads on behind it as if a size line came; returns where that is. */
  #look({ view }: Memory, at: number, end: number): number {
    for (let o = at; o < end; o++) {
      if (this.#before === SEEN_LINE_END) {
        this.#nextChunk();
        return o;
      }
      const c = view.getUint8(o);
      this.#before = c === 13 ? SEEN_CR : c === 10 && this.#before === SEEN_CR ? SEEN_LINE_END : NOTHING;
      this.body++;
    }
    return end;
  }

  /** A size line was read, astray: whether it is believed. Else a chunk follows on trial, or nothing. */
  #believe(): boolean {
    if (this.#trial) {
      this.#trial = false;
      this.astray = false;
      this.#uncounted = 0;
      return true;
    }
    if (this.#remaining === 0 || this.#remaining > TRIAL_BYTES_MAX) this.#lookOn(0);
    else this.#trial = true;
    return false;
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

/** Whether [at, end) is a last chunk and a whole trailer section, for all that a glance says: a field's name begins each line. */
function isLast({ view }: Memory, at: number, end: number): boolean {
  if (end - at > LAST_BYTES_MAX || end - at < 5) return false;
  if (view.getUint8(at) !== 48 || view.getUint16(at + 1) !== CRLF) return false;
  for (let o = at + 3, colon = false; o + 1 < end; o++) {
    const c = view.getUint8(o);
    if (c === 58) colon = true;
    if (!colon && (c === 32 || c === 9)) return false;
    if (view.getUint16(o) !== CRLF) continue;
    if (view.getUint16(o - 2) === CRLF) return o + 2 === end;
    if (!colon) return false;
    colon = false;
    o++;
  }
  return false;
}

/** Whether [at, end) ends as a trailer section does, for all that is there of it. */
const endsSection = ({ view }: Memory, at: number, end: number): boolean =>
  end - at < 4 || view.getUint32(end - 4) === CRLF_CRLF;

const CRLF = 0x0d0a;
const CRLF_CRLF = 0x0d0a0d0a;

function hexDigit(c: number): number {
  if (c >= 48 && c <= 57) return c - 48;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
