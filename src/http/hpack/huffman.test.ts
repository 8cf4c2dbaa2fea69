import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Memory } from '../../base/memory.ts';
import { HUFFMAN_CODES, HUFFMAN_LENGTHS, huffmanDecode, huffmanRoom } from './huffman.ts';

const EOS = 256;
const CODES = new Map(
  Array.from(HUFFMAN_LENGTHS, (length, symbol) => [
    (HUFFMAN_CODES[symbol]! >>> 0).toString(2).padStart(length, '0'),
    symbol,
  ]),
);

/** RFC 7541 5.2, bit by bit; null: it is not Huffman coded. */
function plainly(bytes: Uint8Array): number[] | null {
  const symbols: number[] = [];
  let code = '';
  for (const bit of Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('')) {
    code += bit;
    const symbol = CODES.get(code);
    if (symbol === undefined) continue;
    if (symbol === EOS) return null;
    symbols.push(symbol);
    code = '';
  }
  return code.length < 8 && !code.includes('0') ? symbols : null;
}

function encoded(text: readonly number[]): number[] {
  let bits = text.map((c) => (HUFFMAN_CODES[c]! >>> 0).toString(2).padStart(HUFFMAN_LENGTHS[c]!, '0')).join('');
  bits += '1'.repeat((8 - (bits.length % 8)) % 8);
  return (bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2));
}

const byte = fc.integer({ min: 0, max: 255 });
const text = fc.oneof(
  fc.array(byte, { maxLength: 20 }),
  fc.array(fc.integer({ min: 0x2c, max: 0x7a }), { maxLength: 40 }),
);
const wire = fc.oneof(
  text.map(encoded),
  fc.array(byte, { maxLength: 20 }),
  // One bit turned over.
  fc.tuple(text, fc.nat()).map(([said, n]) => {
    const bytes = encoded(said);
    if (bytes.length > 0) bytes[(n >> 3) % bytes.length]! ^= 1 << (n & 7);
    return bytes;
  }),
);

test('any bytes between any others are read as a decoder that looks at one bit at a time reads them', () => {
  fc.assert(
    fc.property(wire, fc.array(byte, { maxLength: 3 }), fc.array(byte, { maxLength: 6 }), (bytes, before, behind) => {
      const from = Memory.from(Uint8Array.from([...before, ...bytes, ...behind]));
      const to = Memory.alloc(1 + huffmanRoom(bytes.length));
      const end = huffmanDecode(from, before.length, bytes.length, to, 1);
      const expected = plainly(Uint8Array.from(bytes));
      expect(end < 0 ? null : [...to.buf.subarray(1, end)]).toEqual(expected);
    }),
    { numRuns: 5_000 },
  );
});
