import type { Connection } from '../../model/connection.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { WebSocketSession } from '../../model/websocket.ts';
import type { Redacted } from '../../redact/redacted.ts';
import type { ExchangeExporter, RunTotals } from '../exporter.ts';
import type { LogFormat } from './format.ts';
import { type KeepOptions, keeps } from './keep.ts';
import { LineBuffer } from './line.ts';
import type { LogWriter } from './writer.ts';

/** The last line gets this long where writes are refused: a full disk must not keep anything from ending. */
const END_MS = 5_000;

/** Writes each exchange that the keep rules let through in one format to one writer. */
export class LogExporter implements ExchangeExporter {
  readonly #format: LogFormat;
  readonly #writer: LogWriter;
  readonly #keep: KeepOptions | null;
  readonly #id: (connection: Connection, ordinal: number) => string;
  readonly #line = new LineBuffer();
  /** Lines accepted by the writer. */
  accepted = 0;

  /** `keep` null: every exchange gets a line. `id`: the same function that the format has. */
  constructor(
    format: LogFormat,
    writer: LogWriter,
    keep: KeepOptions | null,
    id: (connection: Connection, ordinal: number) => string,
  ) {
    this.#format = format;
    this.#writer = writer;
    this.#keep = keep;
    this.#id = id;
    this.#writer.write(format.begin());
  }

  exchange(x: Redacted<Exchange>): void {
    if (this.#keep !== null && !keeps(this.#keep, x, () => this.#id(x.connection, x.ordinal))) return;
    this.#line.clear();
    this.#format.encode(x, this.#line);
    if (this.#writer.writeBytes(this.#line.bytes, this.#line.length)) this.accepted++;
  }

  websocket(session: WebSocketSession): void {
    this.#writer.write(this.#format.websocket(session));
  }

  /**
   * Writes what is left, the last line behind it. `slowMsMax`: how long a disk or reader that is only slow is waited for; what it has not
   * taken by then is counted as lost, the last line with it. One that refuses gets a few seconds. False: as for LogWriter.close.
   */
  async end(totals: () => RunTotals, slowMsMax = Number.POSITIVE_INFINITY): Promise<boolean> {
    const taken = await this.#writer.flushed(slowMsMax);
    this.#writer.write(this.#format.end(totals(), this.accepted));
    if (taken && slowMsMax === Number.POSITIVE_INFINITY) await this.#writer.flushed();
    return this.#writer.close(taken ? END_MS : 0);
  }
}
