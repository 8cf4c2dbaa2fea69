/**
 * The line table: what was seen before, found again by its bytes. Three kinds of key share it, told apart by `kind`: a
 * whole field line with its CRLF, a field name with its colon, a start line with its CRLF. A hit is always verified
 * byte by byte: a hash alone would let a peer alias `authorization` to a harmless name, past redaction.
 *
 * Bounded in entries and bytes. Names and values enter at their second sight only (a doorkeeper of hashes remembers the first),
 * so that unique ones evict nothing, and die young. Connections remember slots, not entries: what an evicted entry held is free at once.
 */
import type { Memory } from '../base/memory.ts';
import { FieldLine, type HeaderName } from '../model/fields.ts';
import { NAME_BYTES_MAX, type NameTable } from './names.ts';

/** What a field means to HTTP/1 framing. */
export const ROLE_NONE = 0;
export const ROLE_CONTENT_LENGTH = 1;
export const ROLE_TRANSFER_ENCODING = 2;
export const ROLE_HOST = 3;
export const ROLE_UPGRADE = 4;

const ROLES: Readonly<Record<string, number>> = {
  __proto__: null as never,
  'content-length': ROLE_CONTENT_LENGTH,
  'transfer-encoding': ROLE_TRANSFER_ENCODING,
  host: ROLE_HOST,
  upgrade: ROLE_UPGRADE,
};

export const KIND_NONE = 0;
export const KIND_LINE = 1;
export const KIND_NAME = 2;
export const KIND_START = 3;

/** A parsed start line: shared, never changed. */
export interface StartLine {
  version: number;
  method: string;
  target: string;
  status: number;
  reason: string;
  /** ANOMALY_BIT set. */
  anomalies: number;
}

const NO_WORDS: readonly number[] = [];

export class Entry {
  kind = KIND_NONE;
  /** Its place in the table; -1 when it found none. */
  slot = -1;
  hash = 0;
  /** Second chance: set by every hit, cleared when a newcomer looks for room. */
  used = 0;
  /** The key's bytes as little-endian words, the last one filled up with zeros. */
  words: readonly number[] = NO_WORDS;
  /** Its last four bytes as a word. */
  tail = 0;
  /** Key length in bytes; too long to match while the entry is empty. */
  length = 0x3fffffff;
  /** KIND_LINE, KIND_NAME: bytes up to and with the colon. */
  nameEnd = 0;
  /** KIND_LINE: where the trimmed value lies in the line. */
  valueAt = 0;
  valueLength = 0;
  role = ROLE_NONE;
  /** KIND_LINE: with its value; KIND_NAME: value === null. */
  line: FieldLine | null = null;
  /** KIND_LINE: the entry of its name; KIND_NAME: itself. */
  name: Entry | null = null;
  start: StartLine | null = null;
  /** KIND_NAME: values remembered, predicted lines that came again, values turned away; the first two halved together. */
  added = 0;
  repeated = 0;
  turnedAway = 0;
}

export interface LineBounds {
  /** A power of two, at most 65,536. */
  readonly entries: number;
  readonly bytes: number;
}
export const LINE_BOUNDS: LineBounds = { entries: 16_384, bytes: 4 << 20 };

/** So many values of a name are remembered before it must have shown repeats, so many a value. */
const ADDED_TRUSTED = 64;
const REPEATS_EXPECTED = 16;
/** One value in so many of a name without repeats is remembered all the same; a power of two. */
const TURNED_AWAY = 64;

/** Longest line that is remembered. */
export const LINE_BYTES_MAX = 512;
const WAYS = 4;
/** First sights that the doorkeeper remembers; a newer one takes the place of an older one. */
const DOOR_SIGHTS = 1 << 14;

