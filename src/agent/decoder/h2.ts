import type { Memory } from '../../base/memory.ts';
import { H2Pairer } from '../../exchange/h2-pairer.ts';
import { H2Stream } from '../../http/h2/stream.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason } from '../../model/loss.ts';
import { type Direction, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, MultiplexSink, StreamEnd, StreamSink } from '../../model/stages.ts';
import type { Account } from './account.ts';

/** A connection that speaks HTTP/2, from its first byte on or from where it was joined. */
export class H2Connection implements ConnectionDecoder {
  readonly streams: readonly [H2Direction, H2Direction];
  readonly #pairer: H2Pairer;

  /**
   * `starts` by direction: whether its first byte is the first one that was sent. `secure`: the bytes were decrypted.
   * `sinkOf` may put a sink in front of the pairing.
   */
  constructor(
    account: Account,
    client: Direction,
    starts: readonly [ConnectionStart, ConnectionStart],
    secure: boolean,
    sinkOf: (pairer: H2Pairer) => MultiplexSink = (pairer) => pairer,
  ) {
    const { connection, shared } = account;
    const toServer = starts[client];
    const toClient = starts[client === INGRESS ? 1 : 0];
    const joined = toServer === 'joined';
    const pairer = new H2Pairer(connection, shared.pairing, secure ? 'h2' : 'h2c', joined);
    this.#pairer = pairer;
    const pair = H2Stream.pair(
      sinkOf(pairer),
      shared.h2,
      shared.losses,
      { client: toServer, server: toClient },
      secure ? 'https' : 'http',
      connection.start === 'opened',
      connection,
    );
    const asked = new H2Direction(pairer, pair.client);
    const answered = new H2Direction(pairer, pair.server);
    this.streams = client === INGRESS ? [asked, answered] : [answered, asked];
  }

  tick(now: number): void {
    this.#pairer.tick(now);
  }
}

class H2Direction implements StreamSink {
  readonly #pairer: H2Pairer;
  readonly #h2: H2Stream;

  constructor(pairer: H2Pairer, h2: H2Stream) {
    this.#pairer = pairer;
    this.#h2 = h2;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    this.#h2.data(memory, offset, length, position, ts, ack);
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number): void {
    this.#h2.gap(position, length, why, ts);
  }

  /** Bytes that will never come, from before it was known that this is HTTP/2. */
  missed(position: number, length: number, why: LossReason | 'left_out', _ack: number): void {
    this.#h2.missed += length;
    this.#pairer.missed(this.#h2.by, why === 'left_out' ? 'window' : why, position + length);
  }

  /** Bytes that were passed over before that. */
  overlooked(bytes: number): void {
    this.#h2.missed += bytes;
  }

  end(how: StreamEnd, ts: number): void {
    this.#h2.end(how, ts);
    this.#pairer.closed(this.#h2.by, how, ts);
  }
}
