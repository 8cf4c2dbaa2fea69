/**
 * Prometheus' protobuf exposition, the format that carries native histograms: MetricFamily messages, each after its
 * length (io.prometheus.client, prometheus/client_model metrics.proto; prometheus.io/docs/instrumenting/exposition_formats).
 */
import {
  countBelow,
  countOf,
  type Histograms,
  limitsOf,
  type SummedBuckets,
  sumBuckets,
  sumOf,
} from '../../stats/sketch/histogram-sum.ts';
import { Chunks } from './chunks.ts';
import {
  type Exemplar,
  type Exposition,
  type FamilyWriter,
  type Labels,
  type MetricFamily,
  NO_LABELS,
} from './family.ts';
import { type LastAnswer, LastAnswers } from './last-answer.ts';
import { Wire } from './wire.ts';

export const PROTOBUF_TYPE =
  'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited';

/** Buckets of a native histogram; a wider spread is sent at a lower resolution, as OTLP's default has it. */
const NATIVE_BUCKETS_MAX = 160;
/** Empty buckets between two spans that are sent as zeros: a span costs as much. */
const GAP_MAX = 2;
/** The library's zero bucket: below the smallest normal float32, as client_golang has it. */
const ZERO_THRESHOLD = 2.938735877055719e-39;

const TYPE = { counter: 0, gauge: 1, info: 1, histogram: 4 } as const;
const SUFFIX = { counter: '_total', gauge: '', info: '_info', histogram: '' } as const;

// Reused: nothing here is kept beyond one metric.
const whole = new Wire();
const inner = new Wire();
const small = new Wire();
const tiny = new Wire();
const summed: SummedBuckets = { scale: 0, offset: 0, length: 0, counts: new Float64Array(NATIVE_BUCKETS_MAX) };

const renderLabels = ({ names, values }: Labels): Buffer => {
  const all = new Wire();
  for (const [i, name] of names.entries()) {
    small.clear().text(1, name).text(2, values[i]!);
    all.message(1, small);
  }
  return Buffer.from(all.view());
};

const timestamp = (out: Wire, unixMs: number): Wire =>
  out
    .clear()
    .uint(1, Math.floor(unixMs / 1_000))
    .uint(2, Math.round((unixMs % 1_000) * 1e6));

const exemplarOf = ({ call, value, at }: Exemplar): Wire => {
  tiny.clear().text(1, 'call_id').text(2, call);
  small.clear().message(1, tiny).double(2, value);
  return small.message(3, timestamp(tiny, at));
};

class ProtobufFamily implements FamilyWriter {
  readonly #family: MetricFamily;
  readonly #bounds: readonly number[];
  readonly #limits: Int32Array;
  readonly #below: Float64Array;
  /** The name and so on: what comes before the metrics. */
  readonly #head = new Wire();
  readonly #metrics = new Chunks();
  readonly #last: LastAnswer;
  readonly #created: Wire;

  constructor(family: MetricFamily, createdMs: number, last: LastAnswer) {
    this.#family = family;
    this.#last = last;
    this.#bounds = family.bounds ?? [];
    this.#limits = limitsOf(this.#bounds);
    this.#below = new Float64Array(this.#bounds.length);
    this.#created = timestamp(new Wire(), createdMs);
    this.#head
      .text(1, family.name + SUFFIX[family.type])
      .text(2, family.help)
      .uint(3, TYPE[family.type]);
  }

