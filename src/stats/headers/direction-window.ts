/** What the window that is running counts of one direction of one group. */
import type { KeyedHash } from '../../base/keyed-hash.ts';
import { type FieldBlock, OTHER_NAME_ID } from '../../model/fields.ts';
import type { Redacted } from '../../redact/redacted.ts';
import type { ByteBudget } from '../sketch/budget.ts';
import { LengthCounts } from './lengths.ts';
import {
  clipped,
  type LineSource,
  NAME_BYTES,
  NameWindow,
  ORDER_TEXT_MAX,
  TEXT_MAX,
  type ValueLabel,
} from './name-window.ts';
import {
  type Direction,
  GroupState,
  type HeaderGroupKey,
  NAMES_MAX,
  NameState,
  ORDER_NAME,
  OTHER_NAME,
} from './state.ts';

/** Bytes of a field line beside its name and value: colon, space, CRLF. */
const LINE_EXTRA = 4;

/** What a shape takes, about, and each of its lines on top. */
const SHAPE_BYTES = 500;
const SHAPE_LINE_BYTES = 150;

/** A sequence of lines as blocks repeat it, counted whole and spread over its names when the window ends. */
export interface Shape {
  readonly hash: number;
  readonly owner: DirectionWindow;
  readonly serials: readonly number[];
  /** Blocks counted and not yet spread. */
  count: number;
  /** Ordinal of the first of them, and when the first and the last came. */
  firstOrdinal: number;
  firstAt: number;
  lastAt: number;
  example: string;
  /** Lines whose values differ, and their names. */
  readonly varying: readonly number[];
  readonly varyingNames: readonly NameWindow[];
  /** Lines that are shared: name, hash, length, text. */
  readonly shared: readonly SharedLine[];
  /** Each name once, with how many lines of it the block has. */
  readonly names: readonly (readonly [NameWindow, number])[];
  /** Bytes of everything that does not vary. */
  readonly bytes: number;
  readonly orderLow: number;
  readonly orderHigh: number;
  readonly order: string;
}

interface SharedLine {
  readonly name: NameWindow;
  readonly low: number;
  readonly high: number;
  readonly length: number;
  readonly text: string;
}

export class DirectionWindow {
  readonly key: HeaderGroupKey;
  readonly direction: Direction;
  /** Where the hash of a sequence of lines begins: the same lines in another group are another shape. */
  readonly seed: number;
  messages = 0;
  readonly #hash: KeyedHash;
  readonly #budget: ByteBudget;
  readonly #byId = new Map<number, NameWindow>();
  /** Names by their redacted text: those without an id, too. */
  readonly #byText = new Map<string, NameWindow>();
  #other: NameWindow | null = null;
  readonly #order: NameWindow;
  readonly #lines = new LengthCounts();
  readonly #bytes = new LengthCounts();
  /** Runs of blocks of one shape, the shape of the last one, and the sum of the squares of how often each shape came. */
  #runs = 0;
  #last: Shape | null = null;
  #squares = 0;
  /** The line in hand, for NameWindow.value. */
  #fields!: Redacted<FieldBlock>;
  #i = 0;
  #exampleId!: () => string;
  readonly #line: LineSource;
  readonly #orderSource: LineSource;

