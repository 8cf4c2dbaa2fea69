/** What the agent tells `why`: the answer of `GET /v1/why`. Live state, summed over connections that are alike. */
import type { Side } from './connection.ts';
import type { LossTotal } from './loss.ts';
import type { CgroupStatus } from './status.ts';
import type { TlsAlert, TlsUnreadCause } from './tls.ts';

/** What a connection's bytes look like. */
export type WhyGuess = 'http' | 'tls' | 'h2' | 'other' | 'unknown';

/** Connections of one process on one side with one server port that look alike, since the agent's start as far as WHY_CLOSED_MAX goes. */
export interface WhyGroup {
  /** 0 when the owner is not known. */
  readonly pid: number;
  readonly name: string;
  readonly service: string;
  readonly side: Side;
  readonly server_port: number;
  /** Servers' addresses, up to 8 of them. */
  readonly server_addresses: readonly string[];
  readonly guess: WhyGuess;
  /** Connections open now, and of these how many are older than the agent. */
  readonly open: number;
  readonly joined: number;
  /** Connections that have closed, and how long ago the last of them did, in seconds; null: none has. */
  readonly closed: number;
  readonly closed_s_ago: number | null;
  /** Connections, open or closed, whose bytes are TLS and are read, and those that are not read, by cause. */
  readonly decrypted: number;
  readonly unread: readonly { readonly cause: TlsUnreadCause; readonly connections: number }[];
  /** Connections, open or closed, that a fatal alert ended. */
  readonly alerts: readonly (TlsAlert & { readonly connections: number })[];
  /** Exchanges emitted on them, and what is missing from these. */
  readonly exchanges: number;
  readonly losses: readonly LossTotal[];
}

/** A TLS implementation that a process runs. */
export interface TlsProcess {
  /** As the process sees it. */
  readonly path: string;
  readonly kind: 'openssl' | 'go' | 'boringssl' | 'gnutls' | 'nss' | 'rustls' | 'java' | 'wolfssl' | 'mbedtls' | 's2n';
  /** As it calls itself; "" when it does not say. */
  readonly version: string;
  /** Its secrets are taken. */
  readonly tapped: boolean;
  /** Why not, or which of them are not; "" when all are. */
  readonly gap: string;
}

/** Processes whose TLS implementations are looked at for one answer. */
export const WHY_PIDS_MAX = 64;

/** Groups of which every connection has closed that are remembered; those that were used last stay. */
export const WHY_CLOSED_MAX = 1_024;

/** Groups in one answer; the largest come first. */
export const WHY_GROUPS_MAX = 4_096;

export interface WhyState {
  /** RFC 3339: when capture began. */
  readonly started: string;
  /** Attached, and the ring is being drained. */
  readonly ready: boolean;
  /** Where the unified hierarchy is mounted. */
  readonly mount: string;
  readonly cgroups: readonly CgroupStatus[];
  readonly groups: readonly WhyGroup[];
  /** Why no TLS secrets are taken; "" when they are. */
  readonly taps_absent: string;
  /** TLS implementations of the processes asked for that are in the observed cgroups. */
  readonly tls: readonly { readonly pid: number; readonly implementations: readonly TlsProcess[] }[];
  /** Groups left out of this answer. */
  readonly more_groups: number;
}
