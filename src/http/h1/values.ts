import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { Head } from './head.ts';

/** Below it a loop over words is faster than a call. */
const SHORT_COPY = 80;

/**
 * Moves the values that are not shared, which lie in `memory` behind `base`, into the block's own memory.
 * `head.variedBytes` must be reserved there.
 */
export function keepValues(head: Head, block: FieldBlock, memory: Memory, base: number): void {
  const to = block.memory;
  let at = 0;
  for (let n = 0; n < head.variedCount; n++) {
    const i = head.varied[n]!;
    const from = base + block.valueOffset[i]!;
    const length = block.valueLength[i]!;
    block.valueOffset[i] = at;
    if (length > SHORT_COPY) memory.buf.copy(to.buf, at, from, from + length);
    else copyShort(memory.view, from, to.view, at, length);
    at += length;
  }
}

function copyShort(from: DataView, at: number, to: DataView, where: number, length: number): void {
  const words = length & ~3;
  for (let i = 0; i < words; i += 4) to.setInt32(where + i, from.getInt32(at + i, true), true);
  for (let i = words; i < length; i++) to.setUint8(where + i, from.getUint8(at + i));
}
