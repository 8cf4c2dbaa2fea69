import type { Memory } from '../../base/memory.ts';
import { Pairer } from '../../exchange/pairer.ts';
import { H1Stream } from '../../http/h1/stream.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason } from '../../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../model/stages.ts';
import type { Account } from './account.ts';

/** A connection that speaks HTTP/1, until it may become another protocol. */
export class H1Connection implements ConnectionDecoder {
  readonly streams: readonly [H1Direction, H1Direction];
  readonly #account: Account;
  readonly #pairer: Pairer;

  /** `starts` by direction: whether its first byte is the first one that was sent. */
  constructor(account: Account, client: Direction, starts: readonly [ConnectionStart, ConnectionStart]) {
    const { connection, shared } = account;
    const server: Direction = client === INGRESS ? EGRESS : INGRESS;
    this.#account = account;
    this.#pairer = new Pairer(connection, shared.pairing);
    const request = new H1Stream('request', this.#pairer, shared.h1, shared.losses, starts[client]);
    const response = new H1Stream('response', this.#pairer, shared.h1, shared.losses, starts[server]);
    H1Stream.pair(request, response);
    const asked = new H1Direction(this, this.#pairer, 'client', request);
    const answered = new H1Direction(this, this.#pairer, 'server', response);
    this.streams = client === INGRESS ? [asked, answered] : [answered, asked];
  }

  tick(now: number): void {
    this.#pairer.tick(now);
  }

  /** HTTP/1 ended here by Upgrade or CONNECT; `bytes` of this direction are the other protocol's. */
  switched(bytes: number): void {
    if (this.#account.guess === 'http') this.#account.become('switched');
    if (bytes > 0) this.#account.count(bytes);
  }
}

class H1Direction implements StreamSink {
  readonly #connection: H1Connection;
  readonly #pairer: Pairer;
  readonly #by: 'client' | 'server';
  readonly #h1: H1Stream;

  constructor(connection: H1Connection, pairer: Pairer, by: 'client' | 'server', h1: H1Stream) {
    this.#connection = connection;
    this.#pairer = pairer;
    this.#by = by;
    this.#h1 = h1;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const h1 = this.#h1;
    h1.data(memory, offset, length, position, ts, ack);
    if (h1.switchedAt >= 0) this.#connection.switched(Math.min(length, position + length - h1.switchedAt));
  }

  /** A message that was in these bytes alone is missing, and its pair must not shift: the pairing is told first. */
  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    this.missed(position, length, why);
    this.#h1.gap(position, length, why, ts, ack);
  }

  /** Bytes that will never come, from before it was known that this is HTTP/1. */
  missed(position: number, length: number, why: LossReason | 'left_out'): void {
    this.#pairer.gap(this.#by, position, length, why);
  }

  end(how: StreamEnd, ts: number): void {
    this.#h1.end(how, ts);
    this.#pairer.closed(this.#by, how, ts);
  }
}
