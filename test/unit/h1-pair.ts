import { Memory } from '../../src/base/memory.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import type { ConnectionStart } from '../../src/model/connection.ts';
import { LossLedger, type LossReason } from '../../src/model/loss.ts';
import type { Message } from '../../src/model/message.ts';
import { LogSink, latin1 } from '../fuzz/h1-rig.ts';

/** `$` stands for CRLF. */
export const crlf = (text: string): Uint8Array => latin1(text.replaceAll('$', '\r\n'));

/** Both directions of a connection; `client` and `server` send a segment that acknowledges all that the other sent. */
export class Pair {
  readonly shared = new H1Shared();
  readonly losses = new LossLedger();
  readonly waiting: Message[] = [];
  readonly log: string[] = [];
  readonly request: H1Stream;
  readonly response: H1Stream;
  #sent: [number, number] = [0, 0];
  #ts = 0;

  constructor(start: ConnectionStart = 'opened') {
    const sink = new LogSink(this.shared);
    const { log, waiting } = this;
    const say = (m: Message): void => {
      log.push(m.kind === 'request' ? `> ${m.method} ${m.target} ${m.end}` : `< ${m.status} ${m.end} ${m.bodyBytes}`);
    };
    const recorder = {
      head: (m: Message): void => {
        if (m.kind === 'request') waiting.push(m);
      },
      interim: (m: Message): void => sink.interim(m),
      end: say,
      requestFor: (): Message | null => waiting.shift() ?? null,
    };
    this.request = new H1Stream('request', recorder, this.shared, this.losses, start);
    this.response = new H1Stream('response', recorder, this.shared, this.losses, start);
    H1Stream.pair(this.request, this.response);
  }

  client(text: string): this {
    return this.#send(0, crlf(text));
  }
  server(text: string): this {
    return this.#send(1, crlf(text));
  }
  /** Bytes that were sent and not captured. */
  clientLost(text: string): this {
    return this.#lose(0, crlf(text).length);
  }
  serverLost(text: string): this {
    return this.#lose(1, crlf(text).length);
  }
  /** The segment was seen and none of its bytes: its acknowledgement is known. */
  clientCut(text: string, why: LossReason | 'left_out'): this {
    return this.#lose(0, crlf(text).length, why, this.#sent[1]);
  }
  serverCut(text: string, why: LossReason | 'left_out'): this {
    return this.#lose(1, crlf(text).length, why, this.#sent[0]);
  }

  #send(direction: 0 | 1, bytes: Uint8Array): this {
    const stream = direction === 0 ? this.request : this.response;
    const ack = this.#sent[direction === 0 ? 1 : 0];
    stream.data(Memory.from(bytes), 0, bytes.length, this.#sent[direction], ++this.#ts, ack);
    this.#sent[direction] += bytes.length;
    return this;
  }
  #lose(direction: 0 | 1, length: number, why: LossReason | 'left_out' = 'gap', ack = -1): this {
    const stream = direction === 0 ? this.request : this.response;
    stream.gap(this.#sent[direction], length, why, ++this.#ts, ack);
    this.#sent[direction] += length;
    return this;
  }
}
