/** The encodings of a Parquet page that page.ts writes, read back. Never throws on any bytes. */

const DELTA_BLOCK = 128;
const MINIBLOCK = 32;

/** The body of a page. What it lacks shows in fewer values than were said. */
export class PageReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Length, then bytes, of each. */
  plain(count: number): Buffer[] {
    const values: Buffer[] = [];
    while (values.length < count && this.#at + 4 <= this.#bytes.length) {
      const length = this.#bytes.readUInt32LE(this.#at);
      const end = this.#at + 4 + length;
      if (end > this.#bytes.length) break;
      values.push(this.#bytes.subarray(this.#at + 4, end));
      this.#at = end;
    }
    return values;
  }

  texts(into: Buffer[]): boolean {
    const lengths: number[] = [];
    if (!this.deltas(lengths)) return false;
    for (const length of lengths) {
      const end = this.#at + length;
      if (length < 0 || end > this.#bytes.length) return false;
      into.push(this.#bytes.subarray(this.#at, end));
      this.#at = end;
    }
    return true;
  }

  /** Indices into a dictionary; `put` may refuse one. */
  indices(count: number, put: (index: number) => boolean): boolean {
    const width = this.#bytes[this.#at++];
    return width !== undefined && width <= 32 && this.#hybrid(width, count, put);
  }

  /** Definition levels of an optional column: whether each row has a value. */
  levels(count: number): boolean[] | null {
    const present: boolean[] = [];
    if (this.#at + 4 > this.#bytes.length) return null;
    const end = this.#at + 4 + this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    const read = this.#hybrid(1, count, (level) => present.push(level === 1) > 0);
    return read && this.#at === end ? present : null;
  }

  /** `count` values of the hybrid of runs and groups of eight; `put` may refuse one. */
  #hybrid(width: number, count: number, put: (value: number) => boolean): boolean {
    for (let left = count; left > 0; ) {
      const head = this.#varint();
      if (head === null) return false;
      if (head % 2 === 0) {
        let index = 0;
        for (let shift = 0; shift < width; shift += 8) index += (this.#bytes[this.#at++] ?? 0) * 2 ** shift;
        const run = Math.min(head / 2, left);
        if (run === 0) return false;
        for (let i = 0; i < run; i++) if (!put(index)) return false;
        left -= run;
        continue;
      }
      const values = ((head - 1) / 2) * 8;
      const bits = new BitReader(this.#bytes, this.#at, width);
      this.#at += (values / 8) * width;
      if (this.#at > this.#bytes.length || values === 0) return false;
      for (let i = 0; i < values && left > 0; i++, left--) if (!put(bits.next())) return false;
    }
    return true;
  }

  /** Numbers less `base`. */
  deltas(into: number[], base = 0n): boolean {
    const [block, miniblocks, count] = [this.#varint(), this.#varint(), this.#varint()];
    const wide = this.#wideZigzag();
    const first = wide === null ? null : Number(wide - base);
    if (block !== DELTA_BLOCK || miniblocks !== DELTA_BLOCK / MINIBLOCK || count === null || first === null)
      return false;
    if (count === 0) return true;
    let value = first;
    into.push(value);
    for (let left = count - 1; left > 0; ) {
      const min = this.#zigzag();
      if (min === null || this.#at + miniblocks > this.#bytes.length) return false;
      const widths = this.#bytes.subarray(this.#at, this.#at + miniblocks);
      this.#at += miniblocks;
      for (let m = 0; m < miniblocks && left > 0; m++) {
        const width = widths[m]!;
        const bits = new BitReader(this.#bytes, this.#at, width);
        this.#at += (MINIBLOCK * width) / 8;
        if (width > 53 || this.#at > this.#bytes.length) return false;
        for (let i = 0; i < MINIBLOCK && left > 0; i++, left--) {
          value += min + bits.next();
          into.push(value);
        }
      }
    }
    return true;
  }

  /** null: there is none, or it is beyond 2^53. */
  #varint(): number | null {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return null;
      value += (byte & 127) * factor;
      if (byte < 128) return value <= Number.MAX_SAFE_INTEGER ? value : null;
    }
    return null;
  }

  #wideZigzag(): bigint | null {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return null;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value & 1n ? -(value + 1n) / 2n : value / 2n;
    }
    return null;
  }

  #zigzag(): number | null {
    const value = this.#varint();
    return value === null ? null : value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/** Numbers of `width` bits, least bit first. */
class BitReader {
  readonly #bytes: Buffer;
  readonly #width: number;
  #at: number;
  #bit = 0;

  constructor(bytes: Buffer, at: number, width: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#width = width;
  }

  next(): number {
    let value = 0;
    for (let got = 0; got < this.#width; ) {
      const take = Math.min(8 - this.#bit, this.#width - got);
      value += (((this.#bytes[this.#at] ?? 0) >>> this.#bit) & ((1 << take) - 1)) * 2 ** got;
      got += take;
      this.#bit += take;
      if (this.#bit === 8) {
        this.#bit = 0;
        this.#at++;
      }
    }
    return value;
  }
}
