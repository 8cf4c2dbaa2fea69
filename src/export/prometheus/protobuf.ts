/**
 * Prometheus' protobuf exposition, the format that carries native histograms: MetricFamily messages, each after its
 * length (io.prometheus.client, prometheus/client_model metrics.proto; prometheus.io/docs/instrumenting/exposition_formats).
 */
import { ExponentialHistogram } from '../../stats/sketch/histogram.ts';
import {
  cumulate,
  type Exemplar,
  type Exposition,
  type FamilyWriter,
  type Labels,
  type MetricFamily,
} from './family.ts';

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

/** A growing buffer of protobuf fields. */
class Wire {
  #bytes = Buffer.allocUnsafe(256);
  length = 0;

  #room(more: number): void {
    if (this.length + more <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(2 * (this.length + more));
    this.#bytes.copy(grown, 0, 0, this.length);
    this.#bytes = grown;
  }

  varint(value: number): this {
    this.#room(10);
    let rest = value;
    while (rest >= 128) {
      this.#bytes[this.length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#bytes[this.length++] = rest;
    return this;
  }

  zigzag(value: number): this {
    return this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  tag(field: number, type: number): this {
    return this.varint(field * 8 + type);
  }

  double(field: number, value: number): this {
    this.tag(field, 1).#room(8);
    this.#bytes.writeDoubleLE(value, this.length);
    this.length += 8;
    return this;
  }

  uint(field: number, value: number): this {
    return value === 0 ? this : this.tag(field, 0).varint(value);
  }

  raw(bytes: Uint8Array): this {
    this.#room(bytes.length);
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
    return this;
  }

  bytes(field: number, bytes: Uint8Array): this {
    return this.tag(field, 2).varint(bytes.length).raw(bytes);
  }

  text(field: number, text: string): this {
    return this.bytes(field, Buffer.from(text));
  }

  message(field: number, inner: Wire): this {
    return this.bytes(field, inner.view());
  }

  clear(): this {
    this.length = 0;
    return this;
  }

  view(): Buffer {
    return this.#bytes.subarray(0, this.length);
  }
}

// Reused: nothing here is kept beyond one metric.
const metric = new Wire();
const inner = new Wire();
const small = new Wire();
const tiny = new Wire();
const bucket = new Wire();

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
  readonly #body = new Wire();
  readonly #createdMs: number;
  empty = true;

  constructor(family: MetricFamily, createdMs: number) {
    this.#family = family;
    this.#createdMs = createdMs;
    this.#body
      .text(1, family.name + SUFFIX[family.type])
      .text(2, family.help)
      .uint(3, TYPE[family.type]);
  }

  sample(labels: Labels, value: number, exemplar: Exemplar | null = null): void {
    inner.clear().double(1, value);
    if (this.#family.type !== 'counter') {
      this.#metric(labels, 2, inner);
      return;
    }
    if (exemplar !== null) inner.message(2, exemplarOf(exemplar));
    this.#metric(labels, 3, inner.message(3, timestamp(tiny, this.#createdMs)));
  }

  histogram(labels: Labels, value: ExponentialHistogram, exemplar: Exemplar | null): void {
    const { bounds = [] } = this.#family;
    inner
      .clear()
      .uint(1, value.count)
      .double(2, value.sum / value.unit);
    const below = cumulate(value, bounds);
    const shown = exemplar === null ? -1 : bounds.findIndex((bound) => exemplar.value <= bound);
    for (const [i, bound] of bounds.entries()) {
      bucket.clear().uint(1, below[i]!).double(2, bound);
      if (i === shown) bucket.message(3, exemplarOf(exemplar!));
      inner.message(3, bucket);
    }
    bucket.clear().uint(1, value.count).double(2, Number.POSITIVE_INFINITY);
    if (exemplar !== null && shown < 0) bucket.message(3, exemplarOf(exemplar));
    inner.message(3, bucket);
    native(inner, value);
    this.#metric(labels, 7, inner.message(15, timestamp(tiny, this.#createdMs)));
  }

  /** The message with its length before it. */
  finish(): Buffer {
    const length = new Wire().varint(this.#body.length);
    return Buffer.concat([length.view(), this.#body.view()]);
  }

  #metric(labels: Labels, field: number, value: Wire): void {
    metric.clear().raw(labels.protobuf(renderLabels)).message(field, value);
    this.#body.message(4, metric);
    this.empty = false;
  }
}

/** The native part of a Histogram message. A Prometheus bucket's index names its upper bound: ours plus one. */
function native(out: Wire, value: ExponentialHistogram): void {
  let { scale, offset, counts } = value.buckets();
  if (counts.length > NATIVE_BUCKETS_MAX) {
    const coarse = new ExponentialHistogram(value.unit, null, scale);
    coarse.merge(value);
    while (counts.length > NATIVE_BUCKETS_MAX) {
      coarse.downscale(scale - 1);
      ({ scale, offset, counts } = coarse.buckets());
    }
  }
  // sint32 schema, even when it is 0: its presence makes the histogram native.
  out.tag(5, 0).zigzag(scale).double(6, ZERO_THRESHOLD).uint(7, value.zeroCount);
  const spans: { offset: number; length: number }[] = [];
  const deltas = tiny.clear();
  let before = 0;
  let next = 0;
  const put = (count: number): void => {
    deltas.zigzag(count - before);
    before = count;
  };
  for (let i = 0; i < counts.length; i++) {
    if (counts[i] === 0) continue;
    const index = offset + i + 1;
    const span = spans.at(-1);
    const gap = index - next;
    if (span === undefined || gap > GAP_MAX) {
      spans.push({ offset: span === undefined ? index : gap, length: 1 });
    } else {
      for (let empty = 0; empty < gap; empty++) put(0);
      span.length += gap + 1;
    }
    put(counts[i]!);
    next = index + 1;
  }
  // An empty native histogram is told from a classic one by a span of no buckets.
  if (spans.length === 0) spans.push({ offset: 0, length: 0 });
  for (const span of spans) {
    small.clear();
    small.tag(1, 0).zigzag(span.offset).uint(2, span.length);
    out.message(12, small);
  }
  if (deltas.length > 0) out.bytes(13, deltas.view());
}

export class ProtobufExposition implements Exposition {
  readonly contentType = PROTOBUF_TYPE;
  readonly #families: ProtobufFamily[] = [];
  readonly #createdMs: number;

  /** @param createdMs since when everything is counted, Unix time. */
  constructor(createdMs: number) {
    this.#createdMs = createdMs;
  }

  family(family: MetricFamily): FamilyWriter {
    const writer = new ProtobufFamily(family, this.#createdMs);
    this.#families.push(writer);
    return writer;
  }

  *finish(): Iterable<Buffer> {
    for (const family of this.#families) if (!family.empty) yield family.finish();
  }
}
