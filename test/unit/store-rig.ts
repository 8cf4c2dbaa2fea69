/** A data folder with calls in it, and the same calls as lines of the header log. */

import { setImmediate } from 'node:timers/promises';
import { LossLedger } from '../../src/model/loss.ts';
import type { ExchangeRecord } from '../../src/model/record.ts';
import { redactor } from '../../src/redact/redacted.ts';
import type { StoreEvent } from '../../src/store/protocol.ts';
import { readStore, type StoreReader } from '../../src/store/reader.ts';
import { Store, type StoreOptions } from '../../src/store/store.ts';
import { connectionOf, type ExchangeSpec, exchangeOf, ndjson, policy } from './log-rig.ts';

export type { ExchangeSpec };
export { connectionOf, exchangeOf };

/** The anchor of log-rig's times. */
export const ANCHOR = { wallNs: 1_795_363_445_000_000_000n };
export const NOW_MS = 1_795_363_445_000;

export class StoreRig {
  readonly data: string;
  readonly losses = new LossLedger();
  readonly events: StoreEvent[] = [];
  readonly lines: ExchangeRecord[] = [];
  readonly #redact = redactor(policy());
  readonly #format = ndjson();
  store!: Store;
  #exchanges = 0;

  constructor(data: string) {
    this.data = data;
  }

  async open(options: Partial<StoreOptions> = {}, nowMs = NOW_MS): Promise<this> {
    const opened = await Store.open(
      this.data,
      {
        anchor: ANCHOR,
        run: 'r',
        losses: this.losses,
        retention: { ageMs: null, bytes: null },
        report: (event) => this.events.push(event),
        ...options,
      },
      nowMs,
    );
    if (!opened.ok) throw new Error(opened.message);
    this.store = opened.store;
    return this;
  }

  call(spec: ExchangeSpec): void {
    const redacted = this.#redact(exchangeOf(spec));
    this.lines.push(JSON.parse(this.#format.exchange(redacted)) as ExchangeRecord);
    this.#exchanges++;
    this.store.writer.call(redacted);
  }

  /** A call whose line nobody will ask for. */
  quietly(spec: ExchangeSpec): void {
    this.#exchanges++;
    this.store.writer.call(this.#redact(exchangeOf(spec)));
  }

  /** Time passes. */
  pass(nowMs: number): void {
    this.store.writer.tick(nowMs, this.#exchanges, this.losses.totals());
  }

  /** Time passes, and what is there goes to the disk. */
  async tick(nowMs: number): Promise<void> {
    this.store.writer.tick(nowMs, this.#exchanges, this.losses.totals());
    while (this.store.writer.waiting > 0) await setImmediate();
  }

  close(nowMs = NOW_MS + 1): Promise<number> {
    return this.store.close(nowMs, this.#exchanges, this.losses.totals());
  }

  async read(): Promise<StoreReader> {
    const result = await readStore(this.data);
    if (!result.ok) throw new Error(result.message);
    return result.reader;
  }
}
