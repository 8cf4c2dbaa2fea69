/**
 * HAR 1.2 of calls as they end. The handshake of a WebSocket waits for the end of its session, whose numbers are then a part of its entry.
 */
import type { Exchange } from '../../model/exchange.ts';
import type { WebSocketRecord } from '../../model/record.ts';
import type { WebSocketSession } from '../../model/websocket.ts';
import type { Redacted } from '../../redact/redacted.ts';
import type { LogFormat, LogFormatOptions } from './format.ts';
import { type HarCall, harEntry } from './har-entry.ts';
import { HarFile } from './har-file.ts';
import type { LineBuffer } from './line.ts';
import { NdjsonFormat } from './ndjson.ts';

/** Handshakes that wait; beyond it the oldest goes without the numbers of its session. */
const WAITING_MAX = 4_096;

export class HarFormat implements LogFormat {
  /** Says what a call is; HAR says the same in other words. */
  readonly #lines: NdjsonFormat;
  readonly #file: HarFile;
  readonly #waiting = new Map<string, HarCall>();

  /** `version`: Headwater's own, for `creator`. */
  constructor(options: LogFormatOptions, version: string) {
    this.#lines = new NdjsonFormat(options);
    this.#file = new HarFile(version);
  }

  begin(): string {
    return this.#file.begin();
  }

  exchange(x: Redacted<Exchange>): string {
    const call = JSON.parse(this.#lines.exchange(x)) as HarCall;
    if (x.upgrade !== 'websocket') return this.#file.entry(harEntry(call));
    this.#waiting.set(call.id, call);
    if (this.#waiting.size <= WAITING_MAX) return '';
    const [id, oldest] = this.#waiting.entries().next().value!;
    this.#waiting.delete(id);
    return this.#file.entry(harEntry(oldest));
  }

  encode(x: Redacted<Exchange>, out: LineBuffer): void {
    out.text(this.exchange(x));
  }

  websocket(session: WebSocketSession): string {
    const record = JSON.parse(this.#lines.websocket(session)) as WebSocketRecord;
    const call = this.#waiting.get(record.exchange);
    if (call === undefined) return '';
    this.#waiting.delete(record.exchange);
    return this.#file.entry(harEntry(call, record));
  }

  end(): string {
    const rest = [...this.#waiting.values()].map((call) => this.#file.entry(harEntry(call)));
    this.#waiting.clear();
    return rest.join('') + this.#file.end();
  }
}
