/**
 * Every reason a thing can be missing. docs/loss.md explains each in the reader's words, with what to do about it; a
 * test holds the two lists together. Names are stable: they are in the log, the metrics and the dashboard.
 */
export const LOSS_REASONS = [
  /** The ring had no room; the kernel counted what it could not hand over. */
  'ring_full',
  /** Bytes the kernel left out by the capture window although framing needed them (a chunked body over the window). */
  'window',
  /** Under pressure the kernel left out body bytes that the window would have let through. */
  'shed_body',
  /** Under heavy pressure the kernel left out header blocks. */
  'shed_head',
  /** Sequence numbers show bytes that were never captured. */
  'gap',
  /** Retransmitted bytes differ from the first copy (RFC 9293 3.10.7.4 lets receivers disagree): the first copy was kept. */
  'overlap_conflict',
  /** A sequence number far outside the window; the segment was not used. */
  'out_of_window',
  /** A segment's captured bytes were cut (snaplen of a capture file). */
  'snaplen',
  /** Out-of-order bytes given up because the memory bound for a connection or for all was reached. */
  'reassembly_limit',
  /** Connections given up because the connection table was full. */
  'connection_limit',
  /** The end of a connection was not seen: silent for too long, its port used again, its socket closed without FIN or RST. */
  'end_unseen',
  /** Bytes of a connection older than the agent before its first message start. */
  'joined_midstream',
  /** A header block over the limit. */
  'head_too_large',
  /** Pipelined or queued messages over the bound for a connection. */
  'queue_limit',
  /** Bytes that should have started a message and did not; skipped up to the next message start. */
  'desync',
  /** TLS bytes without a secret. */
  'tls_no_secret',
  /** HTTP/2 bytes behind a violation of its framing, where nothing can be read any more. */
  'h2_undecoded',
  /** Header fields that name entries of an HTTP/2 compression table which were not seen. */
  'hpack_context_lost',
  /** A capture file: a packet cut short by the end of the file. */
  'file_truncated',
  /** A capture file: packets of a link or network type that are not understood. */
  'undecodable_packet',
  /** IP fragments, which are not reassembled. */
  'ip_fragment',
  /** QUIC datagrams (HTTP/3), of which nothing is read. */
  'quic_unread',
  /** Log lines that a slow or full disk made us drop. */
  'log_queue_full',
  'log_write_failed',
  /** Live viewers (`tail`) too slow to take every call. */
  'tail_slow',
  /** Packets for a capture file (`export --pcapng`) that whoever writes it was too slow for. */
  'packets_slow',
  /** Calls that the store had no room for: the disk, or the thread that writes, was slower than they came. */
  'store_queue_full',
  /** Calls that the store had no room for because the disk refused to take what waited. */
  'store_write_failed',
  /** Calls with more header text than one batch of the store holds. */
  'store_too_large',
  /** Calls handed over for storing that were not on the disk when the agent was killed, or that were damaged there. */
  'store_uncommitted',
] as const;

export type LossReason = (typeof LOSS_REASONS)[number];

/** What the kernel did not hand over is in its own counts. */
const COUNTED_BY_KERNEL: ReadonlySet<LossReason> = new Set(['ring_full', 'shed_body', 'shed_head']);

/** A loss as an exchange carries it: bytes missing from this record. */
export interface LossMark {
  reason: LossReason;
  bytes: number;
}

export interface LossTotal {
  reason: LossReason;
  count: number;
  bytes: number;
}

/** Takes what a stage had to give up. */
export interface LossSink {
  /** `count` events (segments, messages, lines) and the `bytes` they carried. */
  lose(reason: LossReason, count: number, bytes: number): void;
  /** A record names `reason`, and not how many bytes: the totals name it as well. */
  named?(reason: LossReason): void;
}

/** Totals by reason. */
export class LossLedger implements LossSink {
  readonly #totals = new Map<LossReason, LossTotal>();

  lose(reason: LossReason, count: number, bytes: number): void {
    const total = this.#totals.get(reason);
    if (total === undefined) this.#totals.set(reason, { reason, count, bytes });
    else {
      total.count += count;
      total.bytes += bytes;
    }
  }

  /** Counts 1 where nothing else was: no record may say that something is missing while the totals say that nothing is. */
  named(reason: LossReason): void {
    if (!this.#totals.has(reason) && !COUNTED_BY_KERNEL.has(reason)) this.lose(reason, 1, 0);
  }

  /** Totals that are not zero, in the order of LOSS_REASONS; copies. */
  totals(): LossTotal[] {
    return LOSS_REASONS.flatMap((reason) => {
      const total = this.#totals.get(reason);
      return total === undefined || (total.count === 0 && total.bytes === 0) ? [] : [{ ...total }];
    });
  }
}
