/**
 * A HeaderState as bytes, for the store. Texts are written once and named by number. Distinct counts up to DISTINCT_EXACT stay exact; larger
 * ones are written at a precision of DISTINCT_PRECISION (1.6 % standard error), because a sketch of every id in every minute at full precision
 * would be larger than the calls themselves. Examples of single values are left out.
 */
import { ByteReader, ByteWriter } from '../bytes.ts';
import { HyperLogLog } from '../sketch/hyperloglog.ts';
import { LengthCounts } from './lengths.ts';
import { ORDER_TEXT_MAX } from './name-window.ts';
import {
  type Direction,
  GROUPS_MAX,
  type GroupState,
  HeaderState,
  NAMES_MAX,
  NameState,
  ORDER_NAME,
  OTHER_NAME,
  VALUES_KEPT,
} from './state.ts';

const MAGIC = 0x48;
const VERSION = 1;
const DISTINCT_EXACT = 128;
const DISTINCT_PRECISION = 12;
/** Longest text: an order of names, each character two bytes of UTF-8. */
const TEXT_BYTES_MAX = 2 * ORDER_TEXT_MAX + 100;
/** Texts in one state; more than any that is within its bounds has in practice. */
const TEXTS_MAX = 1 << 22;
const BUCKETS_MAX = 1_024;

export type Decoded =
  | { readonly ok: true; readonly state: HeaderState }
  | { readonly ok: false; readonly problem: string };

/** All at once. */
export function encodeHeaders(state: HeaderState): Uint8Array {
  const encoding = encodingOf(state);
  for (;;) {
    const step = encoding.next();
    if (step.done === true) return step.value;
  }
}

/** encodeHeaders() in steps of one group; the state must not change meanwhile. */
export function* encodingOf(state: HeaderState): Generator<void, Uint8Array> {
  const texts = new Map<string, number>();
  const body = new ByteWriter();
  const text = (value: string): void => {
    let id = texts.get(value);
    if (id === undefined) {
      id = texts.size;
      texts.set(value, id);
    }
    body.varint(id);
  };
  body.varint(state.from);
  body.varint(Math.max(0, state.to - state.from));
  body.varint(state.groupsRefused);
  body.varint(state.groups.size);
  for (const group of state.groups.values()) {
    writeGroup(group, body, text, state.from);
    yield;
  }
  const out = new ByteWriter();
  out.byte(MAGIC);
  out.byte(VERSION);
  out.varint(texts.size);
  for (const value of texts.keys()) out.text(value);
  out.bytes(body.take());
  return out.take();
}

/** Reads what `encodeHeaders` wrote. Any other bytes give a problem, whatever they are, and never more memory than a state may take. */
export function decodeHeaders(bytes: Uint8Array): Decoded {
  const bad = (problem: string): Decoded => ({ ok: false, problem });
  const from = new ByteReader(bytes);
  if (from.byte() !== MAGIC) return bad('Cannot read header statistics: these bytes are none.');
  const version = from.byte();
  if (version !== VERSION)
    return bad(
      `Cannot read header statistics of version ${version}: this program knows ${VERSION}. Use the program that wrote them.`,
    );
  const count = from.varint();
  // Each text takes a byte at least: a count beyond what is left is made up.
  if (count > from.left || count > TEXTS_MAX) return bad('Cannot read header statistics: they are cut or damaged.');
  const texts = from.texts(count, TEXT_BYTES_MAX);
  const state = new HeaderState();
  readState(from, texts, state);
  return from.ok && from.left === 0
    ? { ok: true, state }
    : bad('Cannot read header statistics: they are cut or damaged.');
}

type Text = (value: string) => void;

function writeGroup(group: GroupState, out: ByteWriter, text: Text, epoch: number): void {
  text(group.key.service);
  text(group.key.side);
  text(group.key.method);
  text(group.key.route);
  out.byte(group.direction === 'request' ? 0 : 1);
  out.varint(group.messages);
  out.varint(group.independent);
  writeLengths(group.blockLines, out);
  writeLengths(group.blockBytes, out);
  const names = [group.order, ...group.names.values()];
  if (group.other !== null) names.push(group.other);
  out.varint(names.length);
  for (const name of names) writeName(name, out, text, epoch);
}

