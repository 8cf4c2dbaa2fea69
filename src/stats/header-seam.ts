/**
 * How the engine feeds statistics of header elements, which live in headers/: for each series the engine asks once for an
 * observer and keeps it beside the series' other states, so that no call pays for a look-up.
 */
import type { Exchange } from '../model/exchange.ts';
import type { Redacted } from '../redact/redacted.ts';
import type { SeriesKey } from './series.ts';

export interface HeaderObserver {
  /** One call of this series, valid during the call only; `at`: Unix ms. */
  observe(exchange: Redacted<Exchange>, at: number): void;
}

export interface HeaderStatistics {
  /** The observer of a series; null: the bound on series is reached. Called once for each series. */
  series(key: SeriesKey): HeaderObserver | null;
}
