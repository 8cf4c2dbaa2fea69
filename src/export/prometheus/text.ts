/**
 * OpenMetrics 1.0 text (prometheus.io/docs/specs/om/open_metrics_spec): histograms in classic buckets, exemplars, creation times.
 * And the older text format 0.0.4, for tools that know nothing else: the same samples without those.
 */
import { countBelow, countOf, type Histograms, limitsOf, sumOf } from '../../stats/sketch/histogram-sum.ts';
import { Chunks, NUMBER_MAX, UTF8_MAX } from './chunks.ts';
import {
  type Exemplar,
  type Exposition,
  type FamilyWriter,
  type Labels,
  type MetricFamily,
  NO_LABELS,
} from './family.ts';
import { type LastAnswer, LastAnswers } from './last-answer.ts';

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
export const PLAIN_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const SUFFIX = { counter: '_total', gauge: '', info: '_info', histogram: '' } as const;
/** An exemplar's label set has at most 128 code points, names included. */
const EXEMPLAR_VALUE_MAX = 100;

const escapeLabel = (value: string): string =>
  /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
const renderLabels = ({ names, values }: Labels): Buffer =>
  Buffer.from(names.map((name, i) => `${name}="${escapeLabel(values[i]!)}"`).join(','));

/** OpenMetrics wants floats such as 0.005 and 1.0; every other number as JavaScript writes it. */
const boundText = (bound: number): string => (Number.isInteger(bound) ? `${bound}.0` : `${bound}`);

const COMMA = Buffer.from(',');
const OPEN = Buffer.from('{');
const CLOSE = Buffer.from('} ');
const SPACE = Buffer.from(' ');
const LINE_END = Buffer.from('\n');
/** Of a line: what is in it besides names, labels and an exemplar. */
const LINE_MAX = NUMBER_MAX + 16;

class TextFamily implements FamilyWriter {
  readonly out = new Chunks();
  readonly last: LastAnswer;
  readonly #family: MetricFamily;
  readonly #isCounter: boolean;
  readonly #name: Buffer;
  readonly #bucket: Buffer;
  readonly #count: Buffer;
  readonly #sum: Buffer;
  /** Name and value of the line that says since when; null: the older format. */
  readonly #created: { readonly name: Buffer; readonly value: Buffer } | null;
  readonly #bounds: readonly number[];
  readonly #limits: Int32Array;
  readonly #below: Float64Array;
  /** What follows a bucket's labels: one for each bound, and for infinity. */
  readonly #le: readonly Buffer[];
  readonly #leMax: number;

  constructor(family: MetricFamily, createdS: number | null, last: LastAnswer) {
    const { name, type, bounds = [] } = family;
    this.last = last;
    this.#family = family;
    this.#isCounter = type === 'counter';
    this.#name = Buffer.from(name + SUFFIX[type]);
    this.#bucket = Buffer.from(`${name}_bucket{`);
    this.#count = Buffer.from(`${name}_count`);
    this.#sum = Buffer.from(`${name}_sum`);
    this.#created =
      createdS === null ? null : { name: Buffer.from(`${name}_created`), value: Buffer.from(`${createdS}\n`) };
    this.#bounds = bounds;
    this.#limits = limitsOf(bounds);
    this.#below = new Float64Array(bounds.length);
    this.#le = [...bounds.map(boundText), '+Inf'].map((bound) => Buffer.from(`le="${bound}"} `));
    this.#leMax = Math.max(...this.#le.map(({ length }) => length));
  }

