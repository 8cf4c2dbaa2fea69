/**
 * A HeaderState as it lies in bytes (codec.ts), read group by group and name by name without making one: a report over a day adds up some fifty of
 * them, and most of what is in each is gone again with the next.
 */
import { ByteReader } from '../bytes.ts';
import { isSketch } from '../sketch/hyperloglog.ts';
import { BUCKETS, LengthCounts } from './lengths.ts';
import { ORDER_TEXT_MAX } from './name-window.ts';
import { type Direction, GROUPS_MAX, type HeaderGroupKey, NAMES_MAX, type NameCounts, OTHER_NAME } from './state.ts';
import { VALUES_KEPT, ValueList } from './values.ts';

export const MAGIC = 0x48;
export const VERSION = 1;
/** Longest text: an order of names, each character two bytes of UTF-8. */
const TEXT_BYTES_MAX = 2 * ORDER_TEXT_MAX + 100;
/** Texts in one state; more than any that is within its bounds has in practice. */
const TEXTS_MAX = 1 << 22;

/** One name of a group; the same object again and again. */
export class EncodedName implements NameCounts {
  name = '';
  messages = 0;
  lines = 0;
  repeated = 0;
  linesMax = 0;
  error = 0;
  firstAt = 0;
  lastAt = 0;
  example = '';
  readonly lengths = new LengthCounts();
  /** As HyperLogLog.encode writes it. */
  sketch: Uint8Array = new Uint8Array();
  readonly values = new ValueList();
}

/** One direction of a group; the same object again and again. */
export class EncodedGroup {
  key: HeaderGroupKey = { service: '', side: '', method: '', route: '' };
  direction: Direction = 'request';
  messages = 0;
  independent = 0;
  readonly blockLines = new LengthCounts();
  readonly blockBytes = new LengthCounts();
}

/** Is told what the bytes hold, in their order. */
export interface HeaderVisitor {
  stretch(from: number, to: number, groupsRefused: number): void;
  group(group: EncodedGroup): void;
  /** Of the group before. */
  name(name: EncodedName): void;
}

/** Encoded statistics whose every part is within its bounds: checked before anybody is told of them. */
export class EncodedHeaders {
  readonly #from: ByteReader;
  readonly #body: number;
  readonly #texts: readonly string[];
  /** The last list of values that each text was seen in. */
  readonly #seenIn: Int32Array;
  #lists = 0;
  /** Unix ms. */
  #begin = 0;
  readonly #group = new EncodedGroup();
  readonly #name = new EncodedName();

  private constructor(from: ByteReader, texts: readonly string[]) {
    this.#from = from;
    this.#body = from.at;
    this.#texts = texts;
    this.#seenIn = new Int32Array(texts.length);
  }

  /** Takes any bytes; a text is why they are none of ours. Never more memory than a state may take. */
  static of(bytes: Uint8Array): EncodedHeaders | string {
    const from = new ByteReader(bytes);
    if (from.byte() !== MAGIC) return 'Cannot read header statistics: these bytes are none.';
    const version = from.byte();
    if (version !== VERSION)
      return `Cannot read header statistics of version ${version}: this program knows ${VERSION}. Use the program that wrote them.`;
    const count = from.varint();
    // Each text takes a byte at least: a count beyond what is left is made up.
    if (count > from.left || count > TEXTS_MAX) return DAMAGED;
    const encoded = new EncodedHeaders(from, from.texts(count, TEXT_BYTES_MAX));
    encoded.#walk(null);
    return from.ok && from.left === 0 ? encoded : DAMAGED;
  }

  visit(visitor: HeaderVisitor): void {
    this.#from.seek(this.#body);
    this.#walk(visitor);
  }

