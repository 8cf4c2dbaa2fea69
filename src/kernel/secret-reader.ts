/** Reads the TLS taps' ring and counters, in a process that has inherited their descriptors. */
import type { TappedSecret } from '../model/secret.ts';
import type { KernelAnchor } from './clock.ts';
import { type Mapping, mapShared, PAGE } from './libbpf.ts';
import { RecordRing } from './record-ring.ts';
import { SECRETS_RING_BYTES } from './secrets.ts';
import * as abi from './secrets-abi.ts';

const TAPS: Readonly<Record<number, TappedSecret['tap']>> = {
  [abi.TAP_EXPAND_LABEL]: 'expand_label',
  [abi.TAP_KEY_EXPANSION]: 'key_expansion',
  [abi.TAP_KEYLOG]: 'keylog',
};

export interface TapCounters {
  /** Calls of the tapped functions by observed processes; most derive something else. */
  readonly entered: number;
  /** Secrets handed over. */
  readonly emitted: number;
  /** Secrets lost because the ring was full. */
  readonly ring_full: number;
  /** Calls whose arguments could not be read. */
  readonly unreadable: number;
}

export class SecretReader {
  /** Records that were not what the ABI says. */
  malformed = 0;
  readonly #ring: RecordRing;
  readonly #counters: Mapping;
  readonly #anchorNs: bigint;

  private constructor(ring: RecordRing, counters: Mapping, anchor: KernelAnchor) {
    this.#ring = ring;
    this.#counters = counters;
    this.#anchorNs = anchor.monotonicNs;
  }

  /** An errno when a map cannot be mapped. */
  static open(ringFd: number, countersFd: number, anchor: KernelAnchor): SecretReader | number {
    const ring = RecordRing.open(ringFd, SECRETS_RING_BYTES);
    if (typeof ring === 'number') return ring;
    const counters = mapShared(countersFd, 0, PAGE, false);
    if (typeof counters !== 'number') return new SecretReader(ring, counters, anchor);
    ring.close();
    return counters;
  }

  /**
   * Hands over every secret that has come. To be called before packets are read: a secret is in its ring before the first
   * packet is sent that it protects, and the kernel wakes nobody for it.
   */
  drain(take: (secret: TappedSecret) => void): void {
    this.#ring.drain((memory, at, length) => {
      const { view } = memory;
      const tap = length < abi.SECRET_SIZE ? undefined : TAPS[view.getUint8(at + abi.SECRET_TAP)];
      if (tap === undefined) {
        this.malformed++;
        return;
      }
      const count = (lengthAt: number, room: number): number => Math.min(room, view.getUint8(at + lengthAt));
      const text = (from: number, lengthAt: number, room: number): string =>
        memory.buf.latin1Slice(at + from, at + from + count(lengthAt, room)).replace(/\0.*$/s, '');
      take({
        tap,
        ts: Number(view.getBigUint64(at + abi.SECRET_TS, true) - this.#anchorNs),
        pid: view.getUint32(at + abi.SECRET_PID, true),
        label: text(abi.SECRET_LABEL, abi.SECRET_LABEL_LENGTH, abi.LABEL_BYTES),
        memory,
        secretAt: at + abi.SECRET_SECRET,
        secretBytes: count(abi.SECRET_SECRET_LENGTH, abi.SECRET_BYTES),
        contextAt: at + abi.SECRET_CONTEXT,
        contextBytes: count(abi.SECRET_CONTEXT_LENGTH, abi.SECRET_BYTES),
      });
    });
  }

  counters(): TapCounters {
    const view = new DataView(this.#counters.buffer);
    const count = (offset: number): number => Number(view.getBigUint64(offset, true));
    return {
      entered: count(abi.TAP_COUNTERS_ENTERED),
      emitted: count(abi.TAP_COUNTERS_EMITTED),
      ring_full: count(abi.TAP_COUNTERS_RING_FULL),
      unreadable: count(abi.TAP_COUNTERS_UNREADABLE),
    };
  }

  close(): void {
    this.#ring.close();
    this.#counters.release();
  }
}
