import { UNSEEN } from '../base/clock.ts';
import { LoadCounter } from './load.ts';
import type { LossTotal } from './loss.ts';
import { type Direction, INGRESS } from './segment.ts';
import type { TlsFacts } from './tls.ts';

/** Stands for the services, and other values of a dimension, that are beyond its bound. */
export const OTHER = 'other';

export interface Endpoint {
  /** Dotted IPv4 (also for IPv4-mapped IPv6) or RFC 5952 IPv6, without brackets. */
  readonly address: string;
  readonly port: number;
}

/** Which end of the connection the observed process is; unknown offline, or until a message tells. */
export type Side = 'server' | 'client' | 'unknown';

/** How the owning process was found: it wrote the bytes itself, or its group holds the listening socket. */
export type OwnerEvidence = 'writer' | 'listener' | 'socket';

export interface ProcessInfo {
  readonly pid: number;
  readonly name: string;
  /** Path below the unified hierarchy's mount, "/" at the root; "" when not known. */
  readonly cgroup: string;
  /** 64 hex digits where the cgroup path shows one. */
  readonly container: string | null;
  readonly evidence: OwnerEvidence;
}

export type ConnectionStart =
  /** The opening was seen: bytes are complete from the first. */
  | 'opened'
  /** Older than the agent or the capture: joined at the next message start. */
  | 'joined';

/** Where a connection's bytes come from, if it can be told what nobody needs. */
export interface Wire {
  /**
   * Nobody needs more of the TLS records of `direction` that end at or before stream offset `until` than their headers. What was
   * said before holds no longer. It may not be heeded: at once, or at all.
   */
  spare(direction: Direction, until: number): void;
}

/** One TCP connection as one side sees it. With both ends in scope there are two of them. */
export class Connection {
  /** Unique within a run, from 1. */
  readonly id: number;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  side: Side = 'unknown';
  /** Direction in which the client's bytes flow (INGRESS: the local end is the server); -1 until a SYN or a message tells. */
  clientDirection: Direction | -1 = -1;
  start: ConnectionStart = 'joined';
  /** null: its source cannot be told anything. */
  wire: Wire | null = null;
  /** Bytes of the client before those that are decoded: a header of the PROXY protocol. */
  proxyBytes = 0;
  openedAt: number = UNSEEN;
  /** Whose reset ended it: the direction in which the RST was sent, set before the streams' ends; -1: none seen. */
  resetBy: Direction | -1 = -1;
  process: ProcessInfo | null = null;
  /** Systemd unit, container, or "name:port"; "" when nothing is known. */
  service = '';
  load = new LoadCounter();
  /** What its handshake said; null: it is not TLS. */
  tls: TlsFacts | null = null;
  /** Exchanges begun on it: makes exchange ids unique. */
  exchanges = 0;
  /** HTTP/2: calls that are counted so far, read or known to have passed. */
  calls = 0;
  /** HTTP/2: more calls may have passed, and nothing that was read tells how many. */
  callsUnknown = false;
  /** What is missing from its exchanges so far; null: nothing. */
  lost: LossTotal[] | null = null;

  constructor(id: number, local: Endpoint, remote: Endpoint) {
    this.id = id;
    this.local = local;
    this.remote = remote;
  }

  get client(): Endpoint {
    return this.clientDirection === INGRESS ? this.remote : this.local;
  }

  get server(): Endpoint {
    return this.clientDirection === INGRESS ? this.local : this.remote;
  }
}
