/**
 * Decodes header blocks (RFC 7541 6). One HpackDecoder for each direction of each connection: it holds the dynamic table,
 * and everything else is shared. A field that was seen before is a shared line, named by its index and free; other values
 * are decoded into the block's own memory.
 *
 * Never a wrong name or value: an index whose entry was not seen gives the line "?62" (its index), without the value that
 * may have come with it, because nobody can tell whether that is a credential.
 */
import { Memory } from '../../base/memory.ts';
import type { FieldBlock, FieldLine } from '../../model/fields.ts';
import type { MessagePool } from '../../model/pool.ts';
import { hashBytes } from '../lines.ts';
import { ENCODED_BYTES_MAX, EncodedLines } from './encoded.ts';
import { HeaderList, push } from './header-list.ts';
import { huffmanDecode, huffmanRoom } from './huffman.ts';
import type { SharedLines } from './lines.ts';
import { DynamicTable, type TableBudget } from './table.ts';

export type HpackOutcome =
  | 'done'
  /** A decoding error (RFC 7541 2.3.3 ff., RFC 9113 4.3): what follows on the connection cannot be decoded by it. */
  | 'error';

/** Encoded bytes of one block, at most. */
export const BLOCK_BYTES_MAX = 128 << 10;
/** Decoded bytes of one block's values that are no shared lines: the largest slab. */
const VALUE_BYTES_MAX = 128 << 10;
/** An integer may have so many bytes after its first: 28 bits and more than any of them needs. */
const INTEGER_SHIFT_MAX = 28;
const STATIC_ENTRIES = 61;
const COLON = 58;
/** Below it a loop over words is faster than a call. */
const SHORT_COPY = 64;

/** What the decoders of a pipeline share. */
export class HpackShared {
  readonly lines: SharedLines;
  readonly pool: MessagePool;
  readonly list = new HeaderList();
  /** Literals whose name is static or spelled out, and such names alone. */
  readonly literals = new EncodedLines();
  readonly names = new EncodedLines();
  readonly budget: TableBudget = { bytes: 0 };
  /** Holds any decoded string of a block. */
  readonly scratch = Memory.alloc(huffmanRoom(BLOCK_BYTES_MAX));
  readonly blocks: BlockDecoder = new BlockDecoder(this);

  constructor(lines: SharedLines, pool: MessagePool) {
    this.lines = lines;
    this.pool = pool;
  }
}

/** The decoder of one direction of one connection: what it remembers from block to block. */
export class HpackDecoder {
  readonly table: DynamicTable;
  /** The largest table that the receiver has allowed so far (SETTINGS_HEADER_TABLE_SIZE); Infinity: not known. */
  limit: number;
  readonly #blocks: BlockDecoder;

  constructor(shared: HpackShared, lost: boolean, limit: number) {
    this.table = new DynamicTable(lost, shared.budget);
    this.limit = limit;
    this.#blocks = shared.blocks;
  }

  /**
   * Decodes the whole block [at, end) of `memory`: regular lines go to `block`, the rest to the shared list, which is
   * valid until the next call. After an error the lines before it are there, and the table is unknown.
   */
  decode(memory: Memory, at: number, end: number, block: FieldBlock): HpackOutcome {
    return this.#blocks.decode(this.table, this.limit, memory, at, end, block);
  }
}

/** Decodes the blocks of all connections, each by its own table. */
class BlockDecoder {
  readonly #shared: HpackShared;
  /** Of the block at hand: its direction's table, and how large that may become. */
  #table!: DynamicTable;
  #limit = 0;
  /** Of the integer and the string read last. */
  #value = 0;
  #memory!: Memory;
  #at = 0;
  #length = 0;
  /** Of the literal read last; null: an entry that was not seen. */
  #name: FieldLine | null = null;
  #index = 0;

  constructor(shared: HpackShared) {
    this.#shared = shared;
  }

  decode(table: DynamicTable, limit: number, memory: Memory, at: number, end: number, block: FieldBlock): HpackOutcome {
    this.#table = table;
    this.#limit = limit;
    const { list } = this.#shared;
    list.clear();
    const ok = this.#decode(memory, at, end, block, list);
    if (!ok) table.lose();
    return ok ? 'done' : 'error';
  }

