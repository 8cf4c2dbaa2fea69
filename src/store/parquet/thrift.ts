/** Thrift's compact protocol, as much of it as Parquet's metadata needs (thrift-compact-protocol.md). */

export const T_I32 = 5;
export const T_I64 = 6;
export const T_BINARY = 8;
export const T_LIST = 9;
export const T_STRUCT = 12;
const T_TRUE = 1;
const T_FALSE = 2;

/** Writes one message. Fields of a struct are written in ascending order of their ids. */
export class CompactWriter {
  #bytes: Buffer = Buffer.alloc(1024);
  #length = 0;
  /** Last field id of each open struct. */
  readonly #fields: number[] = [];

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  begin(): this {
    this.#fields.push(0);
    return this;
  }

  end(): this {
    this.#fields.pop();
    this.#byte(0);
    return this;
  }

  i32(id: number, value: number): this {
    this.#field(id, T_I32);
    this.#varint(BigInt(value));
    return this;
  }

  i64(id: number, value: number): this {
    this.#field(id, T_I64);
    this.#varint(BigInt(value));
    return this;
  }

  bool(id: number, value: boolean): this {
    this.#field(id, value ? T_TRUE : T_FALSE);
    return this;
  }

  binary(id: number, value: Uint8Array | string): this {
    this.#field(id, T_BINARY);
    this.item(value);
    return this;
  }

  /** A struct as field `id`; `body` writes its fields. */
  struct(id: number, body: () => void): this {
    this.#field(id, T_STRUCT);
    this.begin();
    body();
    return this.end();
  }

  /** A list of `size` elements of `type`; `body` writes them with `item`, `element` or begin/end. */
  list(id: number, type: number, size: number, body: () => void): this {
    this.#field(id, T_LIST);
    if (size < 15) this.#byte((size << 4) | type);
    else {
      this.#byte(0xf0 | type);
      this.#unsigned(BigInt(size));
    }
    body();
    return this;
  }

  /** An element of a list of binaries. */
  item(value: Uint8Array | string): void {
    const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
    this.#unsigned(BigInt(bytes.length));
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** An element of a list of integers. */
  element(value: number): void {
    this.#varint(BigInt(value));
  }

  #field(id: number, type: number): void {
    const last = this.#fields.at(-1)!;
    this.#fields[this.#fields.length - 1] = id;
    const delta = id - last;
    if (delta > 0 && delta < 16) this.#byte((delta << 4) | type);
    else {
      this.#byte(type);
      this.#varint(BigInt(id));
    }
  }

  #varint(value: bigint): void {
    this.#unsigned(value < 0n ? -value * 2n - 1n : value * 2n);
  }

  #unsigned(value: bigint): void {
    let rest = value;
    while (rest >= 0x80n) {
      this.#byte(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.#byte(Number(rest));
  }

  #byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  #reserve(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const bytes = Buffer.alloc(Math.max(this.#length + more, this.#bytes.length * 2));
    this.#bytes.copy(bytes, 0, 0, this.#length);
    this.#bytes = bytes;
  }
}

/** Fields of a struct by id: numbers (integers below 2^53, booleans as 0 and 1), bytes, lists, structs. */
export type CompactValue = number | Buffer | readonly CompactValue[] | CompactStruct;
export class CompactStruct extends Map<number, CompactValue> {
  /** Where the bytes behind it begin. */
  end = 0;
}

const DEPTH_MAX = 16;

/** Reads the struct at `at`; null: these bytes are none that CompactWriter would have written. */
export function readStruct(bytes: Buffer, at = 0): CompactStruct | null {
  const reader = new CompactReader(bytes, at);
  const read = reader.struct(0);
  return reader.ok ? read : null;
}

class CompactReader {
  ok = true;
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  struct(depth: number): CompactStruct {
    const fields = new CompactStruct();
    for (let id = 0; this.ok; ) {
      const head = this.#byte();
      if (head === 0) break;
      id = head >>> 4 === 0 ? this.#integer() : id + (head >>> 4);
      const value = this.#value(head & 15, depth);
      if (this.ok) fields.set(id, value);
    }
    fields.end = this.#at;
    return fields;
  }

  #value(type: number, depth: number): CompactValue {
    if (depth > DEPTH_MAX) this.ok = false;
    if (!this.ok) return 0;
    switch (type) {
      case T_TRUE:
        return 1;
      case T_FALSE:
        return 0;
      case T_I32:
      case T_I64:
        return this.#integer();
      case T_BINARY: {
        const length = this.#unsigned();
        if (this.#at + length > this.#bytes.length) this.ok = false;
        if (!this.ok) return 0;
        this.#at += length;
        return this.#bytes.subarray(this.#at - length, this.#at);
      }
      case T_LIST: {
        const head = this.#byte();
        const size = head >>> 4 === 15 ? this.#unsigned() : head >>> 4;
        const items: CompactValue[] = [];
        // Each takes a byte at least.
        for (let i = 0; i < size && this.ok; i++) items.push(this.#value(head & 15, depth + 1));
        return items;
      }
      case T_STRUCT:
        return this.struct(depth + 1);
      default:
        this.ok = false;
        return 0;
    }
  }

  #integer(): number {
    const value = this.#unsigned();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  #unsigned(): number {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49 && this.ok; factor *= 128) {
      const byte = this.#byte();
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    this.ok = false;
    return 0;
  }

  #byte(): number {
    const byte = this.#bytes[this.#at++];
    if (byte === undefined) this.ok = false;
    return byte ?? 0;
  }
}
