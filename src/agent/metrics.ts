/** What /metrics shows of the statistics, bounded. */
import type { Exposition } from '../export/prometheus/family.ts';
import { StatisticsMetrics } from '../export/prometheus/statistics.ts';
import type { StatusSource } from '../model/status.ts';
import type { MetricsSource } from '../serve/scrape.ts';
import { HeaderGauges } from './header-gauges.ts';
import type { Statistics } from './statistics.ts';

export class AgentMetrics implements MetricsSource {
  readonly status: StatusSource;
  readonly createdMs: number;
  readonly #statistics: Statistics;
  readonly #metrics: StatisticsMetrics;
  readonly #gauges = new HeaderGauges();

  /** Takes the statistics' `gauges` for itself. */
  constructor(status: StatusSource, statistics: Statistics, createdMs: number) {
    this.status = status;
    this.#statistics = statistics;
    this.#metrics = new StatisticsMetrics(statistics.engine);
    this.createdMs = createdMs;
    statistics.gauges = this.#gauges;
  }

  statistics(out: Exposition): Generator<void> {
    const changes = this.#statistics.changeCounts.values();
    return this.#metrics.write({ fields: this.#gauges.fields(), changes }, out, this.#statistics.tls);
  }
}