  get head(): string {
    const { name, type, unit, help } = this.#family;
    if (this.#created === null)
      return `# HELP ${this.#name} ${help}\n# TYPE ${this.#name} ${type === 'info' ? 'gauge' : type}\n`;
    return `# TYPE ${name} ${type}\n${unit === '' ? '' : `# UNIT ${name} ${unit}\n`}# HELP ${name} ${help}\n`;
  }

  sample(labels: Labels, value: number, exemplar: Exemplar | null = null, more = NO_LABELS): void {
    const { out } = this;
    const own = labels.text(renderLabels);
    const last = more.text(renderLabels);
    const told = this.#isCounter ? this.#exemplar(exemplar) : '';
    out.room(2 * (this.#name.length + own.length + last.length + LINE_MAX) + UTF8_MAX * told.length);
    out.bytes(this.#name);
    const from = out.at;
    const hasLabels = own.length > 0 || last.length > 0;
    if (hasLabels) out.bytes(OPEN);
    this.#labels(own, last);
    out.bytes(hasLabels ? CLOSE : SPACE);
    const to = out.at;
    out.number(value);
    out.text(told);
    out.bytes(LINE_END);
    if (!this.#isCounter || this.#created === null) return;
    out.bytes(this.#created.name);
    out.again(from, to);
    out.bytes(this.#created.value);
  }

  histogram(labels: Labels, parts: Histograms, exemplar: Exemplar | null, more = NO_LABELS): void {
    const { out } = this;
    const count = countOf(parts);
    const sum = sumOf(parts);
    const same = this.last.same(labels, more, count, sum, exemplar);
    const at = same === null ? this.#histogram(labels, parts, count, sum, exemplar, more) : out.copy(same);
    this.last.keep(labels, more, count, sum, exemplar, out.piece(at));
  }

  /** @returns where it begins. */
  #histogram(
    labels: Labels,
    parts: Histograms,
    count: number,
    sum: number,
    exemplar: Exemplar | null,
    more: Labels,
  ): number {
    const { out } = this;
    const own = labels.text(renderLabels);
    const last = more.text(renderLabels);
    const told = this.#exemplar(exemplar);
    const line = this.#bucket.length + own.length + last.length + LINE_MAX;
    out.room((this.#le.length + 3) * (line + this.#leMax) + UTF8_MAX * told.length);
    countBelow(parts, this.#limits, this.#below);
    let shown = exemplar === null ? -1 : this.#bounds.findIndex((bound) => exemplar.value <= bound);
    if (shown < 0) shown = this.#bounds.length;

    const start = out.at;
    out.bytes(this.#bucket);
    const from = out.at;
    this.#labels(own, last);
    const to = out.at;
    if (to > from) out.bytes(COMMA);
    const end = out.at;
    for (let i = 0; i < this.#le.length; i++) {
      if (i > 0) out.again(start, end);
      out.bytes(this.#le[i]!);
      out.number(i < this.#below.length ? this.#below[i]! : count);
      if (i === shown) out.text(told);
      out.bytes(LINE_END);
    }
    this.#again(this.#count, from, to);
    out.number(count);
    out.bytes(LINE_END);
    this.#again(this.#sum, from, to);
    out.number(sum);
    out.bytes(LINE_END);
    if (this.#created !== null) {
      this.#again(this.#created.name, from, to);
      out.bytes(this.#created.value);
    }
    return start;
  }

  #labels(own: Buffer, last: Buffer): void {
    const { out } = this;
    out.block(own);
    if (own.length > 0 && last.length > 0) out.bytes(COMMA);
    out.block(last);
  }

  /** The beginning of a further line, with the labels that were written from `from` to `to`. */
  #again(name: Buffer, from: number, to: number): void {
    const { out } = this;
    out.bytes(name);
    if (to === from) {
      out.bytes(SPACE);
      return;
    }
    out.bytes(OPEN);
    out.again(from, to);
    out.bytes(CLOSE);
  }

  #exemplar(exemplar: Exemplar | null): string {
    if (exemplar === null || this.#created === null) return '';
    const { call, value, at } = exemplar;
    return ` # {call_id="${escapeLabel(call.slice(0, EXEMPLAR_VALUE_MAX))}"} ${value} ${at / 1_000}`;
  }
}

export class TextExposition implements Exposition {
  readonly contentType: string;
  readonly #families: TextFamily[] = [];
  readonly #createdS: number | null;
  readonly #last: LastAnswers;

  /** @param createdMs since when everything is counted, Unix time; null: the older format, which cannot say it. `last`: of answers since the same time. */
  constructor(createdMs: number | null, last = new LastAnswers()) {
    this.#last = last;
    this.#createdS = createdMs === null ? null : createdMs / 1_000;
    this.contentType = createdMs === null ? PLAIN_TYPE : OPENMETRICS_TYPE;
  }

  family(family: MetricFamily): FamilyWriter {
    const writer = new TextFamily(family, this.#createdS, this.#last.of(this.contentType, family));
    this.#families.push(writer);
    return writer;
  }

  *finish(): Iterable<Buffer> {
    for (const { head, out, last } of this.#families) {
      last.end();
      // The older format has no notion of a family without samples.
      if (this.#createdS === null && out.empty) continue;
      yield Buffer.from(head);
      yield* out.chunks();
    }
    if (this.#createdS !== null) yield Buffer.from('# EOF\n');
  }
}