/** Hash of `length` bytes at `view[at]` (at least 1), continuing from `hash`. */
export function hashBytes(view: DataView, at: number, length: number, hash: number): number {
  let h = hash ^ length;
  const words = at + (length & ~3);
  const end = at + length;
  let o = at;
  for (; o < words; o += 4) {
    h = Math.imul(h ^ view.getInt32(o, true), 0x9e3779b1);
    h ^= h >>> 15;
  }
  for (; o < end; o++) h = Math.imul(h ^ view.getUint8(o), 0x01000193);
  h ^= h >>> 13;
  h = Math.imul(h, 0x85ebca6b);
  return h ^ (h >>> 16);
}

/** Are the `entry.length` bytes at `view[at]` the entry's? They must all be there. */
export function equalBytes(view: DataView, at: number, entry: Entry): boolean {
  const words = entry.words;
  const whole = entry.length >> 2;
  let o = at;
  for (let i = 0; i < whole; i++, o += 4) if (view.getInt32(o, true) !== words[i]) return false;
  return view.getInt32(at + entry.length - 4, true) === entry.tail;
}

/** The first `length` bytes (fewer than or equal to the entry's) of both are the same. */
export function equalPrefix(view: DataView, at: number, length: number, entry: Entry): boolean {
  const words = entry.words;
  const whole = length >> 2;
  let o = at;
  for (let i = 0; i < whole; i++, o += 4) if (view.getInt32(o, true) !== words[i]) return false;
  for (let i = whole << 2; i < length; i++, o++) {
    if (view.getUint8(o) !== ((words[i >> 2]! >>> ((i & 3) << 3)) & 0xff)) return false;
  }
  return true;
}

export class LineTable {
  readonly names: NameTable;
  /** Every slot is filled, with an empty entry at first. */
  readonly entries: Entry[];
  /** Hashes by slot: a miss then touches one cache line, not four entries. */
  readonly #hashes: Int32Array;
  /** Bytes of all keys. */
  bytes = 0;
  /** Entries in use, entries that made room, and lines turned away because the byte bound was reached. */
  size = 0;
  evicted = 0;
  refused = 0;
  readonly #bytesMax: number;
  readonly #setMask: number;
  readonly #door = new Int32Array(DOOR_SIGHTS);

  constructor(names: NameTable, bounds: LineBounds = LINE_BOUNDS) {
    this.names = names;
    this.#bytesMax = bounds.bytes;
    this.#setMask = bounds.entries / WAYS - 1;
    const empty = new Entry();
    this.#hashes = new Int32Array(bounds.entries);
    this.entries = new Array<Entry>(bounds.entries).fill(empty);
  }

