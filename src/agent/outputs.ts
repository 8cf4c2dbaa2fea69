/** Where calls go once they are redacted: the header log, the store, and whoever watches them live. */
import type { Worker } from 'node:worker_threads';
import type { Handover } from '../attacher/child.ts';
import type { TimeFormatter } from '../base/clock.ts';
import type { Config } from '../config/schema.ts';
import type { exchangeIds } from '../exchange/id.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import type { KernelAnchor } from '../kernel/clock.ts';
import type { LossLedger } from '../model/loss.ts';
import type { WebSocketSession } from '../model/websocket.ts';
import { ExchangeSubject } from '../query/exchange-subject.ts';
import { TailHub } from '../serve/tail.ts';
import type { Store } from '../store/store.ts';
import { LogOutput } from './log-output.ts';
import type { RedactedSink } from './pipeline.ts';
import { openStore } from './store-open.ts';

export interface OutputParts {
  readonly client: Handover['client'];
  readonly start: Handover['start'];
  readonly config: Config;
  readonly anchor: KernelAnchor;
  /** First part of the ids of this run's calls. */
  readonly run: string;
  readonly id: ReturnType<typeof exchangeIds>;
  readonly time: TimeFormatter;
  readonly losses: LossLedger;
  /** The store's thread; null when nothing is stored. */
  readonly worker: Worker | null;
  say(line: string): void;
}

export class Outputs {
  readonly log: LogOutput | null;
  readonly store: Store | null;
  /** null: no record of a single call leaves memory. */
  readonly tail: TailHub | null;
  readonly #storeCalls: boolean;
  readonly #id: ReturnType<typeof exchangeIds>;
  readonly #tailFormat: NdjsonFormat;
  readonly #sinks: RedactedSink[] = [];

  private constructor({ config, anchor, id, time, losses }: OutputParts, log: LogOutput | null, store: Store | null) {
    this.log = log;
    this.store = store;
    this.tail = config.stats_only ? null : new TailHub(losses);
    this.#storeCalls = !config.stats_only;
    this.#id = id;
    this.#tailFormat = new NdjsonFormat({ id, time });
    if (log !== null) this.#sinks.push(log.exporter.exchange.bind(log.exporter));
    if (this.tail !== null) this.#sinks.push(this.#watched(this.tail, anchor));
    if (store !== null && this.#storeCalls) this.#sinks.push(store.writer.call.bind(store.writer));
  }

  /** A text: why nothing can be written, and what to do. */
  static async open(parts: OutputParts): Promise<Outputs | string> {
    const { client, start, config, anchor, run, id, time, losses, worker, say } = parts;
    const log = await LogOutput.open({ client, start, config: config.log, id, time, losses, say });
    if (typeof log === 'string') return log;
    const store = await openStore({ start, keep: config.store.keep, anchor, run, losses, worker, say });
    if (typeof store === 'string') return store;
    return new Outputs(parts, log, store);
  }

  /** Whether single calls can be read from the store. */
  get callsKept(): boolean {
    return this.store !== null && this.#storeCalls;
  }

  /** None while nobody takes any: then no call is redacted. */
  readonly sinks = (): readonly RedactedSink[] =>
    this.log !== null || this.store !== null || this.tail?.watched === true ? this.#sinks : [];

  /** Takes a WebSocket that has ended. */
  readonly websocket = (session: WebSocketSession): void => {
    this.log?.exporter.websocket(session);
    if (this.#storeCalls) this.store?.writer.websocket(session);
    if (this.tail?.watched === true)
      this.tail.websocket(this.#id(session.connection, session.ordinal), () =>
        this.#tailFormat.websocket(session).trimEnd(),
      );
  };

  #watched(tail: TailHub, anchor: KernelAnchor): RedactedSink {
    const subject = new ExchangeSubject(anchor);
    return (x) => {
      if (!tail.watched) return;
      const handshake = x.upgrade === 'websocket' ? this.#id(x.connection, x.ordinal) : null;
      tail.publish(subject.bind(x), () => this.#tailFormat.exchange(x).trimEnd(), handshake);
    };
  }
}
