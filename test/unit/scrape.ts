/** Scrapes of the statistics, read by the strict reader. */
import { expect } from 'vitest';
import type { HeaderMetrics, StatisticsMetrics } from '../../src/export/prometheus/statistics.ts';
import { TextExposition } from '../../src/export/prometheus/text.ts';
import type { ServiceTls } from '../../src/export/prometheus/tls.ts';
import { type Family, parseOpenMetrics, type Sample } from '../fixtures/openmetrics.ts';
import { WALL_NS } from './stats-rig.ts';

export const CREATED_MS = Number(WALL_NS / 1_000_000n);
export const MINUTE = 60e9;
export const HOUR = 60 * MINUTE;
export const MS = 1e6;

/** One scrape, read by the strict reader. */
export function scrape(
  metrics: StatisticsMetrics,
  headers: HeaderMetrics | null = null,
  tls?: Iterable<ServiceTls>,
): Map<string, Family> {
  const out = new TextExposition(CREATED_MS);
  for (const _ of metrics.write(headers, out, tls));
  return parseOpenMetrics([...out.finish()].join(''));
}

const matches = (sample: Sample, labels: Record<string, string>): boolean =>
  Object.entries(labels).every(([name, value]) => sample.labels[name] === value);
/** Sum of the samples of `name` with these labels; NaN: there are none. */
export function sum(families: Map<string, Family>, name: string, labels: Record<string, string> = {}): number {
  const family = [...families.values()].find((each) => each.samples.some((sample) => sample.name === name));
  const found = (family?.samples ?? []).filter((sample) => sample.name === name && matches(sample, labels));
  return found.length === 0 ? Number.NaN : found.reduce((total, { value }) => total + value, 0);
}
export const routes = (families: Map<string, Family>): string[] =>
  families
    .get('headwater_failed_calls')!
    .samples.flatMap((s) => (s.name.endsWith('_total') ? [s.labels['route']!] : []));

/** Samples that may only rise: counters, and histograms' buckets, counts and sums. */
function rising(families: Map<string, Family>): Map<string, number> {
  const values = new Map<string, number>();
  for (const { type, samples } of families.values())
    if (type !== 'gauge')
      for (const { name, labels, value } of samples) values.set(`${name} ${JSON.stringify(labels)}`, value);
  return values;
}

export function expectNoFall(
  before: Map<string, Family>,
  after: Map<string, Family>,
  mayGo = (_: string): boolean => false,
): void {
  const later = rising(after);
  for (const [series, value] of rising(before)) {
    if (!later.has(series) && mayGo(series)) continue;
    // Sums of seconds are floats.
    expect(later.get(series) ?? -1, series).toBeGreaterThanOrEqual(value - 1e-9);
  }
}
