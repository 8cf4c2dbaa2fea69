/** A growing buffer of protobuf fields (protobuf.dev/programming-guides/encoding). */

const VARINT_MAX = 10;
const DOUBLE = 8;
/** Tag and length of a field, at most. */
const HEAD_MAX = 2 * VARINT_MAX;

export class Wire {
  #bytes = Buffer.allocUnsafe(256);
  #view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.length);
  length = 0;

  /** Bytes of a field that holds a message of `length` bytes. */
  static sizeOf(field: number, length: number): number {
    return varintSize(field * 8) + varintSize(length) + length;
  }

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(2 * (this.length + more));
    this.#bytes.copy(grown, 0, 0, this.length);
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer, grown.byteOffset, grown.length);
  }

  varint(value: number): this {
    this.#room(VARINT_MAX);
    const bytes = this.#bytes;
    let at = this.length;
    let rest = value;
    while (rest >= 128) {
      bytes[at++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    bytes[at++] = rest;
    this.length = at;
    return this;
  }

  zigzag(value: number): this {
    return this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  tag(field: number, type: number): this {
    return this.varint(field * 8 + type);
  }

  double(field: number, value: number): this {
    this.tag(field, 1).#room(DOUBLE);
    this.#view.setFloat64(this.length, value, true);
    this.length += DOUBLE;
    return this;
  }

  uint(field: number, value: number): this {
    return value === 0 ? this : this.tag(field, 0).varint(value);
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  text(field: number, text: string): this {
    const bytes = Buffer.from(text);
    return this.tag(field, 2).varint(bytes.length).raw(bytes);
  }

  message(field: number, inner: Wire): this {
    this.#room(HEAD_MAX + inner.length);
    this.tag(field, 2).varint(inner.length);
    const { length } = this;
    inner.#bytes.copy(this.#bytes, length, 0, inner.length);
    this.length = length + inner.length;
    return this;
  }

  /** A Bucket message: cumulated count, upper bound, exemplar. */
  bucket(field: number, count: number, bound: number, exemplar: Wire | null): this {
    const counted = count === 0 ? 0 : 1 + varintSize(count);
    const length = counted + 1 + DOUBLE + (exemplar === null ? 0 : Wire.sizeOf(3, exemplar.length));
    this.tag(field, 2).varint(length).uint(1, count).double(2, bound);
    return exemplar === null ? this : this.message(3, exemplar);
  }

  clear(): this {
    this.length = 0;
    return this;
  }

  view(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) size++;
  return size;
}
