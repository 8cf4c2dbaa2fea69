/**
 * Compact binary for states that are kept on disk and read back: unsigned LEB128 for counts, float64 where a number is no
 * integer. The reader takes hostile bytes: it never throws; what does not fit makes `ok` false and every later answer 0.
 */

const FIRST_SIZE = 256;
/** Largest LEB128 number: 2^53 - 1 takes eight bytes. */
const VARINT_BYTES_MAX = 8;

export class ByteWriter {
  #bytes = new Uint8Array(FIRST_SIZE);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  byte(value: number): void {
    this.#room(1);
    this.#bytes[this.#length++] = value;
  }

  /** A non-negative safe integer. */
  varint(value: number): void {
    this.#room(VARINT_BYTES_MAX);
    let rest = value;
    while (rest >= 0x8000_0000) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    let low = rest | 0;
    while (low > 127) {
      this.#bytes[this.#length++] = (low & 127) | 0x80;
      low >>>= 7;
    }
    this.#bytes[this.#length++] = low;
  }

  /** An integer of either sign, small in size when small in magnitude. */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  float64(value: number): void {
    this.#room(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  /** Length, then UTF-8. */
  text(value: string): void {
    const bytes = Buffer.from(value, 'utf8');
    this.varint(bytes.length);
    this.bytes(bytes);
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
  }

  /** A copy of what was written. */
  take(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #room(size: number): void {
    if (this.#length + size <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + size));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

export class ByteReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  /** False once something was missing or did not fit. */
  ok = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  /** Where it is: for `seek`. */
  get at(): number {
    return this.#at;
  }

  /** Goes back to where it was. */
  seek(at: number): void {
    this.#at = at;
  }

  byte(): number {
    if (this.left < 1) return this.fail();
    return this.#bytes[this.#at++]!;
  }

  varint(): number {
    const first = this.#bytes[this.#at];
    if (first !== undefined && first < 128) {
      this.#at++;
      return first;
    }
    let value = 0;
    let factor = 1;
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value <= Number.MAX_SAFE_INTEGER ? value : this.fail();
      factor *= 128;
    }
    return this.fail();
  }

  zigzag(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  float64(): number {
    if (this.left < 8) return this.fail();
    const value = this.#view.getFloat64(this.#at, true);
    this.#at += 8;
    return value;
  }

  /** At most `bytesMax` bytes of UTF-8. */
  text(bytesMax: number): string {
    const length = this.varint();
    if (length > bytesMax || length > this.left) {
      this.fail();
      return '';
    }
    const from = this.#at;
    this.#at += length;
    return Buffer.from(this.#bytes.buffer, this.#bytes.byteOffset + from, length).toString('utf8');
  }

  /** `count` texts of at most `bytesMax` bytes of UTF-8 each. */
  texts(count: number, bytesMax: number): string[] {
    const bytes = this.#bytes;
    const begin = this.#at;
    const ends = new Uint32Array(2 * count);
    let bits = 0;
    for (let i = 0; i < count; i++) {
      const length = this.varint();
      ends[2 * i] = this.#at;
      if (length > bytesMax || length > this.left) {
        this.fail();
        return [];
      }
      const to = this.#at + length;
      for (let at = this.#at; at < to; at++) bits |= bytes[at]!;
      ends[2 * i + 1] = to;
      this.#at = to;
    }
    const all = Buffer.from(bytes.buffer, bytes.byteOffset + begin, this.#at - begin);
    const texts: string[] = [];
    // One long text, which parts of cost nothing: almost always all are ASCII.
    const whole = bits < 128 ? all.latin1Slice() : null;
    for (let i = 0; i < ends.length; i += 2) {
      const [from, to] = [ends[i]! - begin, ends[i + 1]! - begin];
      texts.push(whole === null ? all.toString('utf8', from, to) : whole.slice(from, to));
    }
    return texts;
  }

  /** The next bytes, where they lie; null: there are not so many. */
  take(length: number): Uint8Array | null {
    if (length > this.left) {
      this.fail();
      return null;
    }
    const from = this.#at;
    this.#at += length;
    return this.#bytes.subarray(from, this.#at);
  }

  /** What was read makes no sense. */
  fail(): number {
    this.ok = false;
    this.#at = this.#bytes.length;
    return 0;
  }
}
