/** OpenMetrics 1.0 text (prometheus.io/docs/specs/om/open_metrics_spec): histograms in classic buckets, with exemplars. */
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
  readonly #createdS: number;

  constructor(family: MetricFamily, createdS: number) {
    this.#family = family;
    this.#name = family.name + SUFFIX[family.type];
    this.#le = (family.bounds ?? []).map((bound) => `le="${boundText(bound)}"} `);
    this.#createdS = createdS;
  }

  get head(): string {
    const { name, type, unit, help } = this.#family;
    return `# TYPE ${name} ${type}\n${unit === '' ? '' : `# UNIT ${name} ${unit}\n`}# HELP ${name} ${help}\n`;
  }

  sample(labels: Labels, value: number): void {
    const text = labels.text(renderLabels);
    const set = text === '' ? '' : `{${text}}`;
    this.parts.push(`${this.#name}${set} ${value}\n`);
    if (this.#family.type === 'counter') this.parts.push(`${this.#family.name}_created${set} ${this.#createdS}\n`);
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
      text += `${open}${this.#le[i]}${below[i]}${i === shown ? exemplarText(exemplar!) : ''}\n`;
    }
    text += `${open}le="+Inf"} ${value.count}${exemplar !== null && shown < 0 ? exemplarText(exemplar) : ''}\n`;
    const set = own === '' ? '' : `{${own}}`;
    text += `${name}_count${set} ${value.count}\n${name}_sum${set} ${value.sum / value.unit}\n${name}_created${set} ${this.#createdS}\n`;
    this.parts.push(text);
  }
}

const exemplarText = ({ call, value, at }: Exemplar): string =>
  ` # {call_id="${escapeLabel(call.slice(0, EXEMPLAR_VALUE_MAX))}"} ${value} ${at / 1_000}`;

export class TextExposition implements Exposition {
  readonly contentType = OPENMETRICS_TYPE;
  readonly #families: TextFamily[] = [];
  readonly #createdS: number;

  /** @param createdMs since when everything is counted, Unix time. */
  constructor(createdMs: number) {
    this.#createdS = createdMs / 1_000;
  }

  family(family: MetricFamily): FamilyWriter {
    const writer = new TextFamily(family, this.#createdS);
    this.#families.push(writer);
    return writer;
  }

  *finish(): Iterable<string> {
    for (const family of this.#families) {
      yield family.head;
      yield* family.parts;
    }
    yield '# EOF\n';
  }
}
