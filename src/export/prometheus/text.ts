/**
 * OpenMetrics 1.0 text (prometheus.io/docs/specs/om/open_metrics_spec): histograms in classic buckets, exemplars, creation times.
 * And the older text format 0.0.4, for tools that know nothing else: the same samples without those.
 */
import type { ExponentialHistogram } from '../../stats/sketch/histogram.ts';
import {
  cumulate,
  type Exemplar,
  type Exposition,
  type FamilyWriter,
  type Labels,
  type MetricFamily,
} from './family.ts';

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';
export const PLAIN_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

const SUFFIX = { counter: '_total', gauge: '', info: '_info', histogram: '' } as const;
/** An exemplar's label set has at most 128 code points, names included. */
const EXEMPLAR_VALUE_MAX = 100;

const escapeLabel = (value: string): string =>
  /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value;
const renderLabels = ({ names, values }: Labels): string =>
  names.map((name, i) => `${name}="${escapeLabel(values[i]!)}"`).join(',');

/** OpenMetrics wants floats such as 0.005 and 1.0; every other number as JavaScript writes it. */
const boundText = (bound: number): string => (Number.isInteger(bound) ? `${bound}.0` : `${bound}`);

class TextFamily implements FamilyWriter {
  readonly parts: string[] = [];
  readonly #family: MetricFamily;
  readonly #name: string;
  readonly #le: readonly string[];
  /** null: the older format. */
  readonly #createdS: number | null;

  constructor(family: MetricFamily, createdS: number | null) {
    this.#family = family;
    this.#name = family.name + SUFFIX[family.type];
    this.#le = (family.bounds ?? []).map((bound) => `le="${boundText(bound)}"} `);
    this.#createdS = createdS;
  }

  get head(): string {
    const { name, type, unit, help } = this.#family;
    if (this.#createdS === null)
      return `# HELP ${this.#name} ${help}\n# TYPE ${this.#name} ${type === 'info' ? 'gauge' : type}\n`;
    return `# TYPE ${name} ${type}\n${unit === '' ? '' : `# UNIT ${name} ${unit}\n`}# HELP ${name} ${help}\n`;
  }

  sample(labels: Labels, value: number, exemplar: Exemplar | null = null): void {
    const text = labels.text(renderLabels);
    const set = text === '' ? '' : `{${text}}`;
    const isCounter = this.#family.type === 'counter';
    this.parts.push(`${this.#name}${set} ${value}${isCounter ? this.#exemplar(exemplar) : ''}\n`);
    if (isCounter) this.parts.push(this.#created(set));
  }

  histogram(labels: Labels, value: ExponentialHistogram, exemplar: Exemplar | null): void {
    const name = this.#name;
    const own = labels.text(renderLabels);
    const open = own === '' ? `${name}_bucket{` : `${name}_bucket{${own},`;
    const bounds = this.#family.bounds ?? [];
    const below = cumulate(value, bounds);
    const shown = exemplar === null ? -1 : bounds.findIndex((bound) => exemplar.value <= bound);
    let text = '';
    for (let i = 0; i < bounds.length; i++) {
      text += `${open}${this.#le[i]}${below[i]}${i === shown ? this.#exemplar(exemplar) : ''}\n`;
    }
    text += `${open}le="+Inf"} ${value.count}${shown < 0 ? this.#exemplar(exemplar) : ''}\n`;
    const set = own === '' ? '' : `{${own}}`;
    text += `${name}_count${set} ${value.count}\n${name}_sum${set} ${value.sum / value.unit}\n${this.#created(set)}`;
    this.parts.push(text);
  }

  #created(set: string): string {
    return this.#createdS === null ? '' : `${this.#family.name}_created${set} ${this.#createdS}\n`;
  }

  #exemplar(exemplar: Exemplar | null): string {
    if (exemplar === null || this.#createdS === null) return '';
    const { call, value, at } = exemplar;
    return ` # {call_id="${escapeLabel(call.slice(0, EXEMPLAR_VALUE_MAX))}"} ${value} ${at / 1_000}`;
  }
}

export class TextExposition implements Exposition {
  readonly contentType: string;
  readonly #families: TextFamily[] = [];
  readonly #createdS: number | null;

  /** @param createdMs since when everything is counted, Unix time; null: the older format, which cannot say it. */
  constructor(createdMs: number | null) {
    this.#createdS = createdMs === null ? null : createdMs / 1_000;
    this.contentType = createdMs === null ? PLAIN_TYPE : OPENMETRICS_TYPE;
  }

  family(family: MetricFamily): FamilyWriter {
    const writer = new TextFamily(family, this.#createdS);
    this.#families.push(writer);
    return writer;
  }

  *finish(): Iterable<string> {
    for (const family of this.#families) {
      // The older format has no notion of a family without samples.
      if (this.#createdS === null && family.parts.length === 0) continue;
      yield family.head;
      yield* family.parts;
    }
    if (this.#createdS !== null) yield '# EOF\n';
  }
}
