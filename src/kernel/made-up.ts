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
    d.writeUInt32LE(s.seq >>> 0, at + abi.SEGMENT_SEQ);
    d.writeUInt32LE(s.ack >>> 0, at + abi.SEGMENT_ACK);
    for (const address of [abi.SEGMENT_LOCAL, abi.SEGMENT_REMOTE]) {
      d.fill(0xff, at + address + 10, at + address + 12);
      d.set([127, 0, 0, 1], at + address + 12);
    }
    d.latin1Write(s.payload, at + abi.SEGMENT_PAYLOAD);
    this.#publish(abi.SEGMENT_SIZE + length, 0);
  }

  /** Fills the rest of the data with a record that readers skip: the next one begins at its start. */
  turn(): void {
    if (this.room < this.#bytes) this.#publish(this.room - HEADER_BYTES, DISCARDED);
  }

  #publish(length: number, flag: number): void {
    this.#data.writeUInt32LE((length | flag) >>> 0, this.#position & (this.#bytes - 1));
    this.#position += (HEADER_BYTES + length + 7) & ~7;
    Atomics.store(this.#produced, 0, BigInt(this.#position));
  }
}
