/** Tells the kernel programs which bytes of TLS nobody needs: an array that they read where this process has it mapped. */
import type { Direction } from '../model/segment.ts';
import * as abi from './abi.ts';
import { fail, mapShared, type Outcome, PAGE, succeed } from './libbpf.ts';
import type { RingDescriptors } from './load.ts';
import { errnoName } from './posix.ts';

const BYTES = Math.ceil(abi.CONTROL_SIZE / PAGE) * PAGE;

export class Spares {
  readonly #places: BigUint64Array;

  private constructor(buffer: ArrayBuffer) {
    this.#places = new BigUint64Array(buffer, abi.CONTROL_SPARES, abi.SPARES_MAX);
  }

  static open(descriptors: RingDescriptors): Outcome<Spares> {
    const mapping = mapShared(descriptors.control, 0, BYTES, true);
    if (typeof mapping === 'number')
      return fail(
        'map_failed',
        `Cannot map what the kernel is told (${errnoName(mapping)}): was it handed over by the attacher?`,
      );
    return succeed(new Spares(mapping.buffer));
  }

  /** Of `direction` of the socket with this cookie nobody needs more than the headers of the TLS records that end at or before `seq`. */
  tell(cookie: number, direction: Direction, seq: number): void {
    const low = cookie >>> 0;
    const place = (low * 2 + direction) % abi.SPARES_MAX;
    // At once: the program must not see one half of it.
    Atomics.store(this.#places, place, (BigInt(low) << 32n) | BigInt(seq));
  }
}
