/**
 * The closings that found no room in the ring. They lie in an array that the kernel side writes and this process maps;
 * nothing else would ever tell that those connections are over, and their last calls with them.
 */
import { Memory } from '../base/memory.ts';
import type { CaptureSink } from '../model/stages.ts';
import * as abi from './abi.ts';
import type { KernelAnchor } from './clock.ts';
import { fail, mapShared, type Outcome, PAGE, succeed } from './libbpf.ts';
import type { RingDescriptors } from './load.ts';
import { errnoName } from './posix.ts';
import { RecordTime, SocketRecord } from './socket-record.ts';

/** A place may be written while it is read: what is younger than this waits for the next look. */
const SETTLE_NS = 10e6;
export const UNHEARD_BYTES = Math.ceil((abi.UNHEARD_MAX * abi.SOCKET_SIZE) / PAGE) * PAGE;

export class Unheard {
  readonly #memory: Memory;
  readonly #time: RecordTime;
  readonly #record: SocketRecord;
  #told = Number.NEGATIVE_INFINITY;

  private constructor(buffer: ArrayBuffer, anchor: KernelAnchor) {
    this.#memory = new Memory(buffer, 0, buffer.byteLength);
    this.#time = new RecordTime(anchor);
    this.#record = new SocketRecord(this.#memory, this.#time);
  }

  static open(descriptors: RingDescriptors, anchor: KernelAnchor): Outcome<Unheard> {
    const mapping = mapShared(descriptors.unheard, 0, UNHEARD_BYTES, false);
    if (typeof mapping === 'number')
      return fail(
        'map_failed',
        `Cannot map the closings (${errnoName(mapping)}): were they handed over by the attacher?`,
      );
    return succeed(new Unheard(mapping.buffer, anchor));
  }

  /** Over memory that somebody else writes as the kernel would: UNHEARD_BYTES. */
  static over(buffer: ArrayBuffer, anchor: KernelAnchor): Unheard {
    return new Unheard(buffer, anchor);
  }

  /**
   * Tells the sink of each closing up to `until` (nanoseconds since the anchor) that it has not heard of; returns how many.
   * `until` is what the ring has been read up to: a connection must not end before its own records.
   */
  tell(sink: CaptureSink, until: number): number {
    const { view } = this.#memory;
    const edge = until - SETTLE_NS;
    let told = 0;
    for (let place = 0; place < abi.UNHEARD_MAX; place++) {
      const at = place * abi.SOCKET_SIZE;
      const ts = this.#time.read(view, at + abi.SOCKET_TS);
      if (ts <= this.#told || ts > edge || view.getUint8(at + abi.SOCKET_KIND) !== abi.KIND_CLOSED) continue;
      const event = this.#record.read(at);
      if (event === null || event.ts !== ts) continue;
      sink.socket(event);
      told++;
    }
    this.#told = Math.max(this.#told, edge);
    return told;
  }
}
