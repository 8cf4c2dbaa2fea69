import type { Connection } from '../../model/connection.ts';
import { type Direction, INGRESS } from '../../model/segment.ts';
import type { DecoderShared, Guess, LiveConnection } from '../decoder.ts';

/** What the agent says of one connection while it is open, whatever layers it turns out to have. */
export class Account implements LiveConnection {
  readonly connection: Connection;
  readonly shared: DecoderShared;
  guess: Guess = 'unknown';
  #ended = 0;

  constructor(connection: Connection, shared: DecoderShared) {
    this.connection = connection;
    this.shared = shared;
    shared.open.unknown++;
    shared.live.add(this);
    shared.life?.met(connection);
  }

  become(guess: Guess): void {
    if (this.#ended < 2) {
      this.shared.open[this.guess]--;
      this.shared.open[guess]++;
    }
    this.guess = guess;
  }

  /** It is known in which direction the client's bytes flow. */
  named(client: Direction): void {
    const { connection, shared } = this;
    connection.clientDirection = client;
    if (!shared.offline) connection.side = client === INGRESS ? 'server' : 'client';
    shared.life?.named(connection);
  }

  /** A direction of the connection itself ended. */
  ended(): void {
    if (++this.#ended < 2) return;
    this.shared.open[this.guess]--;
    this.shared.live.delete(this);
    this.shared.life?.ended(this.connection, this.guess);
  }

  /** Counts payload that gives no exchange. */
  count(bytes: number): void {
    const { notHttp, losses } = this.shared;
    if (this.guess === 'tls') {
      notHttp.tls += bytes;
      losses.lose('tls_no_secret', 1, bytes);
    } else if (this.guess === 'switched') notHttp.switched += bytes;
    else notHttp.other += bytes;
  }
}
