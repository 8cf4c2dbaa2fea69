/** What the agent says of itself: the answer of `GET /v1/status`, `headwater status --json`, and the source of `/metrics`. */
import type { LossTotal } from './loss.ts';
import type { TlsAlert, TlsUnreadCause } from './tls.ts';

/** Segments with payload, and their payload bytes. */
export interface Traffic {
  readonly segments: number;
  readonly bytes: number;
}

/** UDP datagrams, and their payload bytes. */
export interface Datagrams {
  readonly datagrams: number;
  readonly bytes: number;
}

/** Messages of one kind whose head was parsed, and those that are known to have passed without being read. */
export interface MessageCount {
  readonly seen: number;
  readonly lost: number;
}

/** Conservation (R7): captured.seen = copied + window + not_http + shed + lost, in segments and in bytes. */
export interface CaptureLedger {
  readonly seen: Traffic;
  /** Handed to the pipeline. */
  readonly copied: Traffic;
  /** Left out on purpose: beyond the capture window. */
  readonly window: Traffic;
  /** Left out on purpose: the connection does not speak HTTP. */
  readonly not_http: Traffic;
  /** Left out under pressure, in the order of docs/loss.md. */
  readonly shed: Traffic;
  /** The ring was full. */
  readonly lost: Traffic;
}

export interface CopiedNotHttp {
  /** TLS that could not be read; also in the loss `tls_no_secret`. */
  readonly tls: number;
  /** What HTTP/1 became: a tunnel, or another protocol by Upgrade. */
  readonly switched: number;
  /** Another protocol. */
  readonly other: number;
  /** Too little to tell, or joined in the middle; also in the losses `desync` and `joined_midstream`. */
  readonly undecided: number;
}

export interface StatusLedger {
  /** Exchanges emitted; each side of a connection in scope counts its own. */
  readonly exchanges: number;
  readonly requests: MessageCount;
  readonly responses: MessageCount;
  readonly captured: CaptureLedger;
  /** Bytes of `captured.copied` that are of no call, by what they looked like. */
  readonly copied_not_http: CopiedNotHttp;
  /**
   * The independent estimate of what capture missed, on purpose or not, of the connections that were tracked: bytes that
   * the other side acknowledged and that are in no segment the pipeline got, and bytes of segments that came cut. To be
   * compared with window + shed + lost.
   */
  readonly unseen_bytes_estimate: number;
  /** By reason, in the order of LOSS_REASONS; reasons with nothing lost are left out. */
  readonly losses: readonly LossTotal[];
}

/** Averages over the last `window_s` seconds (or since the start, if that is shorter). */
export interface StatusRates {
  readonly window_s: number;
  readonly exchanges_per_s: number;
  readonly segments_per_s: number;
  readonly bytes_per_s: number;
  readonly losses_per_s: number;
}

export interface ProcessStatus {
  readonly role: 'attacher' | 'pipeline';
  readonly pid: number;
  /** CPU time used since its start, user and system, seconds. */
  readonly cpu_s: number;
  readonly rss_bytes: number;
}

export interface ProgramStatus {
  readonly name: string;
  /** Which of several builds of it runs on this kernel ("" when there is only one). */
  readonly variant: string;
  /** Runs while statistics were on (BPF_ENABLE_STATS); null when the kernel was not asked or refuses to tell. */
  readonly run_count: number | null;
  readonly avg_ns: number | null;
}

export interface MapStatus {
  readonly name: string;
  readonly type: string;
  /** null where the kernel cannot tell (per-socket storage). */
  readonly entries: number | null;
  readonly max_entries: number;
}

export interface RingStatus {
  readonly size_bytes: number;
  readonly used_bytes: number;
  /** Highest fill seen since the start. */
  readonly peak_bytes: number;
}

export interface CgroupStatus {
  /** Path below the unified mount, "/" at the root. */
  readonly path: string;
  /** false: it was removed since, and with it what was attached to it. */
  readonly attached: boolean;
}

/** UDP is not read. Of QUIC every datagram is also in the loss `quic_unread`. */
export interface UdpStatus {
  /** Of sockets on which a QUIC handshake was seen. */
  readonly quic: Datagrams;
  readonly other: Datagrams;
}

export interface ConnectionStatus {
  readonly open: number;
  /** Met since the start, each end in scope once; counted in the kernel, so also those of which no record found room. */
  readonly total: number;
  /** Open connections by what their bytes look like: "http", "tls", "h2", "other", "unknown". */
  readonly by_guess: Readonly<Record<string, number>>;
  /** Ended connections of HTTP/2 of which calls may have passed that nobody could count: not in the ledger's requests lost. */
  readonly calls_unknown: number;
  /** HTTP/2: bodies that stood still because their receiver's window was used up; one that waits for both kinds is in both. */
  readonly window_stalls: Readonly<Record<'stream' | 'connection', WindowStallStatus>>;
}

