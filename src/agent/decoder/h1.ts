import { UNSEEN } from '../../base/clock.ts';
import { Memory } from '../../base/memory.ts';
import { Pairer } from '../../exchange/pairer.ts';
import { H1Stream } from '../../http/h1/stream.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason } from '../../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../model/stages.ts';
import type { Account } from './account.ts';
import { BehindConnection } from './behind.ts';
import { H2Connection } from './h2.ts';
import { Upgrade } from './upgrade.ts';
import { WebSocketConnection } from './websocket.ts';

/** A connection that speaks HTTP/1, until it may become another protocol. */
export class H1Connection implements ConnectionDecoder {
  readonly streams: readonly [H1Direction, H1Direction];
  readonly #account: Account;
  readonly #pairer: Pairer;
  readonly #upgrade: Upgrade;
  readonly #client: Direction;
  readonly #request: H1Stream;
  readonly #response: H1Stream;
  readonly #secure: boolean;
  readonly #inside: () => ConnectionDecoder;
  /** What it became; null: nothing that is read. */
  #became: ConnectionDecoder | null = null;

  /**
   * `starts` by direction: whether its first byte is the first one that was sent. `secure`: the bytes were decrypted. `inside` makes the
   * decoder of what comes through a tunnel.
   */
  constructor(
    account: Account,
    client: Direction,
    starts: readonly [ConnectionStart, ConnectionStart],
    secure: boolean,
    inside: () => ConnectionDecoder,
  ) {
    const { connection, shared } = account;
    const server = other(client);
    this.#account = account;
    this.#client = client;
    this.#secure = secure;
    this.#inside = inside;
    this.#pairer = new Pairer(connection, shared.pairing);
    this.#upgrade = new Upgrade(this.#pairer, shared.h1.pool);
    const request = new H1Stream('request', this.#upgrade, shared.h1, shared.losses, starts[client]);
    const response = new H1Stream('response', this.#upgrade, shared.h1, shared.losses, starts[server]);
    this.#request = request;
    this.#response = response;
    if (secure) request.scheme = 'https';
    if (connection.start === 'opened') request.passedOver = response.passedOver = 'desync';
    H1Stream.pair(request, response);
    const asked = new H1Direction(this, client, this.#pairer, 'client', request);
    const answered = new H1Direction(this, server, this.#pairer, 'server', response);
    this.streams = client === INGRESS ? [asked, answered] : [answered, asked];
  }

  tick(now: number): void {
    this.#pairer.tick(now);
    this.#became?.tick(now);
  }

  /** HTTP/1 ended here by Upgrade or CONNECT; `bytes` of a direction are the other protocol's. */
  switched(bytes: number): void {
    if (this.#account.guess === 'http') this.#account.become('switched');
    if (bytes > 0) this.#account.count(bytes);
  }

  /** What a direction's bytes behind the switch go to; null: they are counted. */
  become(direction: Direction): StreamSink | null {
    if (this.#became === null) {
      this.#became = this.#next();
      if (this.#became !== null) this.streams[this.#client].handOver(this.#became.streams[this.#client]);
    }
    return this.#became === null ? null : this.#became.streams[direction];
  }

  #next(): ConnectionDecoder | null {
    const { h2c, websocket, tunnel } = this.#upgrade;
    if (h2c || this.#request.http2) {
      this.#account.become('h2');
      const starts: [ConnectionStart, ConnectionStart] = ['opened', 'opened'];
      if (!h2c) starts[other(this.#client)] = 'joined';
      return new H2Connection(this.#account, this.#client, starts, this.#secure, (pairer) =>
        this.#upgrade.firstStream(pairer),
      );
    }
    if (tunnel) return this.#tunnel();
    if (websocket === null) return null;
    this.switched(0);
    return new WebSocketConnection(this.#account, this.#client, websocket);
  }

  /** null: where it begins is not known of both directions (a body of the CONNECT that has not come). */
  #tunnel(): ConnectionDecoder | null {
    const asked = this.#request.switchedAt;
    const answered = this.#response.switchedAt;
    if (asked < 0 || answered < 0) {
      this.#upgrade.tunnel = false;
      return null;
    }
    this.switched(0);
    // Where its bytes are in those of the connection is not known to what may be told what to spare.
    this.#account.connection.wire = null;
    return new BehindConnection(this.#inside(), this.#client === INGRESS ? [asked, answered] : [answered, asked]);
  }
}

const other = (direction: Direction): Direction => (direction === INGRESS ? EGRESS : INGRESS);

class H1Direction implements StreamSink {
  readonly #connection: H1Connection;
  readonly #direction: Direction;
  readonly #pairer: Pairer;
  readonly #by: 'client' | 'server';
  readonly #h1: H1Stream;
  /** What the connection became. */
  #to: StreamSink | null = null;

  constructor(connection: H1Connection, direction: Direction, pairer: Pairer, by: 'client' | 'server', h1: H1Stream) {
    this.#connection = connection;
    this.#direction = direction;
    this.#pairer = pairer;
    this.#by = by;
    this.#h1 = h1;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    if (this.#to !== null) {
      this.#to.data(memory, offset, length, position, ts, ack);
      return;
    }
    const h1 = this.#h1;
    h1.data(memory, offset, length, position, ts, ack);
    if (h1.overlooked !== null) {
      if (this.#by === 'server') this.#pairer.doubt(h1.overlooked);
      h1.overlooked = null;
    }
    if (h1.switchedAt < 0) return;
    const bytes = Math.min(length, position + length - h1.switchedAt);
    this.#to = this.#connection.become(this.#direction);
    if (this.#to === null) this.#connection.switched(bytes);
    else if (bytes > 0) this.#to.data(memory, offset + length - bytes, bytes, position + length - bytes, ts, ack);
  }

  /** The connection became another protocol, and bytes of it came before that was known. */
  handOver(to: StreamSink): void {
    const { held, switchedAt } = this.#h1;
    if (held === null) return;
    this.#to = to;
    to.data(Memory.from(held), 0, held.length, switchedAt, UNSEEN, -1);
  }

  /** A message that was in these bytes alone is missing, and its pair must not shift: the pairing is told first. */
  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    if (this.#to === null && this.#h1.switchedAt >= 0) this.#to = this.#connection.become(this.#direction);
    if (this.#to !== null) {
      this.#to.gap(position, length, why, ts, ack);
      return;
    }
    this.#pairer.gap(this.#by, position, length, why);
    this.#h1.gap(position, length, why, ts, ack);
  }

  followed(records: number, turns: number, turn: boolean): void {
    if (this.#to !== null) this.#to.followed?.(records, turns, turn);
    else if (turn) this.#h1.turned();
  }

  spares(): number {
    return this.#to === null ? this.#h1.spares() : 0;
  }

  /** Bytes that will never come, from before it was known that this is HTTP/1. */
  missed(position: number, length: number, why: LossReason | 'left_out', ack: number): void {
    this.#pairer.gap(this.#by, position, length, why);
    this.#h1.told(ack);
  }

  end(how: StreamEnd, ts: number): void {
    this.#h1.end(how, ts);
    const to = this.#to ?? (this.#h1.switchedAt >= 0 ? this.#connection.become(this.#direction) : null);
    to?.end(how, ts);
    this.#pairer.closed(this.#by, how, ts);
  }
}
