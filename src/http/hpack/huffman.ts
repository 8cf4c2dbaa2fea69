/**
 * The Huffman code of RFC 7541 appendix B. It is canonical - codes of one length follow each other in the order of their
 * symbols - so the lengths say everything, and the tables are made from them.
 *
 * The next twelve bits name up to two symbols at once (most are five to seven bits long); longer codes are found by
 * their length. No bit state is kept: a position in bits and one unaligned 32-bit read do.
 */
import type { Memory } from '../../base/memory.ts';

/** Code lengths of symbols 0 to 256 (256: end of string), one base-36 digit each. */
const LENGTHS =
  'dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6ca' +
  'd67777777777777777777777878djde6f56565666577666567655677777fbeds' +
  'kmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn' +
  'qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu';

export const HUFFMAN_LENGTHS: Uint8Array = Uint8Array.from(LENGTHS, (digit) => Number.parseInt(digit, 36));

const EOS = 256;
const BITS_FAST = 12;
const BITS_MAX = 30;

/** By length: the first code, how many there are, and where their symbols begin in `symbols`. */
const firstCode = new Int32Array(BITS_MAX + 1);
const codeCount = new Int32Array(BITS_MAX + 1);
const symbolsAt = new Int32Array(BITS_MAX + 1);
const symbols = new Int32Array(HUFFMAN_LENGTHS.length);
/** The code of each symbol. */
export const HUFFMAN_CODES = new Int32Array(HUFFMAN_LENGTHS.length);

for (let length = 1, code = 0, next = 0; length <= BITS_MAX; length++, code *= 2) {
  firstCode[length] = code;
  symbolsAt[length] = next;
  for (let symbol = 0; symbol < HUFFMAN_LENGTHS.length; symbol++) {
    if (HUFFMAN_LENGTHS[symbol] !== length) continue;
    HUFFMAN_CODES[symbol] = code++;
    symbols[next++] = symbol;
  }
  codeCount[length] = code - firstCode[length]!;
}

/** By the next twelve bits: bits 0-7 first symbol, 8-15 second, 16-19 bits of the first, 20-23 of both, 24-25 how many; 0: a longer code. */
const FAST = new Int32Array(1 << BITS_FAST);

/** By the next twelve bits: the first symbol; -1: a longer code. */
const shortSymbol = new Int32Array(FAST.length).fill(-1);
for (let symbol = 0; symbol < EOS; symbol++) {
  const rest = BITS_FAST - HUFFMAN_LENGTHS[symbol]!;
  if (rest < 0) continue;
  const code = HUFFMAN_CODES[symbol]!;
  shortSymbol.fill(symbol, code << rest, (code + 1) << rest);
}

for (let bits = 0; bits < FAST.length; bits++) {
  const first = shortSymbol[bits]!;
  if (first < 0) continue;
  const length = HUFFMAN_LENGTHS[first]!;
  const second = shortSymbol[(bits << length) & (FAST.length - 1)]!;
  const both = second < 0 ? 0 : length + HUFFMAN_LENGTHS[second]!;
  FAST[bits] =
    both > 0 && both <= BITS_FAST
      ? first | (second << 8) | (length << 16) | (both << 20) | (2 << 24)
      : first | (length << 16) | (length << 20) | (1 << 24);
}

/** Bytes that decoding `length` bytes may write: the shortest code has five bits; two are written at a time. */
export const huffmanRoom = (length: number): number => ((length * 8) / 5 + 2) | 0;

/**
 * Decodes the `length` bytes at `from[at]` into `to[where]`, which has huffmanRoom(length) bytes. Returns where the text
 * ends in `to`, or -1: the end-of-string symbol, or padding that is not fewer than eight one bits (RFC 7541 5.2).
 */
export function huffmanDecode(from: Memory, at: number, length: number, to: Memory, where: number): number {
  const view = from.view;
  const out = to.view;
  const bits = length * 8;
  let o = where;
  let bit = 0;
  // Four whole bytes can be read.
  const fast = bits - 32;
  while (bit <= fast) {
    // At least 25 bits of it count: enough for two looks into the table.
    const w = view.getInt32(at + (bit >>> 3)) << (bit & 7);
    const entry = FAST[w >>> (32 - BITS_FAST)]!;
    if (entry === 0) {
      const symbol = longSymbol(view, at, length, bit);
      if (symbol < 0 || symbol === EOS) return -1;
      out.setUint8(o++, symbol);
      bit += HUFFMAN_LENGTHS[symbol]!;
      continue;
    }
    out.setUint16(o, entry & 0xffff, true);
    o += entry >>> 24;
    const used = (entry >>> 20) & 15;
    bit += used;
    const next = FAST[(w << used) >>> (32 - BITS_FAST)]!;
    if (next === 0) continue;
    out.setUint16(o, next & 0xffff, true);
    o += next >>> 24;
    bit += (next >>> 20) & 15;
  }
  // Fewer than 32 bits are left: one window holds them all, with ones behind.
  let w = bit < bits ? windowAt(view, at, length, bit) : 0;
  while (bit < bits) {
    const left = bits - bit;
    const entry = FAST[w >>> (32 - BITS_FAST)]!;
    if (entry !== 0) {
      // A code that goes on behind the end is no padding: that is ones alone, where every code is a longer one.
      if (((entry >>> 16) & 15) > left) return -1;
      const two = entry >>> 24 === 2 && ((entry >>> 20) & 15) <= left;
      out.setUint8(o++, entry & 0xff);
      if (two) out.setUint8(o++, (entry >>> 8) & 0xff);
      const used = two ? (entry >>> 20) & 15 : (entry >>> 16) & 15;
      bit += used;
      w = (w << used) | ((1 << used) - 1);
      continue;
    }
    if (left < 8) return w === -1 ? o : -1;
    const symbol = longSymbol(view, at, length, bit);
    if (symbol < 0 || symbol === EOS || HUFFMAN_LENGTHS[symbol]! > left) return -1;
    out.setUint8(o++, symbol);
    bit += HUFFMAN_LENGTHS[symbol]!;
    w = windowAt(view, at, length, bit);
  }
  return o;
}

/** 32 bits from `bit` on; ones where the string has ended. */
function windowAt(view: DataView, at: number, length: number, bit: number): number {
  const first = bit >>> 3;
  const shift = bit & 7;
  if (first + 5 <= length) {
    const w = view.getInt32(at + first);
    return shift === 0 ? w : (w << shift) | (view.getUint8(at + first + 4) >>> (8 - shift));
  }
  let w = 0;
  for (let i = 0; i < 4; i++) w = (w << 8) | (first + i < length ? view.getUint8(at + first + i) : 0xff);
  if (shift === 0) return w;
  const last = first + 4 < length ? view.getUint8(at + first + 4) : 0xff;
  return (w << shift) | (last >>> (8 - shift));
}

/** The symbol whose code of more than twelve bits is at `bit`, or -1. */
function longSymbol(view: DataView, at: number, length: number, bit: number): number {
  const w = windowAt(view, at, length, bit);
  for (let bits = BITS_FAST + 1; bits <= BITS_MAX; bits++) {
    const code = w >>> (32 - bits);
    const index = code - firstCode[bits]!;
    if (index < codeCount[bits]!) return symbols[symbolsAt[bits]! + index]!;
  }
  return -1;
}
