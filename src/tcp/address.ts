import type { Memory } from '../base/memory.ts';

/** Whether the 16 bytes at `at` are an IPv4-mapped address (RFC 4291 2.5.5.2). */
function isMapped(memory: Memory, at: number): boolean {
  const { view } = memory;
  return view.getInt32(at) === 0 && view.getInt32(at + 4) === 0 && view.getInt32(at + 8) === 0xffff;
}

/**
 * Text of the 16-byte address at `at`: dotted for IPv4-mapped ones, else RFC 5952 (lower case, no leading zeros, the
 * first longest run of at least two zero groups as "::").
 */
export function formatAddress(memory: Memory, at: number): string {
  const { buf, view } = memory;
  if (isMapped(memory, at)) return `${buf[at + 12]}.${buf[at + 13]}.${buf[at + 14]}.${buf[at + 15]}`;
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(view.getUint16(at + 2 * i));
  let runAt = -1;
  let runLength = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > runLength) {
      runAt = i;
      runLength = n;
    }
  }
  const hex = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':');
  return runAt < 0 ? hex(0, 8) : `${hex(0, runAt)}::${hex(runAt + runLength, 8)}`;
}
