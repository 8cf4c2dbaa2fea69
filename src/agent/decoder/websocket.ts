import { UNSEEN } from '../../base/clock.ts';
import type { Memory } from '../../base/memory.ts';
import { WebSocketFrames } from '../../http/websocket/frames.ts';
import type { LossReason } from '../../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../model/stages.ts';
import type { WebSocketEnd } from '../../model/websocket.ts';
import type { Account } from './account.ts';

/** A connection that was HTTP/1 and became a WebSocket: told when it has ended. */
export class WebSocketConnection implements ConnectionDecoder {
  readonly streams: readonly [WebSocketStream, WebSocketStream];
  readonly #account: Account;
  readonly #client: Direction;
  readonly #handshake: { readonly ordinal: number; readonly at: number };

  constructor(account: Account, client: Direction, handshake: { readonly ordinal: number; readonly at: number }) {
    const { losses } = account.shared;
    this.#account = account;
    this.#client = client;
    this.#handshake = handshake;
    const stream = (by: Direction): WebSocketStream =>
      new WebSocketStream(this, new WebSocketFrames(by === client ? 'client' : 'server', losses));
    this.streams = [stream(INGRESS), stream(EGRESS)];
  }

  tick(): void {}

  /** A direction ended: the session has when both have. */
  ended(ts: number): void {
    const [ingress, egress] = this.streams;
    if (ingress.how === null || egress.how === null) return;
    const [client, server] = this.#client === INGRESS ? [ingress, egress] : [egress, ingress];
    this.#account.shared.pairing.exchangeSink.websocket({
      connection: this.#account.connection,
      ordinal: this.#handshake.ordinal,
      beganAt: this.#handshake.at,
      endedAt: ts,
      end: endOf(client, server),
      client: client.frames,
      server: server.frames,
    });
  }
}

function endOf(client: WebSocketStream, server: WebSocketStream): WebSocketEnd {
  const closes = (client.frames.close === null ? 0 : 1) + (server.frames.close === null ? 0 : 1);
  if (closes === 2) return 'closed';
  const ends = [client.how, server.how];
  if (ends.includes('rst')) return 'reset';
  if (ends.includes('evicted') || ends.includes('vanished')) return 'lost';
  if (ends.includes('capture_end')) return 'open';
  if (closes === 1) return 'closed';
  return client.frames.closeUnseen || server.frames.closeUnseen ? 'lost' : 'cut';
}

class WebSocketStream implements StreamSink {
  readonly frames: WebSocketFrames;
  /** How it ended; null: it has not. */
  how: StreamEnd | null = null;
  readonly #connection: WebSocketConnection;

  constructor(connection: WebSocketConnection, frames: WebSocketFrames) {
    this.#connection = connection;
    this.frames = frames;
  }

  data(memory: Memory, offset: number, length: number, _position: number, ts: number): void {
    this.frames.read(memory, offset, offset + length, ts);
  }

  gap(_position: number, length: number, why: LossReason | 'left_out'): void {
    this.frames.skip(length, why);
  }

  end(how: StreamEnd, ts: number): void {
    if (this.how !== null) return;
    this.how = how;
    this.#connection.ended(how === 'fin' || how === 'rst' ? ts : UNSEEN);
  }
}