  #decode(memory: Memory, from: number, end: number, block: FieldBlock, list: HeaderList): boolean {
    const view = memory.view;
    const { staticLines } = this.#shared.lines;
    let at = from;
    let resizable = true;
    while (at < end) {
      const first = view.getUint8(at);
      if (first >= 0x80) {
        resizable = false;
        let index = first & 0x7f;
        if (index === 0x7f) {
          at = this.#integer(view, at, end, 7);
          if (at < 0) return false;
          index = this.#value;
        } else at++;
        if (index === 0) return false;
        if (index <= STATIC_ENTRIES) push(block, list, staticLines[index]!, 0, 0);
        else if (index - STATIC_ENTRIES <= this.#table.count) {
          const line = this.#table.line(index - STATIC_ENTRIES - 1);
          if (line === null) this.#unknown(block, list, index);
          else push(block, list, line, 0, 0);
        } else if (this.#table.lost) this.#unknown(block, list, index);
        else return false;
      } else if ((first & 0xe0) === 0x20) {
        // Only in front of the first field (RFC 7541 4.2).
        at = this.#integer(view, at, end, 5);
        if (at < 0 || !resizable || this.#value > this.#limit) return false;
        this.#table.resize(this.#value);
      } else {
        resizable = false;
        // What must never be indexed is not remembered either (RFC 7541 6.2.3).
        at =
          (first & 0xf0) === 0x10
            ? this.#neverIndexed(memory, at, end, block, list)
            : this.#repeatable(memory, at, end, (first & 0x40) !== 0, block, list);
        if (at < 0) return false;
      }
    }
    return true;
  }

  /** A literal that enters the table or changes nothing (RFC 7541 6.2.1, 6.2.2): known by its bytes where it is repeated. */
  #repeatable(
    memory: Memory,
    from: number,
    end: number,
    indexed: boolean,
    block: FieldBlock,
    list: HeaderList,
  ): number {
    const { literals, lines } = this.#shared;
    const { view } = memory;
    const guessed = literals.guess(view, from, end);
    if (guessed !== null) {
      lines.repeated(guessed);
      if (indexed) this.#table.add(guessed, null, guessed.octets - guessed.raw.length);
      push(block, list, guessed, 0, 0);
      return from + literals.length;
    }
    const { badName } = list;
    list.badName = false;
    const at = this.#named(memory, from, end, indexed ? 6 : 4, list);
    const bad = list.badName;
    list.badName ||= badName;
    if (at < 0) return -1;
    const name = this.#name;
    // The same bytes are the same line only where the name does not depend on the table.
    if (name === null || bad || this.#index > STATIC_ENTRIES || !lines.repeats(name.name.id))
      return this.#field(memory, at, end, indexed, block, list);
    const size = this.#stringEnd(view, at, end) - from;
    if (size <= 0 || size > ENCODED_BYTES_MAX) return this.#field(memory, at, end, indexed, block, list);
    const hash = hashBytes(view, at, size - (at - from), name.serial);
    const known = literals.find(view, from, size, hash);
    if (known !== null) {
      lines.repeated(known);
      if (indexed) this.#table.add(known, null, known.octets - known.raw.length);
      push(block, list, known, 0, 0);
      return from + size;
    }
    const next = this.#field(memory, at, end, indexed, block, list);
    if (next >= 0 && literals.again(hash)) {
      const line = lines.value(name, this.#memory, this.#at, this.#length);
      if (line !== null) literals.add(memory, from, size, hash, line);
    }
    return next;
  }

  /** Where the string at `from` ends; -1: it is not all there. */
  #stringEnd(view: DataView, from: number, end: number): number {
    if (from >= end) return -1;
    const at = this.#integer(view, from, end, 7);
    return at < 0 || this.#value > end - at ? -1 : at + this.#value;
  }

  /** Reads a literal's name into #name (null: it was not seen) and its index into #index; returns where the value begins, or -1. */
  #named(memory: Memory, from: number, end: number, prefix: number, list: HeaderList): number {
    const { lines } = this.#shared;
    const at = this.#integer(memory.view, from, end, prefix);
    if (at < 0) return -1;
    const index = this.#value;
    this.#index = index;
    if (index === 0) return this.#spelledName(memory, at, end, list);
    if (index <= STATIC_ENTRIES) this.#name = lines.staticNames[index]!;
    else if (index - STATIC_ENTRIES <= this.#table.count) {
      const raw = this.#table.raw(index - STATIC_ENTRIES - 1);
      this.#name = raw === null ? null : lines.nameLine(raw);
    } else if (this.#table.lost) this.#name = null;
    else return -1;
    return at;
  }

  #neverIndexed(memory: Memory, from: number, end: number, block: FieldBlock, list: HeaderList): number {
    const at = this.#named(memory, from, end, 4, list);
    return at < 0 ? -1 : this.#field(memory, at, end, false, block, list);
  }

