/** What `why` knows when it explains: live state only. What could not be read is null, and is said as unknown. */
import type { WhyState } from '../../model/why.ts';

export type AgentFacts =
  | { readonly state: 'running'; readonly live: WhyState }
  | { readonly state: 'absent'; readonly socket: string }
  | { readonly state: 'denied'; readonly socket: string }
  | { readonly state: 'broken'; readonly message: string };

export interface TlsLibrary {
  readonly name: string;
  readonly path: string;
}

/** Sockets of one process, by kind. */
export interface SocketFacts {
  /** TCP ports it listens on. */
  readonly listening: readonly number[];
  /** TCP connections: established or closing. */
  readonly connections: readonly TcpConnection[];
  /** UNIX sockets it listens on, and is connected to, by path ("" unnamed). */
  readonly unixListening: readonly string[];
  readonly unixConnected: number;
  /** Local and remote UDP ports. */
  readonly udpPorts: readonly number[];
}

export interface TcpConnection {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

export interface ProcessReport {
  readonly pid: number;
  readonly name: string;
  /** Path below the unified mount; "" when not known. */
  readonly cgroup: string;
  /** null: /proc/PID/fd may not be read. */
  readonly sockets: SocketFacts | null;
  /** null: /proc/PID/maps may not be read. */
  readonly tls: readonly TlsLibrary[] | null;
}

/** What is asked about, resolved. */
export type Subject =
  | { readonly kind: 'pid'; readonly pid: number; readonly process: ProcessReport | null }
  | {
      readonly kind: 'port';
      readonly port: number;
      /** Processes that listen there, and processes connected to such a port. */
      readonly servers: readonly ProcessReport[];
      readonly clients: readonly ProcessReport[];
      /** A TCP socket listens there whose process could not be found. */
      readonly hiddenListener: boolean;
      /** Something is bound to the UDP port of that number. */
      readonly udp: boolean;
      /** null for a plain port. */
      readonly url: {
        readonly scheme: 'http' | 'https';
        readonly host: string;
        readonly addresses: readonly string[];
        readonly local: boolean;
      } | null;
    };

export interface Facts {
  readonly agent: AgentFacts;
  readonly subject: Subject;
  /** May this process look at others' descriptors? */
  readonly root: boolean;
  /** /proc shows it no process of another user (hidepid). */
  readonly hidden: boolean;
}
