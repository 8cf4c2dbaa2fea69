/** Finding a frame boundary again, when bytes are missing or the connection is older than the capture. */
import type { LossReason } from '../../model/loss.ts';
import { FRAME_HEADER_BYTES, lengthAt, plausible } from './frames.ts';

/** Headers in a row that it takes at the beginning of a segment that does not end with a frame, and elsewhere. */
const CHAIN_AT_START = 2;
const CHAIN_WITHIN = 4;
/** The same where the last frame ends exactly with the segment. */
const CHAIN_EXACT_WITHIN = 3;
/** A boundary is not looked for in larger frames than these, unless they were announced. */
const SEEK_FRAME_BYTES_MAX = 1 << 20;

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
const convincesAtStart = (chain: Chain): boolean => chain.count >= CHAIN_AT_START || (chain.exact && chain.count > 0);

/** Where in the segment (at, end) frames begin for certain, or -1. Linear for all but made-up bytes: most fail at once. */
function findChain(view: DataView, at: number, end: number, lengthMax: number): number {
  for (let o = at + 1; o + CHAIN_EXACT_WITHIN * FRAME_HEADER_BYTES <= end; o++) {
    if (!plausible(view, o, lengthMax)) continue;
    const chain = chainAt(view, o, end, lengthMax);
    if (chain.count >= CHAIN_WITHIN || (chain.exact && chain.count >= CHAIN_EXACT_WITHIN)) return o;
  }
  return -1;
}

/** The search of one direction, segment by segment. */
export class BoundarySearch {
  /** What bytes that are passed over are called. */
  reason: LossReason = 'joined_midstream';
  /** Where a frame should begin if what was seen are frames; -1: nothing was. */
  #candidate = -1;

  begin(reason: LossReason): void {
    this.reason = reason;
    this.#candidate = -1;
  }

  /** Bytes up to `position` will not come. */
  gap(position: number): void {
    if (this.#candidate < position) this.#candidate = -1;
  }

  /** Where in the segment [at, end) a frame begins for certain, or -1. `frameMax`: the largest frame that was announced. */
  find(view: DataView, at: number, end: number, origin: number, frameMax: number): number {
    const lengthMax = Math.max(frameMax, SEEK_FRAME_BYTES_MAX);
    const candidate = this.#candidate;
    const expected = candidate - origin;
    if (candidate >= 0 && expected >= end) return -1;
    this.#candidate = -1;
    if (candidate >= 0 && expected >= at && chainAt(view, expected, end, lengthMax).count > 0) return expected;
    const chain = chainAt(view, at, end, lengthMax);
    if (convincesAtStart(chain)) return at;
    const found = findChain(view, at, end, lengthMax);
    if (found < 0 && chain.count > 0) this.#candidate = chain.next + origin;
    return found;
  }
}
