import { PLAIN } from './json.ts';

/** Up to here a loop is faster than a call into the runtime. */
const SHORT = 48;
/** A line of two full header blocks, every byte escaped, fits; the buffer grows up to what was needed and stays. */
const START_BYTES = 64 << 10;

/**
 * A line while it is made, as bytes. Joining strings instead costs twice: once to link the pieces, once to copy them out.
 * All text is ASCII.
 */
export class LineBuffer {
  bytes: Buffer = Buffer.allocUnsafeSlow(START_BYTES);
  length = 0;

  clear(): void {
    this.length = 0;
  }

  /** Makes room for `more` bytes. */
  reserve(more: number): void {
    const wanted = this.length + more;
    if (wanted <= this.bytes.length) return;
    const bytes = Buffer.allocUnsafeSlow(Math.max(wanted, this.bytes.length * 2));
    this.bytes.copy(bytes, 0, 0, this.length);
    this.bytes = bytes;
  }

  /** Appends ASCII text. */
  text(ascii: string): void {
    const size = ascii.length;
    this.reserve(size);
    const { bytes } = this;
    let at = this.length;
    if (size <= SHORT) for (let i = 0; i < size; i++) bytes[at++] = ascii.charCodeAt(i);
    else at += bytes.latin1Write(ascii, at);
    this.length = at;
  }

  /** Appends one ASCII character. */
  byte(code: number): void {
    this.reserve(1);
    this.bytes[this.length++] = code;
  }

  /** Appends text as the inside of a JSON string when nothing in it needs escaping; false: nothing was appended. */
  json(latin1: string): boolean {
    const size = latin1.length;
    this.reserve(size);
    const { bytes, length } = this;
    for (let i = 0; i < size; i++) {
      const code = latin1.charCodeAt(i);
      if (PLAIN[code] !== 1) return false;
      bytes[length + i] = code;
    }
    this.length = length + size;
    return true;
  }

  /** Appends bytes that were made before. */
  append(ascii: Uint8Array): void {
    const size = ascii.length;
    this.reserve(size);
    const { bytes } = this;
    let at = this.length;
    if (size <= SHORT) for (let i = 0; i < size; i++) bytes[at++] = ascii[i]!;
    else {
      bytes.set(ascii, at);
      at += size;
    }
    this.length = at;
  }

  /** Appends an integer in decimal. */
  integer(n: number): void {
    if (n < 0 || n > 0x7fffffff) {
      this.text(`${n}`);
      return;
    }
    this.reserve(10);
    let digits = 1;
    for (let limit = 10; digits < 10 && n >= limit; limit *= 10) digits++;
    let rest = n | 0;
    const { bytes } = this;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = 48 + rest - tenth * 10;
      rest = tenth;
    }
    this.length += digits;
  }

  /** Appends a whole number below 10^9 as nine digits. */
  nineDigits(n: number): void {
    this.reserve(9);
    const { bytes } = this;
    let rest = n | 0;
    for (let at = this.length + 8; at >= this.length; at--) {
      const tenth = (rest / 10) | 0;
      bytes[at] = 48 + rest - tenth * 10;
      rest = tenth;
    }
    this.length += 9;
  }

  /** Appends a whole number in base 36, as Number.toString(36) writes it. */
  base36(n: number): void {
    if (n < 0 || n > 0x7fffffff) {
      this.text(n.toString(36));
      return;
    }
    this.reserve(6);
    let digits = 1;
    for (let limit = 36; digits < 6 && n >= limit; limit *= 36) digits++;
    let rest = n | 0;
    const { bytes } = this;
    for (let at = this.length + digits - 1; at >= this.length; at--) {
      const next = (rest / 36) | 0;
      const digit = rest - next * 36;
      bytes[at] = digit < 10 ? 48 + digit : 87 + digit;
      rest = next;
    }
    this.length += digits;
  }

  toString(): string {
    return this.bytes.latin1Slice(0, this.length);
  }
}
