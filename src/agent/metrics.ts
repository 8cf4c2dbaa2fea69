/** What /metrics shows of the statistics, bounded. */
import type { Exposition } from '../export/prometheus/family.ts';
import { type HeaderMetrics, StatisticsMetrics } from '../export/prometheus/statistics.ts';
import type { StatusSource } from '../model/status.ts';
import type { MetricsSource } from '../serve/scrape.ts';
import { headerRows } from '../stats/headers/rows.ts';
import { HeaderState } from '../stats/headers/state.ts';
import type { Statistics } from './statistics.ts';

/** Names of header fields with gauges of their own: the most frequent of each service, side and direction. */
const NAMES_MAX = 32;
const SERVICES_MAX = 32;

export class AgentMetrics implements MetricsSource {
  readonly status: StatusSource;
  readonly createdMs: number;
  readonly #statistics: Statistics;
  readonly #metrics: StatisticsMetrics;
  /** Made once for each window. */
  #fields: { readonly to: number; readonly rows: HeaderMetrics['fields'] } | null = null;

  constructor(status: StatusSource, statistics: Statistics, createdMs: number) {
    this.status = status;
    this.#statistics = statistics;
    this.#metrics = new StatisticsMetrics(statistics.engine);
    this.createdMs = createdMs;
  }

  statistics(out: Exposition): Generator<void> {
    const changes = this.#statistics.changeCounts.values();
    return this.#metrics.write({ fields: this.#headerFields(), changes }, out, this.#statistics.tls);
  }

  /** Of the last window that ended, all routes of a service together. */
  #headerFields(): HeaderMetrics['fields'] {
    const last = this.#statistics.lastWindow();
    if (last === null) return [];
    if (this.#fields?.to === last.state.to) return this.#fields.rows;
    const whole = byService(last.state);
    const reference = last.reference === null ? null : byService(last.reference);
    const services = new Map([...whole.groups.values()].map(({ key }) => [`${key.side} ${key.service}`, key]));
    const rows = [...services.values()].slice(0, SERVICES_MAX).flatMap((key) => {
      const found = headerRows(whole, key, reference).filter(({ name }) => !name.startsWith(':'));
      return (['request', 'response'] as const).flatMap((direction) =>
        found
          .filter((row) => row.direction === direction)
          .sort((a, b) => b.lines - a.lines)
          .slice(0, NAMES_MAX)
          .map((row) => ({
            side: key.side,
            service: key.service,
            direction,
            name: row.name,
            presence: row.presence,
            distinct: row.distinct,
            entropyBits: row.entropy_bits,
            drift: row.drift?.jensen_shannon ?? null,
          })),
      );
    });
    this.#fields = { to: last.state.to, rows };
    return rows;
  }
}

function byService(state: HeaderState): HeaderState {
  const merged = new HeaderState();
  for (const group of state.groups.values())
    merged.group({ ...group.key, method: '', route: '' }, group.direction).merge(group);
  return merged;
}
