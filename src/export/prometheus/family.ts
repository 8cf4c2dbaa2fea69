/** What a metric is, whatever format it is written in. */
import type { Histograms } from '../../stats/sketch/histogram-sum.ts';

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

/** Label values of a time series, rendered once for each format. */
export class Labels {
  readonly names: readonly string[];
  readonly values: readonly string[];
  #text: Buffer | null = null;
  #protobuf: Buffer | null = null;

  constructor(names: readonly string[], values: readonly string[]) {
    this.names = names;
    this.values = values;
  }

  text(render: (labels: Labels) => Buffer): Buffer {
    this.#text ??= render(this);
    return this.#text;
  }

  protobuf(render: (labels: Labels) => Buffer): Buffer {
    this.#protobuf ??= render(this);
    return this.#protobuf;
  }
}

/** Takes the samples of one family. `more` are labels after `labels`, which many series share: rendered once for all of them. */
export interface FamilyWriter {
  /** A counter, gauge or info; counters may have an exemplar. */
  sample(labels: Labels, value: number, exemplar?: Exemplar | null, more?: Labels): void;
  /** A histogram of all values in `parts`, whose buckets are in the family's unit; `exemplar` lies in it. */
  histogram(labels: Labels, parts: Histograms, exemplar: Exemplar | null, more?: Labels): void;
}

/** No labels. */
export const NO_LABELS = new Labels([], []);

/** A whole answer to a scrape, family by family. */
export interface Exposition {
  readonly contentType: string;
  /** Once for each family. */
  family(family: MetricFamily): FamilyWriter;
  /** What was written, in pieces; nothing may be added afterwards. */
  finish(): Iterable<Buffer>;
}