  /** Reads a name that is spelled out into #name; returns where it ends, or -1. */
  #spelledName(memory: Memory, from: number, end: number, list: HeaderList): number {
    const { lines, names, scratch } = this.#shared;
    if (from >= end) return -1;
    const at = this.#integer(memory.view, from, end, 7);
    if (at < 0 || this.#value > end - at) return -1;
    const size = at + this.#value - from;
    const hash = size <= ENCODED_BYTES_MAX ? hashBytes(memory.view, from, size, 0) : 0;
    const known = size <= ENCODED_BYTES_MAX ? names.find(memory.view, from, size, hash) : null;
    if (known !== null) {
      this.#name = known;
      return from + size;
    }
    const next = this.#string(memory, from, end, scratch, 0);
    if (next < 0 || this.#length === 0) return -1;
    this.#name = lines.name(this.#memory, this.#at, this.#length);
    if (!isName(this.#memory.view, this.#at, this.#length)) list.badName = true;
    else if (this.#name.name.id !== 0 && size <= ENCODED_BYTES_MAX && names.again(hash)) {
      names.add(memory, from, size, hash, this.#name);
    }
    return next;
  }

  /** The rest of a literal field line (RFC 7541 6.2), whose name is #name and whose value is at `at`; returns where the next one begins, or -1. */
  #field(memory: Memory, at: number, end: number, indexed: boolean, block: FieldBlock, list: HeaderList): number {
    const { lines, scratch } = this.#shared;
    const name = this.#name;
    if (at >= end) return -1;
    const huffman = memory.view.getUint8(at) >= 0x80;
    const text = this.#integer(memory.view, at, end, 7);
    const size = this.#value;
    if (text < 0 || size > end - text) return -1;
    const room = huffman ? huffmanRoom(size) : size;
    const kept = list.used + room <= VALUE_BYTES_MAX && this.#shared.pool.reserve(block, list.used, list.used + room);
    const to = kept ? block.memory : scratch;
    if (!this.#text(memory, text, size, huffman, to, kept ? list.used : 0)) return -1;
    const next = text + size;
    const length = this.#length;
    if (name === null) {
      this.#unknown(block, list, this.#index);
      if (indexed) this.#table.addUnknown(length);
      return next;
    }
    let line: FieldLine = name;
    if (indexed) {
      const shared = lines.value(name, this.#memory, this.#at, length);
      if (shared !== null) {
        line = shared;
        this.#table.add(shared, null, length);
      } else if (this.#table.holds(name.raw.length, length)) {
        this.#table.add(name, this.#memory.buf.latin1Slice(this.#at, this.#at + length), length);
      } else this.#table.add(name, '', length);
    }
    if (line !== name) {
      push(block, list, line, 0, 0);
      return next;
    }
    if (!kept) {
      list.dropped += name.raw.length + length;
      return next;
    }
    if (this.#memory !== block.memory) copy(this.#memory, this.#at, block.memory, list.used, length);
    push(block, list, name, list.used, length);
    list.used += length;
    return next;
  }

  /** The line that stands for entry `index`. */
  #unknown(block: FieldBlock, list: HeaderList, index: number): void {
    list.unknown++;
    push(block, list, this.#shared.lines.unknown(index), 0, 0);
  }

  /** Reads an integer (RFC 7541 5.1) into #value; returns where it ends, or -1. */
  #integer(view: DataView, from: number, end: number, prefix: number): number {
    const mask = (1 << prefix) - 1;
    let at = from;
    let value = view.getUint8(at++) & mask;
    if (value === mask) {
      for (let shift = 0; ; shift += 7) {
        if (at >= end || shift >= INTEGER_SHIFT_MAX) return -1;
        const byte = view.getUint8(at++);
        value += (byte & 0x7f) << shift;
        if (byte < 0x80) break;
      }
    }
    this.#value = value;
    return at;
  }

  /** Reads the string at `from` (RFC 7541 5.2), into `to` from `where` on if need be; returns where the next thing begins, or -1. */
  #string(memory: Memory, from: number, end: number, to: Memory, where: number): number {
    const huffman = memory.view.getUint8(from) >= 0x80;
    const at = this.#integer(memory.view, from, end, 7);
    const length = this.#value;
    if (at < 0 || length > end - at) return -1;
    return this.#text(memory, at, length, huffman, to, where) ? at + length : -1;
  }

  /**
   * A string's octets are at `at`: #memory, #at and #length say where its text is - in `to` from `where` on when it was
   * Huffman coded, else where it came from. False: that is not how Huffman codes are.
   */
  #text(memory: Memory, at: number, length: number, huffman: boolean, to: Memory, where: number): boolean {
    if (!huffman) {
      this.#memory = memory;
      this.#at = at;
      this.#length = length;
      return true;
    }
    const last = huffmanDecode(memory, at, length, to, where);
    if (last < 0) return false;
    this.#memory = to;
    this.#at = where;
    this.#length = last - where;
    return true;
  }
}

/** Lower case, and no character that names do not have (RFC 9113 8.2.1); a colon in front makes a pseudo-header field. */
function isName(view: DataView, at: number, length: number): boolean {
  for (let i = 0; i < length; i++) {
    const c = view.getUint8(at + i);
    if (c <= 32 || c >= 127 || (c >= 65 && c <= 90) || (c === COLON && i > 0)) return false;
  }
  return true;
}

function copy(from: Memory, at: number, to: Memory, where: number, length: number): void {
  if (length > SHORT_COPY) {
    from.buf.copy(to.buf, where, at, at + length);
    return;
  }
  for (let i = 0; i < length; i++) to.view.setUint8(where + i, from.view.getUint8(at + i));
}
