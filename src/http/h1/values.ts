import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';

/**
 * Moves the values of `block` that lie in `memory` behind `base` into memory of its own, which must be reserved
 * (see `varyingBytes`).
 */
export function keepValues(block: FieldBlock, memory: Memory, base: number): void {
  const to = block.memory;
  let at = 0;
  for (let i = 0; i < block.count; i++) {
    if (block.lines[i]!.value !== null) continue;
    const from = base + block.valueOffset[i]!;
    const length = block.valueLength[i]!;
    block.valueOffset[i] = at;
    if (length > SHORT_COPY) memory.buf.copy(to.buf, at, from, from + length);
    else copyShort(memory.view, from, to.view, at, length);
    at += length;
  }
}

/** Bytes of all values that `keepValues` moves. */
export function varyingBytes(block: FieldBlock): number {
  let total = 0;
  for (let i = 0; i < block.count; i++) if (block.lines[i]!.value === null) total += block.valueLength[i]!;
  return total;
}

/** Below it a loop over words is faster than a call. */
const SHORT_COPY = 80;

function copyShort(from: DataView, at: number, to: DataView, where: number, length: number): void {
  const words = length & ~3;
  for (let i = 0; i < words; i += 4) to.setInt32(where + i, from.getInt32(at + i, true), true);
  for (let i = words; i < length; i++) to.setUint8(where + i, from.getUint8(at + i));
}
