import type { Memory } from '../../base/memory.ts';
import type { ConnectionDecoder, StreamSink } from '../../model/stages.ts';
import type { Account } from './account.ts';

/** A connection that gives no exchange: its bytes are counted. Gaps were counted where they were missed. */
export class Opaque implements ConnectionDecoder, StreamSink {
  readonly streams: readonly [StreamSink, StreamSink] = [this, this];
  readonly #account: Account;

  constructor(account: Account) {
    this.#account = account;
  }

  data(_memory: Memory, _offset: number, length: number): void {
    this.#account.count(length);
  }

  gap(): void {}

  end(): void {}

  tick(): void {}
}
