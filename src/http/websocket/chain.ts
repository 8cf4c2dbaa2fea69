/** Frame headers that follow one another: how a frame's beginning is told after a hole. */
import type { Peer } from '../../model/stages.ts';
import { allowed, LENGTH_BITS, LENGTH_OF_16, LENGTH_OF_64, MASK, MASK_BYTES } from './header.ts';

/** Frames looked at: more prove nothing further. */
const FRAMES_MAX = 64;
/** After a hole, a frame that claims to be larger is not believed. */
const FRAME_BYTES_MAX = 1 << 24;

interface Chain {
  /** Whole headers, each where the one before it said. */
  count: number;
  /** Where the next one must be; only with `count` > 0. May lie beyond the end. */
  next: number;
}

/** The chain that begins at `from`; `by`: clients mask, servers do not. An end within a header ends the chain before it. */
export function chainAt(view: DataView, from: number, end: number, by: Peer): Chain {
  const chain: Chain = { count: 0, next: from };
  while (chain.count < FRAMES_MAX && chain.next + 2 <= end) {
    const at = chain.next;
    const second = view.getUint8(at + 1);
    const masked = (second & MASK) !== 0;
    if (!allowed(view.getUint8(at), second) || masked !== (by === 'client')) return { count: 0, next: from };
    const short = second & LENGTH_BITS;
    const header = 2 + (short === LENGTH_OF_16 ? 2 : short === LENGTH_OF_64 ? 8 : 0) + (masked ? MASK_BYTES : 0);
    if (at + header > end) return chain;
    const length =
      short === LENGTH_OF_16
        ? view.getUint16(at + 2)
        : short === LENGTH_OF_64
          ? view.getUint32(at + 2) * 2 ** 32 + view.getUint32(at + 6)
          : short;
    if (length > FRAME_BYTES_MAX) return { count: 0, next: from };
    chain.count++;
    chain.next = at + header + length;
  }
  return chain;
}
