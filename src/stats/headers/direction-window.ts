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

/**
 * Values of one line of a shape that are counted in place: as many as this are told apart by their serial's last bits, and one that finds its
 * place taken by another makes room by having that one's count added to its name.
 */
const WAYS = 8;
/** In each place: serial of the line, 0 for none; how often it came and was not handed in; length of the value; its hash. */
const SERIAL = 0;
const COUNT = 1;
const LENGTH = 2;
const LOW = 3;
const HIGH = 4;
const PLACE = 5;

/** What a shape takes, about, and each of its lines on top. */
const SHAPE_BYTES = 500;
const SHAPE_LINE_BYTES = 50 + WAYS * (PLACE * 4 + 8);

/** Sequences of lines told apart to see whether they come in runs. */
const SEQUENCES = 256;

/** A sequence of names as blocks repeat it: counted whole, and spread over its names when the window ends. */
export interface Shape {
  readonly hash: number;
  readonly owner: DirectionWindow;
  /** HeaderName.id of each line; never OTHER_NAME_ID. */
  readonly ids: readonly number[];
  /** Name of each line. */
  readonly lines: readonly NameWindow[];
  /** WAYS places for each line. */
  readonly places: Int32Array;
  readonly labels: (ValueLabel | undefined)[];
  /** Blocks counted and not yet spread. */
  count: number;
  /** Ordinal of the first of them, and when the first and the last came. */
  firstOrdinal: number;
  firstAt: number;
  lastAt: number;
  example: string;
  /** Each name once, with how many lines of it the block has. */
  readonly names: readonly (readonly [NameWindow, number])[];
  /** Bytes of everything but the values. */
  readonly bytes: number;
  readonly orderLow: number;
  readonly orderHigh: number;
  readonly order: string;
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
  /** The shape that came last: most likely the next one's. */
  recent: Shape | null = null;
  /** Runs of blocks with the same lines, the lines of the last one, and how often those of each came, by their hash; null: all the same. */
  #runs = 0;
  #last = 0;
  #sequences: Uint32Array | null = null;
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
    this.#fields = fields;
    this.#exampleId = exampleId;
    const { lines, places } = shape;
    let { bytes } = shape;
    let sequence = 0;
    for (let i = 0; i < lines.length; i++) {
      const serial = fields.serial(i) | 0;
      sequence = Math.imul(sequence ^ serial, 0x9e3779b1) ^ (sequence >>> 15);
      if (fields.shared(i)) {
        const at = (i * WAYS + (serial & (WAYS - 1))) * PLACE;
        if (places[at] === serial) {
          places[at + COUNT]!++;
          bytes += places[at + LENGTH]!;
        } else bytes += this.#unplaced(shape, i, at, serial);
      } else bytes += this.#value(lines[i]!, i);
    }
    this.#follow(sequence);
    this.#bytes.add(bytes, 1);
  }

  /** Counts line i's value by itself; returns its length. */
  #value(name: NameWindow, i: number): number {
    const fields = this.#fields;
    const length = fields.length(i);
    if (name === this.#other) return length;
    const hash = this.#hash;
    fields.hash(i, hash);
    this.#i = i;
    name.value(hash.low, hash.high, length, this.messages, this.#line);
    return length;
  }

  /** Counts a shared value that has no place; from the time on when nothing more is to be known of it, it has. Returns its length. */
  #unplaced(shape: Shape, i: number, at: number, serial: number): number {
    const fields = this.#fields;
    const { places } = shape;
    const name = shape.lines[i]!;
    const length = fields.size(i);
    const hash = this.#hash;
    let settled = true;
    if (name !== this.#other) {
      fields.hash(i, hash);
      this.#i = i;
      settled = name.value(hash.low, hash.high, length, this.messages, this.#line);
    }
    if (!settled) return length;
    const { low, high } = hash;
    this.#handIn(shape, at);
    places[at + SERIAL] = serial;
    places[at + LENGTH] = length;
    places[at + LOW] = low;
    places[at + HIGH] = high;
    shape.labels[at / PLACE] = name === this.#other ? undefined : name.values.label(name.place);
    return length;
  }

  /** Adds what a place has counted to its name. */
  #handIn(shape: Shape, at: number): void {
    const { places } = shape;
    const count = places[at + COUNT]!;
    if (count === 0) return;
    places[at + COUNT] = 0;
    const place = at / PLACE;
    const name = shape.lines[Math.floor(place / WAYS)]!;
    if (name === this.#other) return;
    name.repeatedValue(places[at + LOW]!, places[at + HIGH]!, places[at + LENGTH]!, count, shape.labels[place]);
  }

  /** `sequence`: hash of the lines of the block in hand. */
  #follow(sequence: number): void {
    if (sequence !== this.#last || this.#runs === 0) {
      if (this.#runs === 1 && this.#sequences === null) {
        this.#sequences = new Uint32Array(SEQUENCES);
        this.#sequences[this.#last >>> 24] = this.messages - 1;
      }
      this.#last = sequence;
      this.#runs++;
    }
    if (this.#sequences !== null) this.#sequences[sequence >>> 24]!++;
  }

  /** A block that has no shape, line by line. */
  single(fields: Redacted<FieldBlock>, exampleId: () => string, now: number): void {
    const ordinal = ++this.messages;
    const hash = this.#hash;
    this.#fields = fields;
    this.#exampleId = exampleId;
    let bytes = 0;
    let sequence = 0;
    let low = 0;
    let high = 0x9e3779b1 | 0;
    for (let i = 0; i < fields.count; i++) {
      sequence = Math.imul(sequence ^ fields.serial(i), 0x9e3779b1) ^ (sequence >>> 15);
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
    this.#follow(sequence);
    this.#lines.add(fields.count, 1);
    this.#bytes.add(bytes, 1);
    this.#order.messages++;
    this.#order.seen(now);
    if (this.#order.example === '') this.#order.example = exampleId();
    this.#order.value(low ^ (low >>> 15), high ^ (high >>> 15), fields.count, ordinal, this.#orderSource);
  }

  /** The shape of this block, not counted yet; null when it can have none, or there is no room for it. */
  shape(fields: Redacted<FieldBlock>, sequence: number): Shape | null {
    const { count } = fields;
    for (let i = 0; i < count; i++) if (fields.nameId(i) === OTHER_NAME_ID) return null;
    if (!this.#budget.take(SHAPE_BYTES + count * SHAPE_LINE_BYTES)) return null;
    const ids: number[] = [];
    const lines: NameWindow[] = [];
    const names = new Map<NameWindow, number>();
    let bytes = 0;
    let low = 0;
    let high = 0x9e3779b1 | 0;
    for (let i = 0; i < count; i++) {
      const name = this.#name(fields, i);
      const id = fields.nameId(i);
      ids.push(id);
      lines.push(name);
      names.set(name, (names.get(name) ?? 0) + 1);
      low = Math.imul(low ^ id, 0x85ebca6b) ^ (low >>> 13);
      high = Math.imul(high ^ id, 0xc2b2ae35) ^ (high >>> 16);
      bytes += name.name.length + LINE_EXTRA;
    }
    return {
      hash: sequence,
      owner: this,
      ids,
      lines,
      places: new Int32Array(count * WAYS * PLACE),
      labels: new Array<ValueLabel | undefined>(count * WAYS).fill(undefined),
      count: 0,
      firstOrdinal: 0,
      firstAt: 0,
      lastAt: 0,
      example: '',
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
    for (const [name, lines] of shape.names) {
      name.messages += count;
      if (lines > 1) name.repeated += count;
      if (lines > name.linesMax) name.linesMax = lines;
      if (name === this.#other) name.lines += lines * count;
      name.seen(shape.firstAt);
      name.seen(shape.lastAt);
      if (name.example === '') name.example = example;
    }
    for (let at = 0; at < shape.places.length; at += PLACE) this.#handIn(shape, at);
    this.#lines.add(shape.lines.length, count);
    const label: ValueLabel = { text: shape.order, example, firstAt: firstOrdinal };
    this.#order.messages += count;
    if (this.#order.example === '') this.#order.example = example;
    this.#order.seen(shape.firstAt);
    this.#order.seen(shape.lastAt);
    this.#order.repeatedValue(shape.orderLow, shape.orderHigh, shape.lines.length, count, label);
  }

  /**
   * What was counted; every shape must be spread. Blocks that came independently of one another would change their lines about
   * n (1 - sum p^2) times; as many times fewer as they did, they weigh less. `last`: nothing is counted any more.
   */
  state(ms: (at: number) => number, last: boolean): GroupState {
    const state = new GroupState(this.key, this.direction);
    const half = this.messages / 2;
    state.messages = this.messages;
    const expected = 1 + this.messages * (1 - this.#chanceOfSame());
    state.independent = Math.max(1, Math.round(this.messages * Math.min(1, this.#runs / expected)));
    state.blockLines.merge(this.#lines);
    state.blockBytes.merge(this.#bytes);
    state.order = this.messages > 0 ? this.#order.state(half, ms, last) : new NameState(ORDER_NAME);
    for (const [name, window] of this.#byText)
      if (window.messages > 0) state.names.set(name, window.state(half, ms, last));
    if (this.#other !== null && this.#other.messages > 0) state.other = this.#other.state(half, ms, last);
    return state;
  }

  /** Chance that two of the blocks have the same lines: sum of p^2, without what different ones that share a counter add to it. */
  #chanceOfSame(): number {
    if (this.#sequences === null) return 1;
    let squares = 0;
    for (const count of this.#sequences) squares += count * count;
    const same = (squares / this.messages ** 2 - 1 / SEQUENCES) * (SEQUENCES / (SEQUENCES - 1));
    return Math.max(0, Math.min(1, same));
  }

  #name(fields: Redacted<FieldBlock>, i: number): NameWindow {
    const id = fields.nameId(i);
    if (id !== OTHER_NAME_ID) {
      const known = this.#byId.get(id);
      if (known !== undefined) return known;
    }
    const lower = fields.lower(i);
    const name = lower.length > TEXT_MAX ? this.#text(lower) : lower;
    let window = this.#byText.get(name);
    if (window === undefined) {
      if (this.#byText.size >= NAMES_MAX || !this.#budget.take(NAME_BYTES + name.length)) {
        this.#other ??= new NameWindow(OTHER_NAME, this.#budget);
        return this.#other;
      }
      // Copied only now: of a flood of names few are kept.
      const text = this.#text(name);
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
