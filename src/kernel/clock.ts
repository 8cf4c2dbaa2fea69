import type { ClockAnchor } from '../base/clock.ts';
import { monotonicNs, realtimeNs } from './libbpf.ts';

/** Ties the kernel's record times (CLOCK_MONOTONIC) to time 0 of this run and to the wall clock. */
export interface KernelAnchor extends ClockAnchor {
  /** CLOCK_MONOTONIC at `ts === 0`, in nanoseconds. */
  readonly monotonicNs: bigint;
}

const TRIES = 8;

/** Reads both clocks; of several tries the one with the least time between the readings, normally under a microsecond. */
export function takeAnchor(): KernelAnchor {
  let best: KernelAnchor | null = null;
  let bestSpan = 0n;
  for (let i = 0; i < TRIES; i++) {
    const before = monotonicNs();
    const wallNs = realtimeNs();
    const after = monotonicNs();
    if (best === null || after - before < bestSpan) {
      bestSpan = after - before;
      best = { monotonicNs: before + bestSpan / 2n, wallNs };
    }
  }
  return best!;
}

/** Nanoseconds since the anchor, now. */
export const sinceAnchor = (anchor: KernelAnchor): number => Number(monotonicNs() - anchor.monotonicNs);
