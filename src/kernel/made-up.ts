/** A ring in ordinary memory and a writer of its records: what the kernel would write, for rehearsals and tests. */
import * as abi from './abi.ts';
import type { KernelAnchor } from './clock.ts';
import { PAGE } from './libbpf.ts';
import { Ring } from './ring.ts';

const HEADER_BYTES = 8;
const DISCARDED = 0x4000_0000;

export interface MadeUpSegment {
  /** Nanoseconds since the anchor. */
  readonly ts: number;
  readonly flow: number;
  readonly direction: 0 | 1;
  readonly tcpFlags: number;
  readonly seq: number;
  readonly ack: number;
  readonly localPort: number;
  readonly remotePort: number;
  /** Latin1. */
  readonly payload: string;
  /** Bytes of this direction before it that were left out, and why: abi.MARK_SHED_*, 0: they were beyond the window. */
  readonly leftOut?: number;
  readonly marks?: number;
}

export interface MadeUpSocket {
  /** abi.KIND_OPENED, KIND_CLOSED or KIND_OWNER. */
  readonly kind: number;
  /** Nanoseconds since the anchor. */
  readonly ts: number;
  readonly flow: number;
  readonly localPort: number;
  readonly remotePort: number;
  /** The process that wrote; 0: not known. */
  readonly pid: number;
  readonly comm: string;
}

/** Records go in one after another; `ring` reads them. The writer must leave what is not yet read alone: see `room`. */
export class MadeUpRing {
  readonly ring: Ring;
  readonly #bytes: number;
  readonly #data: Buffer;
  readonly #produced: BigUint64Array;
  readonly #anchorNs: number;
  #position = 0;

  /** `bytes`: a power of two. */
  constructor(bytes: number, anchor: KernelAnchor) {
    const consumer = new ArrayBuffer(PAGE);
    const producer = new ArrayBuffer(PAGE + 2 * bytes);
    this.#bytes = bytes;
    this.#data = Buffer.from(producer, PAGE);
    this.#produced = new BigUint64Array(producer, 0, 1);
    this.#anchorNs = Number(anchor.monotonicNs);
    this.ring = Ring.over(consumer, producer, new ArrayBuffer(PAGE), { ringBytes: bytes, cpus: 1 }, anchor);
  }

  /** Bytes up to the end of the ring's data: a record that does not fit there has to wait for `turn`. */
  get room(): number {
    return this.#bytes - (this.#position & (this.#bytes - 1));
  }

  /** Bytes that a socket's record takes. */
  static readonly SOCKET_BYTES = (HEADER_BYTES + abi.SOCKET_SIZE + 7) & ~7;

  /** Bytes that a segment takes. */
  static sizeOf(payload: string): number {
    return (HEADER_BYTES + abi.SEGMENT_SIZE + payload.length + 7) & ~7;
  }

  segment(s: MadeUpSegment): void {
    const at = (this.#position & (this.#bytes - 1)) + HEADER_BYTES;
    const d = this.#data;
    const length = s.payload.length;
    d.fill(0, at, at + abi.SEGMENT_SIZE);
    d.writeBigUInt64LE(BigInt(this.#anchorNs + s.ts), at + abi.SEGMENT_TS);
    d.writeUInt32LE(s.flow, at + abi.SEGMENT_COOKIE);
    d[at + abi.SEGMENT_KIND] = abi.KIND_SEGMENT;
    d[at + abi.SEGMENT_DIRECTION] = s.direction;
    d[at + abi.SEGMENT_TCP_FLAGS] = s.tcpFlags;
    d.writeUInt16LE(s.localPort, at + abi.SEGMENT_LOCAL_PORT);
    d.writeUInt16LE(s.remotePort, at + abi.SEGMENT_REMOTE_PORT);
    d.writeUInt32LE(length, at + abi.SEGMENT_LENGTH);
    d.writeUInt32LE(length, at + abi.SEGMENT_CAPTURED);
    d[at + abi.SEGMENT_MARKS] = s.marks ?? 0;
    d.writeUInt32LE(s.leftOut ?? 0, at + abi.SEGMENT_LEFT_OUT);
    d.writeUInt32LE(s.seq >>> 0, at + abi.SEGMENT_SEQ);
    d.writeUInt32LE(s.ack >>> 0, at + abi.SEGMENT_ACK);
    this.#loopback(at + abi.SEGMENT_LOCAL);
    this.#loopback(at + abi.SEGMENT_REMOTE);
    d.latin1Write(s.payload, at + abi.SEGMENT_PAYLOAD);
    this.#publish(abi.SEGMENT_SIZE + length, 0);
  }

  /** What becomes of the socket that a server has accepted; nothing of it was left out or lost. */
  socket(s: MadeUpSocket): void {
    const at = (this.#position & (this.#bytes - 1)) + HEADER_BYTES;
    const d = this.#data;
    d.fill(0, at, at + abi.SOCKET_SIZE);
    d.writeBigUInt64LE(BigInt(this.#anchorNs + s.ts), at + abi.SOCKET_TS);
    d.writeUInt32LE(s.flow, at + abi.SOCKET_COOKIE);
    d[at + abi.SOCKET_KIND] = s.kind;
    d[at + abi.SOCKET_ACCEPTED] = 1;
    d[at + abi.SOCKET_EVIDENCE] = abi.EVIDENCE_WRITER;
    d.writeUInt32LE(s.pid, at + abi.SOCKET_PID);
    d.writeUInt16LE(s.localPort, at + abi.SOCKET_LOCAL_PORT);
    d.writeUInt16LE(s.remotePort, at + abi.SOCKET_REMOTE_PORT);
    d.latin1Write(s.comm, at + abi.SOCKET_COMM);
    this.#loopback(at + abi.SOCKET_LOCAL);
    this.#loopback(at + abi.SOCKET_REMOTE);
    this.#publish(abi.SOCKET_SIZE, 0);
  }

  /** Fills the rest of the data with a record that readers skip: the next one begins at its start. */
  turn(): void {
    if (this.room < this.#bytes) this.#publish(this.room - HEADER_BYTES, DISCARDED);
  }

  /** ::ffff:127.0.0.1 */
  #loopback(at: number): void {
    const d = this.#data;
    d.fill(0xff, at + 10, at + 12);
    d[at + 12] = 127;
    d[at + 15] = 1;
  }

  #publish(length: number, flag: number): void {
    this.#data.writeUInt32LE((length | flag) >>> 0, this.#position & (this.#bytes - 1));
    this.#position += (HEADER_BYTES + length + 7) & ~7;
    Atomics.store(this.#produced, 0, BigInt(this.#position));
  }
}
