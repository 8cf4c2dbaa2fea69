/**
 * One direction's bytes cut into records (RFC 8446 5.1). A record that lies whole in one piece is handed on in place; one
 * that comes in pieces is collected, and what will never come of it is told as a hole. When it is not known any more
 * where records begin, bytes are collected until the sink finds the next one.
 */
import { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import { SEARCH_BYTES_MAX } from './slabs.ts';
import { FRAGMENT_BYTES_MAX, HEADER_BYTES } from './workspace.ts';

/** Pieces of one record that are told apart; further ones count as part of the last. */
const PIECES_MAX = 32;

/** A part of a record is there (null), or was left out on purpose. */
const CUT: ReadonlySet<LossReason | 'left_out' | null> = new Set([null, 'left_out', 'shed_body', 'shed_head'] as const);

/** When the parts of a record came, and which never did. */
export class Pieces {
  count = 0;
  /** Offset in the record just behind the piece. */
  readonly end: number[] = [];
  readonly ts: number[] = [];
  /** What its segment acknowledges of the other direction, in encrypted bytes; -1: not known. */
  readonly ack: number[] = [];
  /** Why it never came; null: it is there. */
  readonly why: (LossReason | 'left_out' | null)[] = [];
  holes = 0;

  clear(): void {
    this.count = 0;
    this.holes = 0;
  }

  /** All of the record came at once. */
  single(size: number, ts: number, ack: number): void {
    this.count = 1;
    this.holes = 0;
    this.end[0] = size;
    this.ts[0] = ts;
    this.ack[0] = ack;
    this.why[0] = null;
  }

  add(end: number, ts: number, ack: number, why: LossReason | 'left_out' | null): void {
    const last = this.count - 1;
    const same = last >= 0 && (this.why[last] === null) === (why === null);
    if (this.count >= PIECES_MAX && !same) {
      // No room to say it exactly: from here on everything is a hole.
      this.end[last] = end;
      if (this.why[last] === null) this.holes++;
      this.why[last] = why ?? this.why[last] ?? 'desync';
      return;
    }
    const at = this.count >= PIECES_MAX ? last : this.count++;
    this.end[at] = end;
    this.ts[at] = ts;
    this.ack[at] = ack;
    if (why !== null && (at > last || this.why[at] === null)) this.holes++;
    this.why[at] = why;
  }

  /** All that misses was left out by the kernel on purpose, under pressure or not. */
  get isCut(): boolean {
    for (let i = 0; i < this.count; i++) if (!CUT.has(this.why[i]!)) return false;
    return true;
  }

  /** Offset behind the last part that never came; 0: there is none. */
  get holesEnd(): number {
    for (let i = this.count - 1; i >= 0; i--) if (this.why[i] !== null) return this.end[i]!;
    return 0;
  }

  /** Why the first part that never came did not. */
  get firstHole(): LossReason | 'left_out' {
    for (let i = 0; i < this.count; i++) if (this.why[i] !== null) return this.why[i]!;
    return 'gap';
  }

  /** Bytes at the beginning that are there. */
  get whole(): number {
    for (let i = 0; i < this.count; i++) if (this.why[i] !== null) return i === 0 ? 0 : this.end[i - 1]!;
    return this.count === 0 ? 0 : this.end[this.count - 1]!;
  }

  /** Bytes up to the end of the last part that is there. */
  get known(): number {
    for (let i = this.count - 1; i >= 0; i--) if (this.why[i] === null) return this.end[i]!;
    return 0;
  }
}

export interface RecordSink {
  /** A record of `size` bytes, header included, at `memory[at]`. False: it cannot be used yet; it will be offered again. */
  record(memory: Memory, at: number, size: number, pieces: Pieces): boolean;
  /** From here on it is not known where records begin: at least `bytes` are lost, by `why`. */
  lost(bytes: number, why: LossReason | 'left_out', ts: number): void;
  /**
   * Where in [at, end) the next record begins, of which everything before is lost; else -1 - n, where n is the first
   * offset that further bytes may yet show to be one.
   */
  find(memory: Memory, at: number, end: number): number;
  /** What is lost were `records`, and the next byte begins one. False: that does not help. */
  passed(records: number): boolean;
  /** `bytes` were searched in vain and dropped. */
  dropped(bytes: number): void;
  /** The bytes are no records. False: look for the next one; true: the sink takes no more. */
  malformed(): boolean;
  /** `bytes` came after that. */
  ignored(bytes: number): void;
  /** Memory for collecting, `bytes` at least; null: the bound for all connections is reached. */
  take(bytes: number): Memory | null;
  /** It is of no use any more; `again`: nor is it looked at. */
  give(slab: Memory, again: boolean): void;
}

/** RFC 8446 5.1; RFC 5246 6.2.1. */
export const CONTENT = { CHANGE_CIPHER_SPEC: 20, ALERT: 21, HANDSHAKE: 22, APPLICATION_DATA: 23 } as const;
const HEARTBEAT = 24;

export const isContentType = (type: number): boolean => type >= CONTENT.CHANGE_CIPHER_SPEC && type <= HEARTBEAT;

/** Whether a record may begin like the five bytes at `at`. */
export function isHeader(memory: Memory, at: number): boolean {
  const { view } = memory;
  const type = view.getUint8(at);
  if (!isContentType(type) || view.getUint8(at + 1) !== 3 || view.getUint8(at + 2) > 4) return false;
  return view.getUint16(at + 3) <= FRAGMENT_BYTES_MAX;
}

/** Whether a record that ends at `next` may be one, for all that is known without keys: another header follows, or nothing. */
export const endsOrGoesOn = (memory: Memory, next: number, end: number): boolean =>
  next === end || (next + HEADER_BYTES <= end && isHeader(memory, next));

const TLS12_AND_LATER = 0x0303;
/** What the shortest protected record has behind its header: a tag and a content type. */
const PROTECTED_BYTES_MIN = 17;

/**
 * Whether [at, end), a segment of a connection that was joined in the middle, is protected records from its first byte on:
 * headers follow one another up to its end, which may be in the middle of one.
 */
export function isProtected(memory: Memory, at: number, end: number): boolean {
  const { view } = memory;
  if (at + HEADER_BYTES > end) return false;
  for (let next = at; next + HEADER_BYTES <= end; next += HEADER_BYTES + view.getUint16(next + 3)) {
    if (!isHeader(memory, next)) return false;
    if (next > at) continue;
    if (view.getUint8(next) !== CONTENT.APPLICATION_DATA || view.getUint16(next + 1) !== TLS12_AND_LATER) return false;
    if (view.getUint16(next + 3) < PROTECTED_BYTES_MIN) return false;
  }
  return true;
}

const NO_MEMORY = Memory.alloc(0);

export class RecordReader {
  /** Stream offset of the record that is being read. */
  position = 0;
  /** It is not known where records begin. */
  searching = false;
  readonly #sink: RecordSink;
  readonly #pieces = new Pieces();
  #slab = NO_MEMORY;
  #have = 0;
  /** Size of the record that is being collected; 0: its header is not complete. */
  #size = 0;
  /** A complete record in the slab that the sink could not use yet. */
  #offered = false;
  /** Found by a search, and not yet read: bytes [at, end) of a block of their own. */
  #found: { memory: Memory; at: number; end: number; ts: number; ack: number } | null = null;
  #closed = false;
  /** What was searched in vain, in bytes of the slab. */
  #searched = 0;

  constructor(sink: RecordSink) {
    this.#sink = sink;
  }

  /** Bytes of a record that is not complete. */
  get partial(): number {
    return this.#have;
  }

  /** How long the record is that is not complete is known. */
  get sized(): boolean {
    return this.#size > 0;
  }

  /** Takes the next bytes; returns how many, fewer than `length` when the sink cannot go on. */
  take(memory: Memory, offset: number, length: number, ts: number, ack: number): number {
    if (!this.retry()) return 0;
    let at = offset;
    const end = offset + length;
    while (at < end && !this.#closed) {
      if (this.searching) {
        at += this.#search(memory, at, end - at, ts, ack);
        if (!this.retry()) return at - offset;
        continue;
      }
      if (this.#have === 0 && end - at >= HEADER_BYTES) {
        if (!isHeader(memory, at)) {
          this.#broken(ts);
          continue;
        }
        const size = HEADER_BYTES + memory.view.getUint16(at + 3);
        if (end - at >= size) {
          const pieces = this.#pieces;
          pieces.single(size, ts, ack);
          if (!this.#sink.record(memory, at, size, pieces)) return at - offset;
          this.position += size;
          at += size;
          continue;
        }
      }
      at += this.#collect(memory, at, end - at, ts, ack);
      if (!this.retry()) return at - offset;
    }
    if (at < end) this.#sink.ignored(end - at);
    return length;
  }

  /** Offers again what could not be used; false: it still cannot. */
  retry(): boolean {
    if (this.#offered) {
      const size = this.#size;
      if (!this.#sink.record(this.#slab, 0, size, this.#pieces)) return false;
      this.#offered = false;
      this.position += size;
      this.#drop();
    }
    const found = this.#found;
    if (found === null) return true;
    this.#found = null;
    found.at += this.take(found.memory, found.at, found.end - found.at, found.ts, found.ack);
    if (found.at >= found.end) return true;
    this.#found = found;
    return false;
  }

  /** Bytes that will never come. */
  gap(length: number, why: LossReason | 'left_out', ts: number): void {
    if (this.#closed) return;
    let rest = length;
    if (!this.searching && this.#size > 0) {
      const part = Math.min(rest, this.#size - this.#have);
      this.#have += part;
      rest -= part;
      this.#pieces.add(this.#have, ts, -1, why);
      if (this.#have < this.#size) return;
      this.#offered = true;
      this.retry();
    }
    if (rest > 0) this.lose(rest, why, ts);
  }

  /** `bytes` at the present position are lost, and with them where records begin. */
  lose(bytes: number, why: LossReason | 'left_out', ts: number): void {
    const all = bytes + this.#have;
    this.#drop();
    this.searching = true;
    this.position += all;
    this.#sink.lost(all, why, ts);
  }

  /** The bytes that are missing ended where a record begins; `records` lay wholly in them. */
  passed(records: number): boolean {
    if (!this.searching || this.#have > 0 || this.#closed || !this.#sink.passed(records)) return false;
    this.searching = false;
    return true;
  }

  /** No bytes come any more. What is there of a record is handed on as a record whose end is missing. */
  end(why: LossReason, ts: number): void {
    if (this.#size > 0 && !this.#offered && !this.searching) {
      this.#pieces.add(this.#size, ts, -1, why);
      this.#offered = true;
      this.retry();
    }
    this.close();
  }

  close(): void {
    this.#closed = true;
    this.#found = null;
    this.#drop();
  }

  #broken(ts: number): void {
    if (this.#sink.malformed()) this.close();
    else this.lose(0, 'desync', ts);
  }

  /** Adds to the record that is being collected; returns how many bytes it took. */
  #collect(memory: Memory, at: number, length: number, ts: number, ack: number): number {
    let taken = 0;
    if (this.#have === 0) this.#pieces.clear();
    if (this.#size === 0) {
      const part = Math.min(length, HEADER_BYTES - this.#have);
      if (!this.#append(memory, at, part, HEADER_BYTES, ts)) return length;
      taken = part;
      if (this.#have === HEADER_BYTES) {
        if (!isHeader(this.#slab, 0)) {
          this.#broken(ts);
          return taken;
        }
        this.#size = HEADER_BYTES + this.#slab.view.getUint16(3);
      }
    }
    if (this.#size > 0) {
      const part = Math.min(length - taken, this.#size - this.#have);
      if (!this.#append(memory, at + taken, part, Math.min(this.#size, 2 * (this.#have + part)), ts)) return length;
      taken += part;
    }
    this.#pieces.add(this.#have, ts, ack, null);
    if (this.#size > 0 && this.#have === this.#size) this.#offered = true;
    return taken;
  }

  /** Puts bytes behind those that are there; false: no memory, everything so far is given up. */
  #append(memory: Memory, at: number, bytes: number, room: number, ts: number): boolean {
    const need = this.#have + bytes;
    if (this.#slab.size < need) {
      const slab = this.#sink.take(Math.max(need, room));
      if (slab === null) {
        this.lose(bytes, 'reassembly_limit', ts);
        return false;
      }
      this.#slab.buf.copy(slab.buf, 0, 0, Math.min(this.#have, this.#slab.size));
      if (this.#slab !== NO_MEMORY) this.#sink.give(this.#slab, true);
      this.#slab = slab;
    }
    memory.buf.copy(this.#slab.buf, this.#have, at, at + bytes);
    this.#have = need;
    return true;
  }

  /** `again`: nobody looks at what was collected any more. */
  #drop(again = true): void {
    if (this.#slab !== NO_MEMORY) this.#sink.give(this.#slab, again);
    this.#slab = NO_MEMORY;
    this.#have = 0;
    this.#size = 0;
    this.#offered = false;
    this.#searched = 0;
    this.#pieces.clear();
  }

  /** Collects while it is not known where records begin. Returns how many bytes it took. */
  #search(memory: Memory, at: number, length: number, ts: number, ack: number): number {
    const part = Math.min(length, SEARCH_BYTES_MAX - this.#have);
    this.#size = 0;
    if (!this.#append(memory, at, part, Math.min(SEARCH_BYTES_MAX, 2 * (this.#have + part)), ts)) return length;
    const where = this.#sink.find(this.#slab, this.#searched, this.#have);
    if (where < 0) this.#searched = -1 - where;
    if (where >= 0) {
      this.#found = { memory: this.#slab, at: where, end: this.#have, ts, ack };
      this.position += where;
      this.searching = false;
      this.#drop(false);
    } else if (this.#have >= SEARCH_BYTES_MAX) {
      // A record that begins in the first half would be whole by now.
      const half = SEARCH_BYTES_MAX / 2;
      this.#slab.buf.copyWithin(0, half, this.#have);
      this.#have -= half;
      this.#searched = Math.max(0, this.#searched - half);
      this.position += half;
      this.#sink.dropped(half);
    }
    return part;
  }
}