  #walk(visitor: HeaderVisitor | null): void {
    const from = this.#from;
    this.#begin = from.varint();
    const end = this.#begin + from.varint();
    const refused = from.varint();
    const groups = from.varint();
    if (groups > GROUPS_MAX + 2 || !isTime(end)) from.fail();
    visitor?.stretch(this.#begin, end, refused);
    const group = this.#group;
    const known = visitor === null ? new Set<string>() : null;
    for (let g = 0; g < groups && from.ok; g++) {
      const place = [from.varint(), from.varint(), from.varint(), from.varint(), from.byte()] as const;
      const [service, side, method, route] = place;
      group.key = {
        service: this.#text(service),
        side: this.#text(side),
        method: this.#text(method),
        route: this.#text(route),
      };
      group.direction = place[4] === 0 ? 'request' : 'response';
      group.messages = from.varint();
      group.independent = from.varint();
      if (group.messages === 0 || group.independent > group.messages) from.fail();
      readLengths(from, group.blockLines);
      readLengths(from, group.blockBytes);
      if (known !== null) {
        const id = place.join(' ');
        if (known.has(id)) from.fail();
        known.add(id);
      }
      visitor?.group(group);
      this.#names(group, visitor);
    }
  }

  #names(group: EncodedGroup, visitor: HeaderVisitor | null): void {
    const from = this.#from;
    const names = from.varint();
    if (names > NAMES_MAX + 2) from.fail();
    const known = visitor === null ? new Set<number>() : null;
    for (let i = 0; i < names && from.ok; i++) {
      const name = from.varint();
      if (known !== null) {
        if (known.has(name)) from.fail();
        known.add(name);
      }
      this.#read(name);
      if (this.#name.messages > group.messages && this.#name.name !== OTHER_NAME) from.fail();
      visitor?.name(this.#name);
    }
  }

  #read(text: number): void {
    const from = this.#from;
    const name = this.#name;
    name.name = this.#text(text);
    name.messages = from.varint();
    name.lines = from.varint();
    name.repeated = from.varint();
    name.linesMax = from.varint();
    name.firstAt = this.#begin + from.zigzag();
    name.lastAt = name.firstAt + from.varint();
    name.example = this.#text(from.varint());
    name.error = from.varint();
    if (!isTime(name.firstAt) || !isTime(name.lastAt)) from.fail();
    readLengths(from, name.lengths);
    const sketch = from.take(from.varint());
    if (sketch === null || !isSketch(sketch)) from.fail();
    else name.sketch = sketch;
    this.#values(name);
  }

  #values({ values, lines }: EncodedName): void {
    const from = this.#from;
    const size = from.varint();
    if (size > VALUES_KEPT) from.fail();
    const list = ++this.#lists;
    let counted = 0;
    values.clear();
    for (let i = 0; i < size && from.ok; i++) {
      const text = from.varint();
      const count = from.varint();
      const late = from.varint();
      counted += count;
      // A value that comes twice is none of ours.
      if (late > count || count === 0 || this.#seenIn[text] === list) from.fail();
      values.put(this.#text(text), count, late, '');
      this.#seenIn[text] = list;
    }
    // Rounding of merged counts may add a half each.
    if (counted > lines + VALUES_KEPT) from.fail();
  }

  #text(id: number): string {
    const text = this.#texts[id];
    if (text === undefined) this.#from.fail();
    return text ?? '';
  }
}

/** Farthest from 1970 that a Date can be, ms (ECMA-262, 21.4.1.1). */
const TIME_MS_MAX = 8.64e15;
const isTime = (ms: number): boolean => Math.abs(ms) <= TIME_MS_MAX;

const DAMAGED = 'Cannot read header statistics: they are cut or damaged.';

function readLengths(from: ByteReader, into: LengthCounts): void {
  const total = from.varint();
  if (total === 0) {
    into.begin(0, 0, 0, false);
    return;
  }
  const min = from.varint();
  const max = from.varint();
  const size = from.varint();
  into.begin(total, min, max, size > 0);
  if (min > max || size > BUCKETS || (size === 0 && min !== max)) from.fail();
  let sum = 0;
  for (let i = 0; i < size && from.ok; i++) {
    const bucket = from.varint();
    const count = from.varint();
    if (bucket >= BUCKETS) from.fail();
    else into.buckets![bucket]! += count;
    sum += count;
  }
  if (size > 0 && sum !== total) from.fail();
}
