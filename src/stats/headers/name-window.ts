/** What the window that is running counts of one header name (or of the order of the names) in one group and direction. */
import type { ByteBudget } from '../sketch/budget.ts';
import { HyperLogLog, PRECISION } from '../sketch/hyperloglog.ts';
import { SpaceSaving } from '../sketch/space-saving.ts';
import { LengthCounts } from './lengths.ts';
import { NameState } from './state.ts';

/** Counters of one name while the window runs; more than a state keeps, so that the least of those kept are right. */
const VALUES_LIVE = 128;
/** So many values of a name get their text at first sight, the others when they come again. */
const TEXTS_AT_ONCE = 8;
/** Times that the text of a value is asked for, should there have been no room for it. */
const TEXT_TRIES = 3;
/** Longest text that is kept of a value. */
export const TEXT_MAX = 160;
/** The same for the names of a block in their order. */
export const ORDER_TEXT_MAX = 1_000;
/** What a kept text costs beside its characters, and what an empty window of a name costs. */
const LABEL_BYTES = 120;
export const NAME_BYTES = 1_000;

/** What is known of a value beside its count. */
export interface ValueLabel {
  /** Redacted; see `clipped`. */
  readonly text: string;
  readonly example: string;
  /** Messages of the group until the value was first noticed. */
  readonly firstAt: number;
}

/** What a window asks about the line in hand, when it wants to know. */
export interface LineSource {
  text(): string;
  example(): string;
}

/**
 * `text`, or its beginning and what tells it from others that begin so. The tag is a hash of the redacted text, never of what was sent.
 * A copy of its own: a piece of a string keeps the whole alive, which may be long, or not redacted.
 */
export function clipped(text: string, max: number, tag: (text: string) => string): string {
  const short = text.length <= max ? text : `${text.slice(0, max - 40)}...(${text.length} characters, ${tag(text)})`;
  return Buffer.from(short, 'latin1').latin1Slice();
}

export class NameWindow {
  readonly name: string;
  messages = 0;
  lines = 0;
  repeated = 0;
  linesMax = 0;
  readonly lengths = new LengthCounts();
  readonly values: SpaceSaving<ValueLabel>;
  readonly #distinct: HyperLogLog;
  readonly #budget: ByteBudget;
  /** Nanoseconds since the anchor. */
  firstAt = -1;
  lastAt = -1;
  example = '';
  /** Message that was counted last, and how many lines of this name it had so far: for blocks counted line by line. */
  stamp = 0;
  run = 0;
  /** Where `value` put its counter, valid until the next value. */
  place = 0;

  constructor(name: string, budget: ByteBudget) {
    this.name = name;
    this.#budget = budget;
    this.values = new SpaceSaving(VALUES_LIVE, budget);
    this.#distinct = new HyperLogLog(PRECISION, budget);
  }

  seen(at: number): void {
    if (this.firstAt < 0 || at < this.firstAt) this.firstAt = at;
    if (at > this.lastAt) this.lastAt = at;
  }

  /**
   * A value that is in hand, once; asks `source` only when the value is to be remembered by its text. `ordinal`: of its message. True: nothing
   * more will be asked about this value, so the caller may count it itself for a while, and hand it in with `repeatedValue`.
   */
  value(low: number, high: number, length: number, ordinal: number, source: LineSource): boolean {
    this.lines++;
    this.lengths.add(length, 1);
    const { values } = this;
    const place = values.add(low, high, 1);
    this.place = place;
    if (values.inserted) {
      this.#distinct.add(low, high);
      if (values.size > TEXTS_AT_ONCE || values.offset > 0) return false;
    } else {
      if (values.label(place) !== undefined) return true;
      // Counts grow by one here: the text is asked for just as a value rises above the noise, if it has none by then.
      const above = values.count(place) - values.offset / 2;
      if (above < 2) return false;
      if (above >= 2 + TEXT_TRIES) return true;
    }
    const text = source.text();
    if (!this.#budget.take(text.length + LABEL_BYTES)) return false;
    values.setLabel(place, { text, example: source.example(), firstAt: ordinal });
    return true;
  }

  /** A value that came `weight` times, and its label if it has one. */
  repeatedValue(low: number, high: number, length: number, weight: number, label: ValueLabel | undefined): void {
    this.lines += weight;
    this.lengths.add(length, weight);
    const { values } = this;
    const place = values.add(low, high, weight);
    if (values.inserted) this.#distinct.add(low, high);
    if (label !== undefined && values.label(place) === undefined) values.setLabel(place, label);
  }

  /**
   * `half`: ordinal of the message in the middle of the window; `ms`: Unix time of a time since the anchor. `last`: nothing is counted any
   * more, so nothing large is copied.
   */
  state(half: number, ms: (at: number) => number, last: boolean): NameState {
    const state = new NameState(this.name);
    state.messages = this.messages;
    state.lines = this.lines;
    state.repeated = this.repeated;
    state.linesMax = this.linesMax;
    if (last) {
      state.lengths = this.lengths;
      state.distinct = this.#distinct.released();
    } else {
      state.lengths.merge(this.lengths);
      state.distinct = this.#distinct.folded(PRECISION);
    }
    state.firstAt = ms(this.firstAt);
    state.lastAt = ms(this.lastAt);
    state.example = this.example;
    const { values } = this;
    let lost = 0;
    values.each((_low, _high, count, label) => {
      if (label === undefined) {
        if (count > lost) lost = count;
        return;
      }
      const late = label.firstAt > half ? count : 0;
      const known = state.values.get(label.text);
      if (known === undefined) state.values.set(label.text, { count, late, example: label.example });
      else {
        known.count += count;
        known.late += late;
      }
    });
    state.error = values.offset + lost;
    state.trim();
    return state;
  }
}
