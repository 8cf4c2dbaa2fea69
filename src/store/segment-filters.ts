/** The filters beside a segment's Parquet: what its header lines and targets have, as values (value-filter.ts) and as pieces of them (piece-filter.ts). */
import type { ByteValues } from './parquet/byte-values.ts';
import { PieceTables } from './piece-filter.ts';
import type { Segment } from './segment.ts';
import type { ShapeLine } from './shapes.ts';
import { hashOf, ValueHashes } from './value-filter.ts';

const SLASH = 0x2f;

/** The whole files. */
export interface SegmentFilters {
  readonly values: Buffer;
  readonly pieces: Buffer;
}

export function segmentFilters(segment: Segment): SegmentFilters {
  const values = new ValueHashes();
  const pieces = new PieceTables();
  for (const { part, shapes, own } of segment.calls.headers) {
    for (const shape of shapes) {
      for (const [name, value, number] of JSON.parse(Buffer.from(shape).toString()) as ShapeLine[]) {
        values.add({ type: 'name', part, name: name.toLowerCase() });
        if (number !== undefined) continue;
        values.add({ type: 'text', text: value });
        pieces.add(Buffer.from(value));
      }
    }
    addAll(own, values, pieces);
  }
  const { targets } = segment.calls;
  addAll(targets, values, pieces);
  if (!allBegin(targets, SLASH)) values.add({ type: 'other_form' });
  return { values: values.file(), pieces: pieces.file() };
}

function addAll({ bytes, lengths, count }: ByteValues, values: ValueHashes, pieces: PieceTables): void {
  values.room(count);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const repeats = new Repeats(view);
  for (let i = 0, at = 0; i < count; i++) {
    const length = lengths[i]!;
    const hash = hashOf(view, at, length);
    if (!repeats.has(at, length, hash)) {
      values.addHash(hash);
      pieces.addPart(view, at, at + length);
    }
    at += length;
  }
}

/** A direct-mapped table. */
const REPEATS_KEPT = 1 << 13;
/** Longer values are ids of their own more often than not: looking for them costs more than it saves. */
const REPEAT_BYTES_MAX = 32;

/** Values that came lately: dates, lengths and states come again and again, and a filter has them already. */
class Repeats {
  readonly #view: DataView;
  /** Where each lies, and its length plus 1; 0: none. */
  readonly #at = new Int32Array(REPEATS_KEPT);
  readonly #size = new Uint8Array(REPEATS_KEPT);

  constructor(view: DataView) {
    this.#view = view;
  }

  /** Whether the value came lately; from now on it has. */
  has(at: number, length: number, hash: number): boolean {
    if (length > REPEAT_BYTES_MAX) return false;
    const slot = hash & (REPEATS_KEPT - 1);
    if (this.#size[slot] === length + 1 && this.#same(this.#at[slot]!, at, length)) return true;
    this.#at[slot] = at;
    this.#size[slot] = length + 1;
    return false;
  }

  #same(a: number, b: number, length: number): boolean {
    const view = this.#view;
    let i = 0;
    for (; i + 4 <= length; i += 4) if (view.getInt32(a + i, true) !== view.getInt32(b + i, true)) return false;
    for (; i < length; i++) if (view.getUint8(a + i) !== view.getUint8(b + i)) return false;
    return true;
  }
}

function allBegin({ bytes, lengths, count }: ByteValues, byte: number): boolean {
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (lengths[i] === 0 || bytes[at] !== byte) return false;
    at += lengths[i]!;
  }
  return true;
}
