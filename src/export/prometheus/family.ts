/** What a metric is, whatever format it is written in. */
import type { ExponentialHistogram } from '../../stats/sketch/histogram.ts';

export type MetricType = 'counter' | 'gauge' | 'histogram' | 'info';

export interface MetricFamily {
  /** Without the suffixes that a format adds ("_total", "_bucket", "_info"). */
  readonly name: string;
  readonly type: MetricType;
  /** Base unit, which the name ends with; "" when there is none. */
  readonly unit: '' | 'seconds' | 'bytes' | 'bits' | 'ratio';
  readonly help: string;
  /** Label names, in the order in which they are written. */
  readonly labels: readonly string[];
  /** Upper bounds of classic buckets, for scrapers without native histograms. */
  readonly bounds?: readonly number[];
}

/** A call that a sample stands for. */
export interface Exemplar {
  /** Id of the exchange. */
  readonly call: string;
  /** In the unit of the family. */
  readonly value: number;
  /** Unix ms. */
  readonly at: number;
}

/** The label values of one time series, rendered once for each format. */
export class Labels {
  readonly names: readonly string[];
  readonly values: readonly string[];
  #text: string | null = null;
  #protobuf: Buffer | null = null;

  constructor(names: readonly string[], values: readonly string[]) {
    this.names = names;
    this.values = values;
  }

  text(render: (labels: Labels) => string): string {
    this.#text ??= render(this);
    return this.#text;
  }

  protobuf(render: (labels: Labels) => Buffer): Buffer {
    this.#protobuf ??= render(this);
    return this.#protobuf;
  }
}

/** Takes the samples of one family. */
export interface FamilyWriter {
  /** A counter, gauge or info; counters may have an exemplar. */
  sample(labels: Labels, value: number, exemplar?: Exemplar | null): void;
  /** A histogram whose buckets are in the family's unit; `exemplar` lies in it. */
  histogram(labels: Labels, value: ExponentialHistogram, exemplar: Exemplar | null): void;
}

/** A whole answer to a scrape, family by family. */
export interface Exposition {
  readonly contentType: string;
  /** Once for each family. */
  family(family: MetricFamily): FamilyWriter;
  /** What was written, in pieces; nothing may be added afterwards. */
  finish(): Iterable<Buffer | string>;
}

/** Values at most `bound`, cumulated over `bounds`: a bucket that straddles a bound counts above it, 1.1 % of it at scale 6. */
export function cumulate(value: ExponentialHistogram, bounds: readonly number[]): number[] {
  const { scale, offset, counts } = value.buckets();
  const step = 2 ** -scale;
  let i = 0;
  let below = value.zeroCount;
  return bounds.map((bound) => {
    // Bucket i ends at 2^((offset + i + 1) * step).
    const last = Math.floor(Math.log2(bound) / step + 1e-9) - 1 - offset;
    for (; i <= last && i < counts.length; i++) below += counts[i]!;
    return below;
  });
}
