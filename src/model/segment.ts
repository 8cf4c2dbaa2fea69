import { UNSEEN } from '../base/clock.ts';
import { Memory } from '../base/memory.ts';

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_ACK = 0x10;

/** Direction of a segment relative to the connection's local end (`Connection.local`). */
export const INGRESS = 0;
export const EGRESS = 1;
export type Direction = 0 | 1;

/** Bits of Segment.shed. */
export const SHED_BODY = 1;
export const SHED_HEAD = 2;

const NOTHING = Memory.alloc(0);

/**
 * One TCP segment as one side saw it. Sources fill one instance again and again (an object per packet would cost more
 * than parsing it): whoever wants to keep anything copies it before returning.
 */
export class Segment {
  /** Nanoseconds since the source's anchor; UNSEEN when the capture has no time for it. */
  ts: number = UNSEEN;
  /**
   * Identifies the socket within the source: its socket cookie (live), or a number the file reader gave the flow. 0: seen
   * on a listening socket (deferred accept, fast open), so only the addresses say which connection it belongs to.
   */
  flow = 0;
  /** 32 bytes at `addresses[addressesAt]`: local, remote, each 16 (IPv4 as ::ffff:a.b.c.d). Valid during the call only. */
  addresses: Memory = NOTHING;
  addressesAt = 0;
  localPort = 0;
  remotePort = 0;
  direction: Direction = INGRESS;
  /** TCP_* bits. */
  flags = 0;
  /** Sequence number of the first payload byte (of the SYN itself when TCP_SYN is set: payload then starts at seq + 1). */
  seq = 0;
  ack = 0;
  /** Payload length on the wire, in bytes. */
  length = 0;
  /** Captured payload: the first `captured` of `length` bytes, at `memory[offset]`. Valid during the call only. */
  memory: Memory = NOTHING;
  offset = 0;
  captured = 0;
  /**
   * Bytes of this direction that the kernel left out on purpose (capture window, shedding) since its last segment here. This
   * and the next two, and `turns`: below zero where two CPUs told the same twice and this takes it back.
   */
  leftOut = 0;
  /** Bytes and segments of this direction lost because the ring was full since its last segment here. */
  lostBytes = 0;
  lostSegments = 0;
  /** SHED_* bits: why bytes are missing among `leftOut`, or from this segment, when it was pressure and not the window. */
  shed = 0;
  /**
   * TLS records (RFC 8446 5.1) that lie wholly in what is missing since this direction's last payload: this segment then begins
   * with the next one. 0: none, or not known.
   */
  records = 0;
  /** Turns of this direction that began in such records: of the client calls, if it is HTTP/1 that is inside; else answers. */
  turns = 0;
  /** It is the first of its direction since the other one spoke, as the kernel saw them. */
  turn = false;
  /** It was sent again: each of its bytes is in an earlier segment, or in the sums of a segment to come. */
  again = false;
}

/** What the kernel (or a file reader) says of a socket apart from its bytes. Reused like Segment. */
export class SocketEvent {
  /** listens: a process begins to listen on the local port; it is no connection's. */
  kind: 'opened' | 'closed' | 'owner' | 'listens' = 'opened';
  flow = 0;
  ts: number = UNSEEN;
  addresses: Memory = NOTHING;
  addressesAt = 0;
  localPort = 0;
  remotePort = 0;
  /** opened: true when the local end is the server (accepted), false when it connected. */
  accepted = false;
  /** owner, listens: 0 when not known. */
  pid = 0;
  comm = '';
  /** owner: the process was writing to the socket, or made it (or the listener it was accepted from); 'cgroup': pid is 0. */
  evidence: 'writer' | 'creator' | 'cgroup' = 'cgroup';
  /** Inode number of the socket's cgroup directory; 0 when not known. */
  cgroupId = 0;
  /** closed: bytes and segments of each direction left out or lost since its last segment, [INGRESS, EGRESS]. */
  readonly leftOut: [number, number] = [0, 0];
  /** closed: of each direction SHED_* bits, why bytes were left out where it was pressure and not the window. */
  readonly shed: [number, number] = [0, 0];
  readonly lostBytes: [number, number] = [0, 0];
  readonly lostSegments: [number, number] = [0, 0];
  /**
   * TCP's own count of each direction, [INGRESS, EGRESS]; -1: not known. opened: the sequence number of the first byte (0: not
   * known). closed: that after what arrived (a FIN's too).
   */
  readonly reached: [number, number] = [-1, -1];
  /** closed: calls that the source saw begin, whatever of them was handed over. It counts those of HTTP/2 in cleartext; else 0. */
  calls = 0;
}
