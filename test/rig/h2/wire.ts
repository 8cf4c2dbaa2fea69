/** Bytes of HTTP/2 for tests: frames, and header blocks by an encoder that shares nothing with the product's decoder. */
import { HUFFMAN_CODES, HUFFMAN_LENGTHS } from '../../../src/http/hpack/huffman.ts';
import { STATIC_TABLE } from '../../../src/http/hpack/static-table.ts';

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  rst: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
} as const;
export const END_STREAM = 1;
export const END_HEADERS = 4;
export const PADDED = 8;
export const PRIORITY = 32;

export const frame = (type: number, flags: number, streamId: number, payload: Uint8Array | string = ''): Buffer => {
  const body = Buffer.from(payload as Uint8Array);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, body]);
};
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value >>> 0);
  return bytes;
};
export const settings = (...pairs: [number, number][]): Buffer =>
  frame(
    TYPE.settings,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)]))),
  );
export const rst = (streamId: number, code: number): Buffer => frame(TYPE.rst, 0, streamId, u32(code));
export const goaway = (last: number, code: number): Buffer =>
  frame(TYPE.goaway, 0, 0, Buffer.concat([u32(last), u32(code)]));
export const data = (streamId: number, body: string, end: boolean, padding = -1): Buffer =>
  frame(
    TYPE.data,
    (end ? END_STREAM : 0) | (padding >= 0 ? PADDED : 0),
    streamId,
    padding < 0 ? body : Buffer.concat([Buffer.from([padding]), Buffer.from(body), Buffer.alloc(padding)]),
  );

export type Pair = readonly [name: string, value: string];
export type How = 'indexed' | 'literal' | 'never';

/** RFC 7541 by the book: a list of entries, searched from the front. */
export class Encoder {
  readonly #entries: Pair[] = [];
  #max = 4_096;
  readonly #huffman: boolean;

  constructor(huffman = true) {
    this.#huffman = huffman;
  }

  resize(max: number): Buffer {
    this.#max = max;
    this.#evict();
    return this.#integer(max, 5, 0x20);
  }

  block(fields: readonly Pair[], how: (field: Pair) => How = () => 'indexed'): Buffer {
    return Buffer.concat(fields.map((field) => this.#field(field, how(field))));
  }

  #field([name, value]: Pair, how: How): Buffer {
    const all = [...STATIC_TABLE, ...this.#entries];
    const whole = all.findIndex(([n, v]) => n === name && v === value);
    if (whole >= 0 && how === 'indexed') return this.#integer(whole + 1, 7, 0x80);
    const named = all.findIndex(([n]) => n === name) + 1;
    const [bits, pattern] = how === 'indexed' ? [6, 0x40] : how === 'literal' ? [4, 0] : [4, 0x10];
    const head = this.#integer(named, bits, pattern);
    if (how === 'indexed') {
      this.#entries.unshift([name, value]);
      this.#evict();
    }
    return Buffer.concat([head, ...(named === 0 ? [this.#string(name)] : []), this.#string(value)]);
  }

  #evict(): void {
    const size = (): number => this.#entries.reduce((sum, [n, v]) => sum + n.length + v.length + 32, 0);
    while (size() > this.#max) this.#entries.pop();
  }

  #integer(value: number, bits: number, pattern: number): Buffer {
    const most = (1 << bits) - 1;
    if (value < most) return Buffer.from([pattern | value]);
    const bytes = [pattern | most];
    let rest = value - most;
    for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest & 127) | 128);
    return Buffer.from([...bytes, rest]);
  }

  #string(text: string): Buffer {
    const plain = Buffer.from(text, 'latin1');
    if (!this.#huffman) return Buffer.concat([this.#integer(plain.length, 7, 0), plain]);
    let bits = '';
    for (const byte of plain) bits += HUFFMAN_CODES[byte]!.toString(2).padStart(HUFFMAN_LENGTHS[byte]!, '0');
    bits = bits.padEnd(Math.ceil(bits.length / 8) * 8, '1');
    const coded = Buffer.from(bits.match(/.{8}/g)?.map((octet) => Number.parseInt(octet, 2)) ?? []);
    return Buffer.concat([this.#integer(coded.length, 7, 0x80), coded]);
  }
}

export const headers = (streamId: number, block: Uint8Array, end: boolean): Buffer =>
  frame(TYPE.headers, END_HEADERS | (end ? END_STREAM : 0), streamId, block);
