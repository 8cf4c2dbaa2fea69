/** What comes behind a header of the PROXY protocol, or inside a tunnel, is decoded as if it stood alone. */
import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import { EGRESS, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../model/stages.ts';

export class BehindConnection implements ConnectionDecoder {
  readonly streams: readonly [StreamSink, StreamSink];
  readonly #inner: ConnectionDecoder;

  /** `before`, by direction: bytes that `inner` is not to see. */
  constructor(inner: ConnectionDecoder, before: readonly [number, number]) {
    const [ingress, egress] = before;
    this.#inner = inner;
    this.streams = [
      new Behind(inner.streams[INGRESS], ingress, egress),
      new Behind(inner.streams[EGRESS], egress, ingress),
    ];
  }

  tick(now: number): void {
    this.#inner.tick(now);
  }
}

/** Leaves out the first bytes of a direction, or does not count them in what the other one acknowledges. */
class Behind implements StreamSink {
  readonly #to: StreamSink;
  readonly #skipped: number;
  readonly #acked: number;

  constructor(to: StreamSink, skipped: number, acked: number) {
    this.#to = to;
    this.#skipped = skipped;
    this.#acked = acked;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const skip = Math.max(0, this.#skipped - position);
    if (skip >= length) return;
    this.#to.data(memory, offset + skip, length - skip, position + skip - this.#skipped, ts, this.#ack(ack));
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    const skip = Math.max(0, this.#skipped - position);
    if (skip >= length) return;
    this.#to.gap(position + skip - this.#skipped, length - skip, why, ts, this.#ack(ack));
  }

  #ack(ack: number): number {
    return ack < 0 ? ack : Math.max(0, ack - this.#acked);
  }

  followed(records: number, turns: number, turn: boolean): void {
    this.#to.followed?.(records, turns, turn);
  }

  end(how: StreamEnd, ts: number): void {
    this.#to.end(how, ts);
  }
}
