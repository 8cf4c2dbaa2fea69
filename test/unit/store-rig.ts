/** A data folder with calls in it, and the same calls as lines of the header log. */

import { setImmediate } from 'node:timers/promises';
import { LossLedger } from '../../src/model/loss.ts';
import type { ExchangeRecord } from '../../src/model/record.ts';
import { queryCalls } from '../../src/query/calls.ts';
import { redactor } from '../../src/redact/redacted.ts';
import type { StoreEvent } from '../../src/store/protocol.ts';
import { readStore, type StoreReader } from '../../src/store/reader.ts';
import { Store, type StoreOptions, type StoreResult } from '../../src/store/store.ts';
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

export const HOUR = 3_600_000;
export const open = (data: string): Promise<StoreResult> =>
  Store.open(
    data,
    { anchor: ANCHOR, run: 'r', losses: new LossLedger(), retention: { ageMs: null, bytes: null }, report: () => {} },
    NOW_MS,
  );

export const targets = async (reader: StoreReader): Promise<string[]> => {
  const answer = await queryCalls(reader, { limit: 10_000 });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.calls.map(({ request }) => request!.target).reverse();
};
export const numbered = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `/${from + i}`);

/** Calls [from, to), in batches of ten, and whatever the caller does with the folder before it is closed. */
export async function written(
  data: string,
  from: number,
  to: number,
  before: (rig: StoreRig) => Promise<void> | void = () => {},
) {
  const rig = await new StoreRig(data).open({ run: `r${from}` });
  for (let n = from; n < to; n++) {
    rig.call({ ordinal: n + 1, request: { target: `/${n}` } });
    if (n % 10 === 9) await rig.tick(NOW_MS + n * 1_000);
  }
  await rig.tick(NOW_MS + to * 1_000);
  await before(rig);
  await rig.close();
  return rig;
}
