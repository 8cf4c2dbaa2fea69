import type { Exchange } from '../model/exchange.ts';
import type { LossTotal } from '../model/loss.ts';
import type { WebSocketSession } from '../model/websocket.ts';
import type { Redacted } from '../redact/redacted.ts';

/** What a run counted, for its last line. */
export interface RunTotals {
  /** TCP segments with payload. */
  readonly segments: number;
  /** Their payload. */
  readonly bytes: number;
  readonly connections: number;
  /** Exchanges that took place, whatever became of their lines. */
  readonly exchanges: number;
  /** By reason, in the order of LOSS_REASONS. */
  readonly losses: readonly LossTotal[];
}

/** Takes what leaves Headwater. It never gets an exchange that was not redacted: such a program does not compile. */
export interface ExchangeExporter {
  /** Valid during the call only; must not block. */
  exchange(exchange: Redacted<Exchange>): void;
  /** Comes after the exchange of its handshake; must not block. */
  websocket(session: WebSocketSession): void;
  /**
   * Writes what is still held and the end of the run. `totals` is asked once, after everything before it was written or
   * given up, so that its losses include the exporter's own. False: a write never came back.
   */
  end(totals: () => RunTotals): Promise<boolean>;
}