  constructor(key: HeaderGroupKey, direction: Direction, seed: number, hash: KeyedHash, budget: ByteBudget) {
    this.key = key;
    this.direction = direction;
    this.seed = seed;
    this.#hash = hash;
    this.#budget = budget;
    this.#order = new NameWindow(ORDER_NAME, budget);
    this.#line = {
      text: () => this.#text(this.#fields.value(this.#i)),
      example: () => this.#exampleId(),
    };
    this.#orderSource = {
      text: () => this.#text(orderOf(this.#fields), ORDER_TEXT_MAX),
      example: () => this.#exampleId(),
    };
  }

  /** Names counted on their own. */
  get names(): number {
    return this.#byText.size;
  }

  /** One more block of a known shape. */
  repeat(shape: Shape, fields: Redacted<FieldBlock>, exampleId: () => string, now: number): void {
    const ordinal = ++this.messages;
    if (shape.count++ === 0) {
      shape.firstOrdinal = ordinal;
      shape.firstAt = now;
      shape.example = exampleId();
    }
    shape.lastAt = now;
    if (shape !== this.#last) {
      this.#last = shape;
      this.#runs++;
    }
    const { varying, varyingNames } = shape;
    let { bytes } = shape;
    const hash = this.#hash;
    this.#fields = fields;
    this.#exampleId = exampleId;
    for (let v = 0; v < varying.length; v++) {
      const i = varying[v]!;
      fields.hash(i, hash);
      const length = fields.length(i);
      bytes += length;
      this.#i = i;
      varyingNames[v]!.value(hash.low, hash.high, length, ordinal, this.#line);
    }
    this.#bytes.add(bytes, 1);
  }

  /** A block that has no shape, line by line. */
  single(fields: Redacted<FieldBlock>, exampleId: () => string, now: number): void {
    const ordinal = ++this.messages;
    this.#runs++;
    this.#last = null;
    const hash = this.#hash;
    this.#fields = fields;
    this.#exampleId = exampleId;
    let bytes = 0;
    let low = 0;
    let high = 0x9e3779b1 | 0;
    for (let i = 0; i < fields.count; i++) {
      const window = this.#name(fields, i);
      const length = fields.size(i);
      if (window.stamp === ordinal) {
        if (++window.run === 2) window.repeated++;
      } else {
        window.stamp = ordinal;
        window.run = 1;
        window.messages++;
        window.seen(now);
        if (window.example === '') window.example = exampleId();
      }
      if (window.run > window.linesMax) window.linesMax = window.run;
      bytes += window.name.length + length + LINE_EXTRA;
      let id = fields.nameId(i);
      if (id === OTHER_NAME_ID) {
        hash.text(window.name);
        id = hash.low;
      }
      low = Math.imul(low ^ id, 0x85ebca6b) ^ (low >>> 13);
      high = Math.imul(high ^ id, 0xc2b2ae35) ^ (high >>> 16);
      if (window === this.#other) {
        window.lines++;
        continue;
      }
      fields.hash(i, hash);
      this.#i = i;
      window.value(hash.low, hash.high, length, ordinal, this.#line);
    }
    this.#lines.add(fields.count, 1);
    this.#bytes.add(bytes, 1);
    this.#order.messages++;
    this.#order.seen(now);
    this.#order.value(low ^ (low >>> 15), high ^ (high >>> 15), fields.count, ordinal, this.#orderSource);
  }

  /** The shape of this block, not counted yet; null when there is no room for it. */
  shape(fields: Redacted<FieldBlock>, sequence: number): Shape | null {
    if (!this.#budget.take(SHAPE_BYTES + fields.count * SHAPE_LINE_BYTES)) return null;
    const hash = this.#hash;
    const serials: number[] = [];
    const varying: number[] = [];
    const varyingNames: NameWindow[] = [];
    const shared: SharedLine[] = [];
    const names = new Map<NameWindow, number>();
    let bytes = 0;
    let low = 0;
    let high = 0x9e3779b1 | 0;
    for (let i = 0; i < fields.count; i++) {
      const name = this.#name(fields, i);
      serials.push(fields.serial(i));
      names.set(name, (names.get(name) ?? 0) + 1);
      let id = fields.nameId(i);
      if (id === OTHER_NAME_ID) {
        hash.text(name.name);
        id = hash.low;
      }
      low = Math.imul(low ^ id, 0x85ebca6b) ^ (low >>> 13);
      high = Math.imul(high ^ id, 0xc2b2ae35) ^ (high >>> 16);
      bytes += name.name.length + LINE_EXTRA;
      if (fields.shared(i)) bytes += fields.size(i);
      if (name === this.#other) continue;
      if (fields.shared(i)) {
        const text = this.#text(fields.value(i));
        fields.hash(i, hash);
        shared.push({ name, low: hash.low, high: hash.high, length: fields.size(i), text });
      } else {
        varying.push(i);
        varyingNames.push(name);
      }
    }
    return {
      hash: sequence,
      owner: this,
      serials,
      count: 0,
      firstOrdinal: 0,
      firstAt: 0,
      lastAt: 0,
      example: '',
      varying,
      varyingNames,
      shared,
      names: [...names],
      bytes,
      orderLow: low ^ (low >>> 15),
      orderHigh: high ^ (high >>> 15),
      order: this.#text(orderOf(fields), ORDER_TEXT_MAX),
    };
  }

  /** Gives a shape's blocks to the names. */
  spread(shape: Shape): void {
    const { count, firstOrdinal, example } = shape;
    if (count === 0) return;
    shape.count = 0;
    this.#squares += count * count;
    for (const [name, lines] of shape.names) {
      name.messages += count;
      if (lines > 1) name.repeated += count;
      if (lines > name.linesMax) name.linesMax = lines;
      if (name === this.#other) name.lines += lines * count;
      name.seen(shape.firstAt);
      name.seen(shape.lastAt);
      if (name.example === '') name.example = example;
    }
    for (const { name, low, high, length, text } of shape.shared) {
      name.repeatedValue(low, high, length, count, { text, example, firstAt: firstOrdinal });
    }
    this.#lines.add(shape.serials.length, count);
    const label: ValueLabel = { text: shape.order, example, firstAt: firstOrdinal };
    this.#order.messages += count;
    this.#order.seen(shape.firstAt);
    this.#order.seen(shape.lastAt);
    this.#order.repeatedValue(shape.orderLow, shape.orderHigh, shape.serials.length, count, label);
  }

  /**
   * What was counted; every shape must be spread. Blocks that came independently of one another would change shape about n (1 - sum p^2) times;
   * as many times fewer as they did, they weigh less.
   */
  state(ms: (at: number) => number): GroupState {
    const state = new GroupState(this.key, this.direction);
    const half = this.messages / 2;
    state.messages = this.messages;
    const expected = 1 + this.messages * (1 - this.#squares / this.messages ** 2);
    state.independent = Math.max(1, Math.round(this.messages * Math.min(1, this.#runs / expected)));
    state.blockLines.merge(this.#lines);
    state.blockBytes.merge(this.#bytes);
    state.order = this.messages > 0 ? this.#order.state(half, ms) : new NameState(ORDER_NAME);
    for (const [name, window] of this.#byText) if (window.messages > 0) state.names.set(name, window.state(half, ms));
    if (this.#other !== null && this.#other.messages > 0) state.other = this.#other.state(half, ms);
    return state;
  }

  #name(fields: Redacted<FieldBlock>, i: number): NameWindow {
    const id = fields.nameId(i);
    if (id !== OTHER_NAME_ID) {
      const known = this.#byId.get(id);
      if (known !== undefined) return known;
    }
    const text = this.#text(fields.lower(i));
    let window = this.#byText.get(text);
    if (window === undefined) {
      if (this.#byText.size >= NAMES_MAX || !this.#budget.take(NAME_BYTES + text.length)) {
        this.#other ??= new NameWindow(OTHER_NAME, this.#budget);
        return this.#other;
      }
      window = new NameWindow(text, this.#budget);
      this.#byText.set(text, window);
    }
    if (id !== OTHER_NAME_ID) this.#byId.set(id, window);
    return window;
  }

  #text(text: string, max = TEXT_MAX): string {
    return clipped(text, max, (whole) => {
      this.#hash.text(whole);
      return (this.#hash.low >>> 0).toString(16).padStart(8, '0');
    });
  }
}

/** The names of a block in their order. */
function orderOf(fields: Redacted<FieldBlock>): string {
  const names: string[] = [];
  for (let i = 0; i < fields.count; i++) names.push(fields.lower(i));
  return names.join(', ');
}
