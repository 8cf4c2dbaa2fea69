/**
 * A HeaderState as bytes, for the store. Texts are written once and named by number. Distinct counts up to DISTINCT_EXACT stay exact; larger
 * ones are written in registers, in which an id of a minute takes two or three bytes instead of five. Examples of single values are left out.
 */
import { ByteWriter } from '../bytes.ts';
import { PRECISION } from '../sketch/hyperloglog.ts';
import { EncodedHeaders, MAGIC, VERSION } from './encoded.ts';
import type { LengthCounts } from './lengths.ts';
import { type GroupState, HeaderState, type NameState, ORDER_NAME, OTHER_NAME } from './state.ts';

const DISTINCT_EXACT = 128;

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
  const state = new HeaderState();
  const problem = mergeHeaders(state, bytes);
  return problem === null ? { ok: true, state } : { ok: false, problem };
}

/**
 * Adds encoded statistics to `into`; null, or why the bytes cannot be read: then `into` is as it was. `use`: values alone are what another
 * stretch of time is compared with.
 */
export function mergeHeaders(into: HeaderState, bytes: Uint8Array, use: 'all' | 'values' = 'all'): string | null {
  const encoded = EncodedHeaders.of(bytes);
  if (typeof encoded === 'string') return encoded;
  let group: GroupState | null = null;
  encoded.visit({
    stretch: (from, to, groupsRefused) => into.stretch(from, to, groupsRefused),
    group: ({ key, direction, messages, independent, blockLines, blockBytes }) => {
      group = into.group(key, direction);
      group.messages += messages;
      group.independent += independent;
      if (use === 'values') return;
      group.blockLines.merge(blockLines);
      group.blockBytes.merge(blockBytes);
    },
    name: (from) => {
      const { name } = from;
      const state = name === ORDER_NAME ? group!.order : name === OTHER_NAME ? group!.overflow() : group!.name(name);
      if (use === 'all') {
        state.lengths.merge(from.lengths);
        state.distinct.absorb(from.sketch);
      }
      state.mergeCounts(from, from.values);
    },
  });
  return null;
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
  const sketch = (exact ? name.distinct : name.distinct.folded(PRECISION).dense()).encode();
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
