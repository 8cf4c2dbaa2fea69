/**
 * The attacher's end of the control channel. The other end parses hostile bytes: whatever does not follow the protocol
 * ends it (`onBroken`), too many requests wait, and answers that nobody reads are not collected without bound.
 */
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { errnoName, sendDescriptors } from '../kernel/posix.ts';
import {
  type FromAttacher,
  type FromPipeline,
  LineReader,
  parseFromPipeline,
  REQUEST_LENGTH_MAX,
  REQUESTS_PER_S_MAX,
  type Request,
  UNREAD_ANSWERS_MAX,
} from './protocol.ts';
import { Refusal } from './refusal.ts';

/** What an operation answers; the descriptors are closed after they are sent. */
export interface Answer {
  readonly result: unknown;
  readonly descriptors?: readonly number[];
}

export interface ChannelHandlers {
  /** Its cage is closed, it says. */
  confined(): void;
  /** It could not close it. */
  failed(why: string): void;
  request(request: Request): Answer | Refusal | Promise<Answer | Refusal>;
  /** It broke the protocol or stopped reading. Called once; nothing is read after it. */
  broken(why: string): void;
}

const RATE_WINDOW_MS = 1_000;

export class Channel {
  readonly #socket: Socket;
  readonly #descriptorSocket: number;
  readonly #handlers: ChannelHandlers;
  readonly #lines = new LineReader(REQUEST_LENGTH_MAX);
  readonly #waiting: string[] = [];
  #inWindow = 0;
  #windowTimer: NodeJS.Timeout | null = null;
  #broken = false;

  /**
   * @param socket stream socket to the pipeline.
   * @param descriptorSocket our end of `descriptorPair`.
   */
  constructor(socket: Socket, descriptorSocket: number, handlers: ChannelHandlers) {
    this.#socket = socket;
    this.#descriptorSocket = descriptorSocket;
    this.#handlers = handlers;
    socket.on('data', (chunk: Buffer) => this.#data(chunk));
    // The end of the pipeline is reported by its exit, not by its socket.
    socket.on('error', () => undefined);
  }

  send(message: FromAttacher): void {
    if (this.#broken || this.#socket.destroyed) return;
    this.#socket.write(`${JSON.stringify(message)}\n`);
    if (this.#socket.writableLength > UNREAD_ANSWERS_MAX) this.#break('it does not read its answers');
  }

  /** Sends descriptors, then the message that announces them; closes them here in any case. */
  sendWithDescriptors(message: FromAttacher, descriptors: readonly number[]): void {
    const result = this.#broken ? 0 : sendDescriptors(this.#descriptorSocket, descriptors);
    for (const fd of descriptors) closeSync(fd);
    if (result < 0) this.#break(`descriptors cannot be handed over (${errnoName(result)})`);
    else this.send(message);
  }

  close(): void {
    if (this.#windowTimer !== null) clearTimeout(this.#windowTimer);
    this.#windowTimer = null;
    this.#broken = true;
    this.#socket.destroy();
  }

  #data(chunk: Buffer): void {
    if (this.#broken) return;
    if (!this.#lines.push(chunk, (line) => this.#waiting.push(line))) this.#break('a line is too long');
    this.#work();
  }

  #work(): void {
    while (this.#waiting.length > 0 && !this.#broken) {
      if (this.#inWindow >= REQUESTS_PER_S_MAX) {
        this.#socket.pause();
        return;
      }
      this.#inWindow++;
      this.#windowTimer ??= setTimeout(() => this.#nextWindow(), RATE_WINDOW_MS).unref();
      const message = parseFromPipeline(this.#waiting.shift()!);
      if (message === null) this.#break('a message is not in the protocol');
      else this.#dispatch(message);
    }
  }

  #nextWindow(): void {
    this.#windowTimer = null;
    this.#inWindow = 0;
    this.#work();
    if (this.#waiting.length === 0 && !this.#broken) this.#socket.resume();
  }

  #dispatch(message: FromPipeline): void {
    if (message.type === 'confined') this.#handlers.confined();
    else if (message.type === 'failed') this.#handlers.failed(message.why);
    else void this.#answer(message);
  }

  async #answer(request: Request): Promise<void> {
    const { id } = request;
    const answer = await this.#handlers.request(request);
    if (answer instanceof Refusal) this.send({ type: 'refused', id, why: answer.message });
    else {
      const { result, descriptors = [] } = answer;
      const message = { type: 'answer', id, result, descriptors: descriptors.length } as const;
      if (descriptors.length === 0) this.send(message);
      else this.sendWithDescriptors(message, descriptors);
    }
  }

  #break(why: string): void {
    if (this.#broken) return;
    this.#broken = true;
    this.#handlers.broken(why);
  }
}
