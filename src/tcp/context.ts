import type { LossReason, LossSink } from '../model/loss.ts';
import type { Direction } from '../model/segment.ts';
import { History } from './history.ts';

/** When a hole in the sequence numbers is given up, and how much waits for it until then. */
export interface ReassemblyLimits {
  /** Bytes of memory that one direction holds beyond a hole before the hole is given up. */
  readonly holeBytes: number;
  /** Segments that one direction holds beyond a hole before the hole is given up. */
  readonly holeSegments: number;
  /** Capture time after which a hole is given up, in nanoseconds. */
  readonly holeNs: number;
  /**
   * The same once the peer has acknowledged the missing bytes: they did arrive, so the capture missed them. 0 where data
   * cannot be seen after its acknowledgement (a host's own stack); more where the capture itself reorders (files).
   */
  readonly ackedHoleNs: number;
  /**
   * Hold data back until what it acknowledges was delivered in the other direction, and a first segment without SYN until
   * its neighbours had time to come: undoes the reordering of a capture across directions. For files; costs live latency.
   */
  readonly causal: boolean;
  /** All directions together: bytes of memory that wait for holes. */
  readonly totalBytes: number;
  /** All directions together: what is kept of delivered bytes to compare retransmissions with (see history.ts). */
  readonly historyBytes: number;
}

export const LIVE_LIMITS: ReassemblyLimits = {
  // What a sender on loopback, in segments of 64 KiB, has under way while the scheduler keeps one of them waiting.
  holeBytes: 2 * 1024 * 1024,
  holeSegments: 512,
  holeNs: 1e9,
  ackedHoleNs: 0,
  causal: false,
  totalBytes: 64 * 1024 * 1024,
  // Nearly all bytes stay in the ring: this is where they are.
  historyBytes: 1024 * 1024,
};

export const FILE_LIMITS: ReassemblyLimits = {
  ...LIVE_LIMITS,
  ackedHoleNs: 1e8,
  causal: true,
  historyBytes: 4 * 1024 * 1024,
};

/** What reassembly did, over all connections. Payload bytes in = delivered + cut + duplicate + unusable + pending. */
export interface ReassemblyCounters {
  /** Captured bytes handed to a sink. */
  delivered: number;
  /** Bytes of segments that were seen but not captured (window, snaplen). */
  cut: number;
  /** Bytes at positions that were delivered or given up before. */
  duplicate: number;
  /** Bytes of segments that were not used: out of window, after the end, before the first known byte. */
  unusable: number;
  /**
   * The independent estimate of capture loss: bytes that the peer acknowledged and that were in no segment seen here,
   * whatever the reason (left out on purpose, ring full, network tap).
   */
  ackedUnseen: number;
  /** What the kernel said it left out or lost of the connections that were tracked. */
  leftOutBytes: number;
  ringFullBytes: number;
  ringFullSegments: number;
}

/** Tells the source up to which sequence number a direction of a flow need not be copied: see model/connection.ts. */
export type Spare = (flow: number, direction: Direction, seq: number) => void;

/** What all reassemblers of a tracker share. */
export class ReassemblyContext {
  readonly limits: ReassemblyLimits;
  readonly losses: LossSink;
  /** Why a captured segment is shorter than it was on the wire. */
  readonly cutReason: LossReason | 'left_out';
  readonly history: History;
  readonly counters: ReassemblyCounters = {
    delivered: 0,
    cut: 0,
    duplicate: 0,
    unusable: 0,
    ackedUnseen: 0,
    leftOutBytes: 0,
    ringFullBytes: 0,
    ringFullSegments: 0,
  };
  /** Memory that waits for holes now, in bytes; at most `limits.totalBytes`. */
  held = 0;
  /** Tells the source; null: there is nothing to tell it. */
  readonly spare: Spare | null;

  constructor(limits: ReassemblyLimits, losses: LossSink, cutReason: LossReason | 'left_out', spare: Spare | null) {
    this.spare = spare;
    this.limits = limits;
    this.history = new History(limits.historyBytes);
    this.losses = losses;
    this.cutReason = cutReason;
  }
}
