/**
 * What HTTP/1 may become and goes on being read. WebSocket (RFC 6455 4): the 101 ends the call, and the session refers to
 * it. h2c by Upgrade (RFC 7540 3.2): the 101 is an interim response of the request that asked for it, and what comes on
 * stream 1 of the HTTP/2 connection is the answer. So the HTTP/1 pairing keeps that call to its end: one exchange. A tunnel
 * (RFC 9110 9.3.6): what comes through it is a connection of its own.
 */
import type { Pairer } from '../../exchange/pairer.ts';
import type { Message } from '../../model/message.ts';
import type { MessagePool } from '../../model/pool.ts';
import type { MessageSink, MultiplexSink } from '../../model/stages.ts';

/** The stream of the request that was upgraded. */
const FIRST_STREAM = 1;

/** Stands in front of the pairing and looks for the switch. */
export class Upgrade implements MessageSink {
  /** The server switched to HTTP/2. */
  h2c = false;
  /** The handshake of the WebSocket that the server switched to; null: it did not. */
  websocket: { readonly ordinal: number; readonly at: number } | null = null;
  /** The server made a tunnel (CONNECT). */
  tunnel = false;
  readonly #pairer: Pairer;
  readonly #pool: Pick<MessagePool, 'give'>;
  /** Where the 101 ended: frames that are no answer lie between it and the answer, and are no hole. */
  #switchedAt = 0;

  constructor(pairer: Pairer, pool: Pick<MessagePool, 'give'>) {
    this.#pairer = pairer;
    this.#pool = pool;
  }

  head(message: Message): void {
    const protocol = message.status === 101 ? upgradeOf(message) : '';
    if (protocol === 'h2c') {
      this.h2c = true;
      return;
    }
    if (protocol === 'websocket') {
      this.websocket = { ordinal: this.#pairer.ordinalOf(message), at: message.lastByteAt };
    }
    this.#pairer.head(message);
  }

  interim(message: Message): void {
    this.#pairer.interim(message);
  }

  end(message: Message): void {
    if (message.end === 'switched' && message.status >= 200) this.tunnel = true;
    if (!this.h2c || message.status !== 101) {
      this.#pairer.end(message);
      return;
    }
    this.#switchedAt = message.endOffset;
    this.#pairer.interim(message);
    this.#pool.give(message);
  }

  requestFor(response: Message): Message | null {
    return this.#pairer.requestFor(response);
  }

  begins(startOffset: number): void {
    this.#pairer.begins(startOffset);
  }

  passed(ack: number): void {
    this.#pairer.passed(ack);
  }

  stray(): boolean {
    return this.#pairer.stray();
  }

  /** What the new connection's messages go to: `others`, but for the answer to the request that was upgraded. */
  firstStream(others: MultiplexSink): MultiplexSink {
    const pairer = this.#pairer;
    const isAnswer = (message: Message): boolean => {
      if (message.streamId !== FIRST_STREAM || message.kind === 'request') return false;
      message.startOffset = this.#switchedAt;
      if (message.endOffset >= 0) message.endOffset = this.#switchedAt;
      return true;
    };
    return {
      head: (message) => {
        if (!isAnswer(message)) others.head(message);
        else {
          pairer.requestFor(message);
          pairer.head(message);
        }
      },
      interim: (message) => (isAnswer(message) ? pairer : others).interim(message),
      end: (message) => (isAnswer(message) ? pairer : others).end(message),
      reset: (by, streamId, code, ts) => others.reset(by, streamId, code, ts),
      goaway: (by, lastStreamId, ts) => others.goaway(by, lastStreamId, ts),
      missed: (by, why, end) => {
        if (by === 'server') pairer.doubt(why);
        others.missed(by, why, end);
      },
      unseenRequests: (why) => others.unseenRequests(why),
    };
  }
}

/** The protocol that a 101 switches to first (RFC 9110 7.8). */
const upgradeOf = (response: Message): string =>
  (response.fields.get('upgrade') ?? '').split(',', 1)[0]!.trim().toLowerCase();
