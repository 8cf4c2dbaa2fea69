/** Finding a frame boundary again, when bytes are missing or the connection is older than the capture. */
import { FRAME_HEADER_BYTES, lengthAt, plausible } from './frames.ts';

/** Headers in a row that it takes at the beginning of a segment that does not end with a frame, and elsewhere. */
const CHAIN_AT_START = 2;
const CHAIN_WITHIN = 4;
/** The same where the last frame ends exactly with the segment. */
const CHAIN_EXACT_WITHIN = 3;

export interface Chain {
  /** Frame headers in a row, all plausible. */
  count: number;
  /** The last frame ends with the segment. */
  exact: boolean;
  /** Where the frame after the last one begins. */
  next: number;
}

/** Follows frame headers from `at`; a count of 0 says that they lead to something else. */
export function chainAt(view: DataView, at: number, end: number, lengthMax: number): Chain {
  let count = 0;
  let o = at;
  while (o + FRAME_HEADER_BYTES <= end) {
    if (!plausible(view, o, lengthMax)) return { count: 0, exact: false, next: o };
    count++;
    o += FRAME_HEADER_BYTES + lengthAt(view, o);
  }
  return { count, exact: o === end && count > 0, next: o };
}

/** Does a chain that begins with a segment convince? */
export const convincesAtStart = (chain: Chain): boolean =>
  chain.count >= CHAIN_AT_START || (chain.exact && chain.count > 0);

/** Where in the segment (at, end) frames begin for certain, or -1. Linear for all but made-up bytes: most fail at once. */
export function findChain(view: DataView, at: number, end: number, lengthMax: number): number {
  for (let o = at + 1; o + CHAIN_EXACT_WITHIN * FRAME_HEADER_BYTES <= end; o++) {
    if (!plausible(view, o, lengthMax)) continue;
    const chain = chainAt(view, o, end, lengthMax);
    if (chain.count >= CHAIN_WITHIN || (chain.exact && chain.count >= CHAIN_EXACT_WITHIN)) return o;
  }
  return -1;
}
