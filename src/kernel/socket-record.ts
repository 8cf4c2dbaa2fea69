/** The kernel's record of something about a socket apart from its bytes (struct hw_socket), as a SocketEvent. */
import type { Memory } from '../base/memory.ts';
import { type Direction, SHED_BODY, SHED_HEAD, SocketEvent } from '../model/segment.ts';
import * as abi from './abi.ts';
import type { KernelAnchor } from './clock.ts';

/** SocketEvent.kind by the record's. */
const KINDS: Readonly<Partial<Record<number, SocketEvent['kind']>>> = {
  [abi.KIND_OPENED]: 'opened',
  [abi.KIND_CLOSED]: 'closed',
  [abi.KIND_OWNER]: 'owner',
  [abi.KIND_LISTENS]: 'listens',
};

const EVIDENCE = ['cgroup', 'writer', 'creator'] as const;

/** 64 bits as a double: exact below 2^53. Socket cookies count up from 1 on each CPU and are far below that. */
export const u64 = (view: DataView, at: number): number =>
  view.getUint32(at + 4, true) * 4294967296 + view.getUint32(at, true);

/** The same, signed. */
export const s64 = (view: DataView, at: number): number =>
  view.getInt32(at + 4, true) * 4294967296 + view.getUint32(at, true);

/** Turns the kernel's monotonic time into nanoseconds since the anchor, in halves: both are beyond what a double tells apart. */
export class RecordTime {
  readonly #high: number;
  readonly #low: number;

  constructor(anchor: KernelAnchor) {
    this.#high = Number(anchor.monotonicNs >> 32n);
    this.#low = Number(anchor.monotonicNs & 0xffff_ffffn);
  }

  read(view: DataView, at: number): number {
    return (view.getUint32(at + 4, true) - this.#high) * 4294967296 + (view.getUint32(at, true) - this.#low);
  }
}

/** Decodes into one reused event, whose addresses point into `memory`. */
export class SocketRecord {
  readonly #memory: Memory;
  readonly #time: RecordTime;
  readonly #event = new SocketEvent();

  constructor(memory: Memory, time: RecordTime) {
    this.#memory = memory;
    this.#time = time;
    this.#event.addresses = memory;
  }

  /** The record at `at`, which has all its bytes there; null when its kind is no kind of socket record. */
  read(at: number): SocketEvent | null {
    const { view, buf } = this.#memory;
    const kind = view.getUint8(at + abi.SOCKET_KIND);
    const name = KINDS[kind];
    if (name === undefined) return null;
    const e = this.#event;
    e.kind = name;
    e.ts = this.#time.read(view, at + abi.SOCKET_TS);
    e.flow = u64(view, at + abi.SOCKET_COOKIE);
    e.addressesAt = at + abi.SOCKET_LOCAL;
    e.localPort = view.getUint16(at + abi.SOCKET_LOCAL_PORT, true);
    e.remotePort = view.getUint16(at + abi.SOCKET_REMOTE_PORT, true);
    e.accepted = view.getUint8(at + abi.SOCKET_ACCEPTED) !== 0;
    e.pid = view.getUint32(at + abi.SOCKET_PID, true);
    e.evidence = EVIDENCE[view.getUint8(at + abi.SOCKET_EVIDENCE)] ?? 'cgroup';
    const comm = at + abi.SOCKET_COMM;
    let end = comm;
    while (end < comm + 16 && view.getUint8(end) !== 0) end++;
    e.comm = end === comm ? '' : buf.latin1Slice(comm, end);
    e.calls = view.getUint32(at + abi.SOCKET_H2_CALLS, true);
    e.cgroupId = u64(view, at + abi.SOCKET_CGROUP_ID);
    const shed = view.getUint8(at + abi.SOCKET_SHED);
    for (let d: Direction = 0; d < 2; d++) {
      e.shed[d] = (shed >> (4 * d)) & (SHED_BODY | SHED_HEAD);
      e.leftOut[d] = s64(view, at + abi.SOCKET_LEFT_OUT + 8 * d);
      e.lostBytes[d] = s64(view, at + abi.SOCKET_LOST_BYTES + 8 * d);
      e.lostSegments[d] = view.getInt32(at + abi.SOCKET_LOST_SEGMENTS + 4 * d, true);
      e.reached[d] = view.getUint32(at + abi.SOCKET_REACHED + 4 * d, true);
    }
    return e;
  }
}