function writeName(name: NameState, out: ByteWriter, text: Text, epoch: number): void {
  text(name.name);
  for (const n of [name.messages, name.lines, name.repeated, name.linesMax]) out.varint(n);
  out.zigzag(name.firstAt - epoch);
  out.varint(Math.max(0, name.lastAt - name.firstAt));
  text(name.example);
  out.varint(Math.round(name.error));
  writeLengths(name.lengths, out);
  const exact = name.distinct.exact && name.distinct.count() <= DISTINCT_EXACT;
  const sketch = (exact ? name.distinct : name.distinct.folded(DISTINCT_PRECISION).dense()).encode();
  out.varint(sketch.length);
  out.bytes(sketch);
  out.varint(name.values.size);
  for (const [value, { count, late }] of name.values) {
    text(value);
    out.varint(Math.round(count));
    out.varint(Math.min(Math.round(late), Math.round(count)));
  }
}

function writeLengths(lengths: LengthCounts, out: ByteWriter): void {
  out.varint(lengths.total);
  if (lengths.total === 0) return;
  out.varint(lengths.min);
  out.varint(lengths.max);
  const entries = lengths.entries();
  out.varint(entries.length);
  for (const [bucket, n] of entries) {
    out.varint(bucket);
    out.varint(n);
  }
}

function readState(from: ByteReader, texts: readonly string[], state: HeaderState): void {
  state.from = from.varint();
  state.to = state.from + from.varint();
  state.groupsRefused = from.varint();
  const groups = from.varint();
  if (groups > GROUPS_MAX + 2 || !Number.isFinite(new Date(state.to).getTime())) from.fail();
  for (let g = 0; g < groups && from.ok; g++) {
    const service = textOf(from, texts);
    const side = textOf(from, texts);
    const method = textOf(from, texts);
    const route = textOf(from, texts);
    const direction: Direction = from.byte() === 0 ? 'request' : 'response';
    const group = state.group({ service, side, method, route }, direction);
    if (group.messages > 0) from.fail();
    group.messages = from.varint();
    group.independent = from.varint();
    if (group.messages === 0 || group.independent > group.messages) from.fail();
    group.blockLines = readLengths(from);
    group.blockBytes = readLengths(from);
    const names = from.varint();
    if (names > NAMES_MAX + 2) from.fail();
    for (let i = 0; i < names && from.ok; i++) {
      const name = readName(from, texts, state.from);
      if (name.messages > group.messages && name.name !== OTHER_NAME) from.fail();
      if (name.name === ORDER_NAME) group.order = name;
      else if (name.name === OTHER_NAME) group.other = name;
      else group.names.set(name.name, name);
    }
  }
}

function readName(from: ByteReader, texts: readonly string[], epoch: number): NameState {
  const name = new NameState(textOf(from, texts));
  name.messages = from.varint();
  name.lines = from.varint();
  name.repeated = from.varint();
  name.linesMax = from.varint();
  name.firstAt = epoch + from.zigzag();
  name.lastAt = name.firstAt + from.varint();
  name.example = textOf(from, texts);
  name.error = from.varint();
  if (!Number.isFinite(new Date(name.firstAt).getTime()) || !Number.isFinite(new Date(name.lastAt).getTime()))
    from.fail();
  name.lengths = readLengths(from);
  const sketch = from.take(from.varint());
  const distinct = sketch === null ? null : HyperLogLog.decode(sketch);
  if (distinct === null) from.fail();
  else name.distinct = distinct;
  const values = from.varint();
  if (values > VALUES_KEPT) from.fail();
  let counted = 0;
  for (let i = 0; i < values && from.ok; i++) {
    const value = textOf(from, texts);
    const count = from.varint();
    const late = from.varint();
    counted += count;
    if (late > count || count === 0) from.fail();
    name.values.set(value, { count, late, example: '' });
  }
  // A value that comes twice is none of ours. Rounding of merged counts may add a half each.
  if (name.values.size !== values || counted > name.lines + VALUES_KEPT) from.fail();
  return name;
}

function readLengths(from: ByteReader): LengthCounts {
  const total = from.varint();
  if (total === 0) return new LengthCounts();
  const min = from.varint();
  const max = from.varint();
  const size = from.varint();
  if (size > BUCKETS_MAX) from.fail();
  const entries: [number, number][] = [];
  for (let i = 0; i < size && from.ok; i++) entries.push([from.varint(), from.varint()]);
  const lengths = LengthCounts.of(total, min, max, entries);
  if (lengths === null) from.fail();
  return lengths ?? new LengthCounts();
}

function textOf(from: ByteReader, texts: readonly string[]): string {
  const text = texts[from.varint()];
  if (text === undefined) from.fail();
  return text ?? '';
}