  /** The entry of these bytes, verified, or null. */
  find(view: DataView, at: number, length: number, hash: number, kind: number): Entry | null {
    const first = (hash & this.#setMask) * WAYS;
    const hashes = this.#hashes;
    for (let slot = first; slot < first + WAYS; slot++) {
      if (hashes[slot] !== hash) continue;
      const e = this.entries[slot]!;
      if (e.length === length && e.kind === kind && equalBytes(view, at, e)) {
        e.used = 1;
        return e;
      }
    }
    return null;
  }

  /** Was this hash seen lately? Remembers it. A collision costs an entry and nothing else. */
  seenBefore(hash: number): boolean {
    const place = (hash >>> 8) & (DOOR_SIGHTS - 1);
    if (this.#door[place] === hash) return true;
    this.#door[place] = hash;
    return false;
  }

  /**
   * Whether values of this name come again where they came before. A time stamp or an id that request and response share
   * is seen twice and then never again: remembering each would evict what does repeat, and give every block a shape of
   * its own. Now and then one is let in all the same, because names change their ways.
   */
  worthKeeping(name: Entry): boolean {
    if (name.added < ADDED_TRUSTED || name.repeated >= name.added * REPEATS_EXPECTED) return true;
    name.turnedAway = (name.turnedAway + 1) & (TURNED_AWAY - 1);
    return name.turnedAway === 0;
  }

  /** The entry of the field name at `memory[at]`, `length` bytes before its colon (which must be there). */
  name(memory: Memory, at: number, length: number): Entry {
    const view = memory.view;
    const keyLength = length + 1;
    // The last word of a key is read at its end - 4: shorter keys are not kept in the table.
    const short = keyLength < 4;
    const hash = hashBytes(view, at, keyLength, KIND_NAME);
    if (!short) {
      const known = this.find(view, at, keyLength, hash, KIND_NAME);
      if (known !== null) return known;
    }
    const raw = memory.buf.latin1Slice(at, at + length);
    const entry = nameEntry(this.names.intern(lowerLatin1(raw)), raw);
    entry.hash = hash;
    if (!short && length <= NAME_BYTES_MAX && this.seenBefore(hash)) this.#put(entry, view, at, keyLength, KIND_NAME);
    return entry;
  }

  /** Remembers a whole field line (with CRLF) named by `name`; its value is `valueLength` bytes at `valueAt` of the line. */
  addLine(memory: Memory, at: number, length: number, hash: number, name: Entry, valueAt: number, valueLength: number) {
    const entry = new Entry();
    const line = name.line!;
    const value = memory.buf.latin1Slice(at + valueAt, at + valueAt + valueLength);
    entry.hash = hash;
    entry.nameEnd = name.nameEnd;
    entry.valueAt = valueAt;
    entry.valueLength = valueLength;
    entry.role = name.role;
    entry.line = new FieldLine(line.name, line.raw, value);
    entry.name = name;
    if (++name.added >= 2 * ADDED_TRUSTED) {
      name.added >>= 1;
      name.repeated >>= 1;
    }
    this.#put(entry, memory.view, at, length, KIND_LINE);
    return entry;
  }

  addStart(memory: Memory, at: number, length: number, hash: number, start: StartLine): Entry {
    const entry = new Entry();
    entry.hash = hash;
    entry.start = start;
    this.#put(entry, memory.view, at, length, KIND_START);
    return entry;
  }

  #put(entry: Entry, view: DataView, at: number, length: number, kind: number): void {
    // A plain array of small integers: a typed array of this size costs a microsecond to make.
    const words: number[] = [];
    let i = 0;
    for (; i + 4 <= length; i += 4) words.push(view.getInt32(at + i, true));
    let last = 0;
    for (let shift = 0; i < length; i++, shift += 8) last |= view.getUint8(at + i) << shift;
    words.push(last);
    entry.tail = view.getInt32(at + length - 4, true);
    entry.words = words;
    entry.length = length;
    const victim = this.#victim((entry.hash & this.#setMask) * WAYS);
    const old = this.entries[victim]!;
    const freed = old.kind === KIND_NONE ? 0 : old.length;
    if (this.bytes - freed + length > this.#bytesMax) {
      this.refused++;
      return;
    }
    if (old.kind === KIND_NONE) this.size++;
    else this.evicted++;
    this.bytes += length - freed;
    entry.kind = kind;
    entry.slot = victim;
    this.entries[victim] = entry;
    this.#hashes[victim] = entry.hash;
  }

  /** A slot of the set: an empty one, else the first that was not used since the last newcomer, else the first. */
  #victim(first: number): number {
    let victim = -1;
    for (let i = first; i < first + WAYS; i++) {
      const e = this.entries[i]!;
      if (e.kind === KIND_NONE) return i;
      if (e.used === 0 && victim < 0) victim = i;
    }
    if (victim >= 0) return victim;
    for (let i = first; i < first + WAYS; i++) this.entries[i]!.used = 0;
    return first;
  }
}

function nameEntry(name: HeaderName, raw: string): Entry {
  const entry = new Entry();
  entry.nameEnd = raw.length + 1;
  entry.role = ROLES[name.lower] ?? ROLE_NONE;
  entry.line = new FieldLine(name, raw, null);
  entry.name = entry;
  return entry;
}

/** A to Z only: toLowerCase would turn U+00C0 into U+00E0, which are other bytes. */
const lowerLatin1 = (raw: string): string =>
  /[^\x00-\x7f]/.test(raw) ? raw.replace(/[A-Z]+/g, (s) => s.toLowerCase()) : raw.toLowerCase();
