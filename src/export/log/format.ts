import type { TimeFormatter } from '../../base/clock.ts';
import type { Connection } from '../../model/connection.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { WebSocketSession } from '../../model/websocket.ts';
import type { Redacted } from '../../redact/redacted.ts';
import type { RunTotals } from '../exporter.ts';
import type { LineBuffer } from './line.ts';
import type { HeaderSelection } from './selection.ts';

export interface LogFormatOptions {
  /** Id of an exchange: `run-connection-ordinal`, without a character that JSON escapes. */
  readonly id: (connection: Connection, ordinal: number) => string;
  readonly time: TimeFormatter;
  /** Which header fields are written; without it all. */
  readonly headers?: HeaderSelection | undefined;
}

/** A file's text: its beginning, one piece for each exchange, its end. All pieces are pure ASCII and end in a newline or are "". */
export interface LogFormat {
  begin(): string;
  exchange(exchange: Redacted<Exchange>): string;
  /** As `exchange`, appended to `out`: for whoever writes bytes anyway. */
  encode(exchange: Redacted<Exchange>, out: LineBuffer): void;
  /** What a WebSocket carried, after its handshake's piece; "" where the format has no place for it. */
  websocket(session: WebSocketSession): string;
  /** `printed`: pieces that were written. */
  end(totals: RunTotals, printed: number): string;
}