/** Of connections of which every frame was seen (RFC 9113 5.2). */
export interface WindowStallStatus {
  readonly count: number;
  /** Of these, those that last. */
  readonly open: number;
  /** Time of those that are over. */
  readonly seconds: number;
}

/** TLS connections whose handshakes agreed on the same. */
export interface TlsSuiteStatus {
  /** "1.3", "1.2". */
  readonly version: string;
  /** IANA name, or "0xc0ff" when it has none here. */
  readonly cipher: string;
  readonly resumed: 'yes' | 'no' | 'unknown';
  readonly connections: number;
  /** Of these, read in at least one direction. */
  readonly decrypted: number;
}

/** Where secrets are taken now: what the observed processes run. */
export interface TapsStatus {
  /** Observed processes that were looked at. */
  readonly processes: number;
  /** Programs and libraries with a probe. */
  readonly tapped: number;
  /** Those that carry TLS and have none. */
  readonly untapped: number;
  /** Processes and files over the bounds, never looked at. */
  readonly overflowed: number;
}

/** Counts alone: never a secret, nor what leads to one. */
export interface TlsStatus {
  /** Why no secrets are taken; "" when they are. */
  readonly taps_absent: string;
  /** null: none are taken. */
  readonly taps: TapsStatus | null;
  /** Connections that began as TLS. */
  readonly connections: number;
  readonly decrypted: number;
  readonly resumed: number;
  /**
   * What the kernel left out or lost of followed connections: records, and turns of the client. Those that are calls of HTTP/1,
   * for all that is known, are in the ledger's requests lost too; the others are of connections with HTTP/2, or unread.
   */
  readonly missed: { readonly records: number; readonly calls: number; readonly other_turns: number };
  readonly suites: readonly TlsSuiteStatus[];
  /** Connections, and protected bytes of them, that were not read; causes that did not occur are left out. */
  readonly unread: readonly { readonly cause: TlsUnreadCause; readonly connections: number; readonly bytes: number }[];
  /** Connections that a fatal alert ended, as far as it could be read, the most frequent first. */
  readonly alerts: readonly (TlsAlert & { readonly connections: number })[];
  readonly secrets: {
    /** In memory now. */
    readonly kept: number;
    /** Taken in, those that both ends of a connection brought counted twice. */
    readonly taken: number;
    /** Lost because the ring between kernel and pipeline was full. */
    readonly ring_full: number;
    /** Calls of tapped functions whose arguments could not be read. */
    readonly unreadable: number;
    /** Of a shape that no secret of TLS has, or without what leads to their connection. */
    readonly unusable: number;
    /** Gone without a connection that needed them. */
    readonly unused: number;
  };
  /** Calls of tapped functions by observed processes; most derive something else. */
  readonly tap_calls: number;
}

export interface TailStatus {
  readonly viewers: number;
  /** Lines handed to viewers, and lines they were too slow for (`tail_slow`). */
  readonly sent: number;
  readonly lost: number;
}

export interface AgentStatus {
  readonly version: string;
  /** RFC 3339. */
  readonly started: string;
  readonly uptime_s: number;
  /** Attached, the ring is being drained, and what the agent does itself is seen. */
  readonly ready: boolean;
  /** What is wrong, each with what to do; empty: nothing is. */
  readonly problems: readonly string[];
  readonly ledger: StatusLedger;
  readonly rates: StatusRates;
  readonly processes: readonly ProcessStatus[];
  readonly programs: readonly ProgramStatus[];
  readonly maps: readonly MapStatus[];
  readonly ring: RingStatus;
  readonly cgroups: readonly CgroupStatus[];
  readonly connections: ConnectionStatus;
  readonly udp: UdpStatus;
  readonly tls: TlsStatus;
  readonly tail: TailStatus;
  /** Where it listens: socket path, "127.0.0.1:9464". */
  readonly listeners: readonly string[];
}

/** Given to the server by the agent. */
export interface StatusSource {
  /** True once everything is attached and drained; answers /readyz. Cheap. */
  ready(): boolean;
  /**
   * A snapshot. `programs`: also switch the kernel's run-time statistics on for a moment and measure each program, which
   * takes up to a second; else run_count and avg_ns are null.
   */
  status(ask: { readonly programs: boolean }): Promise<AgentStatus>;
}