  sample(labels: Labels, value: number, exemplar: Exemplar | null = null, more = NO_LABELS): void {
    inner.clear().double(1, value);
    if (this.#family.type !== 'counter') {
      this.#metric(labels, more, 2);
      return;
    }
    if (exemplar !== null) inner.message(2, exemplarOf(exemplar));
    inner.message(3, this.#created);
    this.#metric(labels, more, 3);
  }

  histogram(labels: Labels, parts: Histograms, exemplar: Exemplar | null, more = NO_LABELS): void {
    const count = countOf(parts);
    const sum = sumOf(parts);
    const same = this.#last.same(labels, more, count, sum, exemplar);
    let at: number;
    if (same === null) {
      this.#histogram(parts, count, sum, exemplar);
      at = this.#metric(labels, more, 7);
    } else at = this.#metrics.copy(same);
    this.#last.keep(labels, more, count, sum, exemplar, this.#metrics.piece(at));
  }

  /** A Histogram message, into `inner`. */
  #histogram(parts: Histograms, count: number, sum: number, exemplar: Exemplar | null): void {
    inner.clear().uint(1, count).double(2, sum);
    countBelow(parts, this.#limits, this.#below);
    let shown = exemplar;
    for (let i = 0; i <= this.#bounds.length; i++) {
      const isLast = i === this.#bounds.length;
      const bound = isLast ? Number.POSITIVE_INFINITY : this.#bounds[i]!;
      const isShown = shown !== null && shown.value <= bound;
      inner.bucket(3, isLast ? count : this.#below[i]!, bound, isShown ? exemplarOf(shown!) : null);
      if (isShown) shown = null;
    }
    native(inner, parts);
    inner.message(15, this.#created);
  }

  /** The message, after its length; nothing without metrics. */
  *finish(): Generator<Buffer> {
    this.#last.end();
    if (this.#metrics.empty) return;
    yield new Wire()
      .varint(this.#head.length + this.#metrics.length)
      .raw(this.#head.view())
      .view();
    yield* this.#metrics.chunks();
  }

  /** A Metric message: its labels, and `inner` as its field. @returns where it begins. */
  #metric(labels: Labels, more: Labels, field: number): number {
    const own = labels.protobuf(renderLabels);
    const last = more.protobuf(renderLabels);
    const length = own.length + last.length + Wire.sizeOf(field, inner.length);
    whole.clear().tag(4, 2).varint(length).raw(own).raw(last).message(field, inner);
    const out = this.#metrics;
    out.room(whole.length);
    const { at } = out;
    out.block(whole.view());
    return at;
  }
}

/** The native part of a Histogram message. A Prometheus bucket's index names its upper bound: ours plus one. */
function native(out: Wire, parts: Histograms): void {
  sumBuckets(parts, summed);
  const { scale, offset, length, counts } = summed;
  const zeros = parts.reduce((sum, { zeroCount }) => sum + zeroCount, 0);
  // sint32 schema, even when it is 0: its presence makes the histogram native.
  out.tag(5, 0).zigzag(scale).double(6, ZERO_THRESHOLD).uint(7, zeros);
  const deltas = tiny.clear();
  let before = 0;
  // An empty native histogram is told from a classic one by a span of no buckets.
  let spanOffset = length === 0 ? 0 : offset + 1;
  let spanLength = 0;
  let gap = 0;
  for (let i = 0; i < length; i++) {
    const count = counts[i]!;
    if (count === 0) {
      gap++;
      continue;
    }
    if (gap > GAP_MAX) {
      out.message(12, span(spanOffset, spanLength));
      spanOffset = gap;
      spanLength = 0;
    } else {
      for (let empty = 0; empty < gap; empty++) {
        deltas.zigzag(-before);
        before = 0;
      }
      spanLength += gap;
    }
    gap = 0;
    spanLength++;
    deltas.zigzag(count - before);
    before = count;
  }
  out.message(12, span(spanOffset, spanLength));
  if (deltas.length > 0) out.message(13, deltas);
}

const span = (offset: number, length: number): Wire => small.clear().tag(1, 0).zigzag(offset).uint(2, length);

export class ProtobufExposition implements Exposition {
  readonly contentType = PROTOBUF_TYPE;
  readonly #families: ProtobufFamily[] = [];
  readonly #createdMs: number;
  readonly #last: LastAnswers;

  /** @param createdMs since when everything is counted, Unix time. `last`: of answers since the same time. */
  constructor(createdMs: number, last = new LastAnswers()) {
    this.#createdMs = createdMs;
    this.#last = last;
  }

  family(family: MetricFamily): FamilyWriter {
    const writer = new ProtobufFamily(family, this.#createdMs, this.#last.of(PROTOBUF_TYPE, family));
    this.#families.push(writer);
    return writer;
  }

  *finish(): Iterable<Buffer> {
    for (const family of this.#families) yield* family.finish();
  }
}
