/** Which exchanges get a line. Counts are kept elsewhere and stay exact whatever is left out here. */
import { UNSEEN } from '../../base/clock.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { Redacted } from '../../redact/redacted.ts';

export interface KeepOptions {
  /** Keep every call that failed: status 400 and above, or an outcome other than complete, upgraded, open. */
  readonly errors: boolean;
  /** Keep every call at least this long, in nanoseconds; null: duration does not matter. */
  readonly slowNs: number | null;
  /** Share of the rest that is kept, 0 to 1. */
  readonly share: number;
}

const isError = (x: Redacted<Exchange>): boolean =>
  (x.response !== null && x.response.status >= 400) ||
  (x.outcome !== 'complete' && x.outcome !== 'upgraded' && x.outcome !== 'open');

function durationNs(x: Redacted<Exchange>): number {
  const from = x.request?.firstByteAt ?? UNSEEN;
  const to = x.response?.lastByteAt ?? UNSEEN;
  return from === UNSEEN || to === UNSEEN ? -1 : to - from;
}

/** 0 to 1, evenly spread, the same for the same id wherever it is computed (FNV-1a, then Murmur3's finaliser). */
export function shareOf(id: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) h = Math.imul(h ^ id.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

/** `id` is asked only when the share decides. */
export function keeps(options: KeepOptions, x: Redacted<Exchange>, id: () => string): boolean {
  if (options.share >= 1) return true;
  if (options.errors && isError(x)) return true;
  if (options.slowNs !== null && durationNs(x) >= options.slowNs) return true;
  return options.share > 0 && shareOf(id()) < options.share;
}
