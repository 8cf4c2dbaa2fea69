/**
 * What the last answer said of each histogram, as bytes. Values are only ever added to a histogram, so one that has the count and the sum
 * that it had then is the same, and its bytes are copied: of a hundred thousand time series most belong to routes that nobody called since.
 * The bytes are those of the answer itself, held until the next one is made.
 */
import type { Piece } from './chunks.ts';
import type { Exemplar, Labels, MetricFamily } from './family.ts';

/** Bytes that all formats remember together: about 100,000 time series of text. */
export const REMEMBERED_MAX = 20 << 20;

interface Told {
  readonly more: Labels;
  readonly count: number;
  readonly sum: number;
  readonly call: string | null;
  readonly piece: Piece;
}

/** Bytes remembered by all formats. */
interface Held {
  bytes: number;
  readonly bytesMax: number;
}

/** The last answer in each format. */
export class LastAnswers {
  readonly #held: Held;
  readonly #formats = new Map<string, Map<MetricFamily, LastAnswer>>();

  constructor(bytesMax = REMEMBERED_MAX) {
    this.#held = { bytes: 0, bytesMax };
  }

  get bytes(): number {
    return this.#held.bytes;
  }

  /** Of a format's family; another answer begins. */
  of(format: string, family: MetricFamily): LastAnswer {
    let families = this.#formats.get(format);
    if (families === undefined) {
      families = new Map();
      this.#formats.set(format, families);
    }
    let answer = families.get(family);
    if (answer === undefined) {
      answer = new LastAnswer(this.#held);
      families.set(family, answer);
    }
    answer.begin();
    return answer;
  }
}

/** Of one family in one format. */
export class LastAnswer {
  readonly #held: Held;
  #last = new Map<Labels, Told[]>();
  #now = new Map<Labels, Told[]>();
  #bytes = 0;

  constructor(held: Held) {
    this.#held = held;
  }

  /** What is not said again before end() is forgotten. */
  begin(): void {
    this.#last = this.#now;
    this.#now = new Map();
    this.#held.bytes -= this.#bytes;
    this.#bytes = 0;
  }

  end(): void {
    this.#last = new Map();
  }

  /** The bytes of the histogram with these labels in the last answer; null: it was not there, or has changed. */
  same(labels: Labels, more: Labels, count: number, sum: number, exemplar: Exemplar | null): Piece | null {
    const told = this.#last.get(labels)?.find((one) => one.more === more);
    if (told === undefined || told.count !== count || told.sum !== sum) return null;
    return told.call === (exemplar?.call ?? null) ? told.piece : null;
  }

  /** Of the answer that is being made. */
  keep(labels: Labels, more: Labels, count: number, sum: number, exemplar: Exemplar | null, piece: Piece): void {
    const length = piece.to - piece.from;
    if (this.#held.bytes + length > this.#held.bytesMax) return;
    this.#held.bytes += length;
    this.#bytes += length;
    const told = { more, count, sum, call: exemplar?.call ?? null, piece };
    const known = this.#now.get(labels);
    if (known === undefined) this.#now.set(labels, [told]);
    else known.push(told);
  }
}
