/**
 * Registers of a HyperLogLog: as bytes on the disk, and the larger ones of two sketches. Three forms: the sorted entries of a sparse one, registers
 * that are not 0 by their distances, or all of them as 4 bits above the smallest.
 */

export const PRECISION = 14;
export const PRECISION_MIN = 7;
/** Values kept one by one. */
export const SPARSE_MAX = 512;
/** Ranks of 32 bits: 1 to 33. */
export const RANK_MAX = 33;
export const RANK_BITS = 6;
export const SPARSE = 1;
export const DENSE = 2;
export const GAPS = 3;
/** Bytes before the entries of a sparse one, of an entry, and before the registers of a dense one. */
export const SPARSE_HEAD = 4;
export const ENTRY = 5;
export const DENSE_HEAD = 5;

/** Sign bits of four bytes. */
const TOP_BITS = 0x80808080 | 0;
/** The larger of each two registers, four at a time: none has its top bit set, so a subtraction borrows from no neighbour. */
export function largest(mine: Uint8Array, theirs: Uint8Array): void {
  const a = new Int32Array(mine.buffer, mine.byteOffset, mine.length >> 2);
  const b = new Int32Array(theirs.buffer, theirs.byteOffset, theirs.length >> 2);
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[i]!;
    // 0x80 where x is not smaller, then 0xff there.
    const top = ((x | TOP_BITS) - y) & TOP_BITS;
    const keep = top | (top - (top >>> 7));
    a[i] = (x & keep) | (y & ~keep);
  }
}

/** Registers of 4 bits into bytes of the same number: four at a time, as `largest` does. */
export function absorbDense(mine: Uint8Array, bytes: Uint8Array): void {
  const words = new Int32Array(mine.buffer, mine.byteOffset, mine.length >> 2);
  const base = Math.imul(bytes[2]!, 0x01010101);
  for (let i = 0, at = DENSE_HEAD; i < words.length; i++, at += 2) {
    let y = bytes[at]! | (bytes[at + 1]! << 16);
    y = ((y | (y << 4)) & 0x0f0f0f0f) + base;
    const x = words[i]!;
    const top = ((x | TOP_BITS) - y) & TOP_BITS;
    const keep = top | (top - (top >>> 7));
    words[i] = (x & keep) | (y & ~keep);
  }
  for (let at = DENSE_HEAD + mine.length / 2; at < bytes.length; at += 3) {
    const register = bytes[at]! | (bytes[at + 1]! << 8);
    mine[register] = Math.max(mine[register]!, bytes[at + 2]!);
  }
}

/** The same into fewer registers. */
export function absorbFolded(mine: Uint8Array, bytes: Uint8Array, precision: number, shift: number): void {
  const finer = new Uint8Array(2 ** precision);
  absorbDense(finer, bytes);
  for (let i = 0; i < finer.length; i++) if (finer[i]! > mine[i >> shift]!) mine[i >> shift] = finer[i]!;
}

/** The form GAPS into registers of which each stands for 2^shift. */
export function absorbGaps(mine: Uint8Array, bytes: Uint8Array, shift: number): void {
  let register = -1;
  for (let at = 2; at < bytes.length; at++) {
    const first = bytes[at++]!;
    register += first < 128 ? first + 1 : (first & 127) + bytes[at++]! * 128 + 1;
    const rank = bytes[at]!;
    const place = register >> shift;
    if (rank > mine[place]!) mine[place] = rank;
  }
}

function isGaps(bytes: Uint8Array, registers: number): boolean {
  let register = -1;
  for (let at = 2; at < bytes.length; at++) {
    const first = bytes[at++]!;
    register += 1 + (first & 127);
    if (first >= 128) {
      if (at >= bytes.length) return false;
      register += bytes[at++]! * 128;
    }
    if (at >= bytes.length || bytes[at]! < 1 || bytes[at]! > RANK_MAX || register >= registers) return false;
  }
  return true;
}

/** Whether these are bytes that `HyperLogLog.encode` may have written. */
export function isSketch(bytes: Uint8Array): boolean {
  const precision = bytes[1] ?? 0;
  if (bytes.length < SPARSE_HEAD || precision < PRECISION_MIN || precision > PRECISION) return false;
  if (bytes[0] === GAPS) return isGaps(bytes, 2 ** precision);
  if (bytes[0] === SPARSE) {
    const size = bytes[2]! + bytes[3]! * 256;
    if (size > SPARSE_MAX || bytes.length !== SPARSE_HEAD + size * ENTRY) return false;
    for (let at = SPARSE_HEAD; at < bytes.length; at += ENTRY) {
      const rank = bytes[at]! & (2 ** RANK_BITS - 1);
      if (rank < 1 || rank > RANK_MAX || bytes[at + 4]! >= 2 ** RANK_BITS) return false;
    }
    return true;
  }
  const half = 2 ** (precision - 1);
  if (bytes[0] !== DENSE || bytes.length < DENSE_HEAD + half) return false;
  const base = bytes[2]!;
  if (base > RANK_MAX || bytes.length !== DENSE_HEAD + half + (bytes[3]! + bytes[4]! * 256) * 3) return false;
  const aboveMax = RANK_MAX - base;
  if (aboveMax < 15)
    for (let at = DENSE_HEAD; at < DENSE_HEAD + half; at++)
      if ((bytes[at]! & 15) > aboveMax || bytes[at]! >> 4 > aboveMax) return false;
  for (let at = DENSE_HEAD + half; at < bytes.length; at += 3)
    if (bytes[at]! + bytes[at + 1]! * 256 >= 2 * half || bytes[at + 2]! > RANK_MAX) return false;
  return true;
}

/** Registers that are not 0, each as how many it skips (a byte, or two with the first one's top bit set) and its rank; null: too long. */
export function encodeGaps(registers: Uint8Array, precision: number): Uint8Array | null {
  const out = new Uint8Array(registers.length / 2);
  out[0] = GAPS;
  out[1] = precision;
  let at = 2;
  let last = -1;
  for (let i = 0; i < registers.length; i++) {
    if (registers[i] === 0) continue;
    if (at + 3 > out.length) return null;
    const gap = i - last - 1;
    if (gap < 128) out[at++] = gap;
    else {
      out[at++] = (gap & 127) | 128;
      out[at++] = gap >> 7;
    }
    out[at++] = registers[i]!;
    last = i;
  }
  return out.slice(0, at);
}
