/**
 * Which pieces the field values and targets of a sealed segment may have, so that a search for a piece that is in none of them does not
 * read a day of values. Two tables of bits, in a file beside the Parquet:
 *
 * - Trigrams that begin at every second byte of a value: a piece of 4 bytes has one that begins there, wherever it lies. They rule out words among hexadecimal ids.
 * - Grams of 8 bytes that begin at every fourth: for a piece of 11 bytes the same. They rule out ids (a trace among traces), whose trigrams are everywhere.
 *
 * The texts are sampled and a piece is asked for at each place it may lie at, instead of the other way round, because writing is what
 * every call pays for. (Sampled q-grams: Sutinen, Tarhio: On Using q-gram Locations in Approximate String Matching, 1995.)
 *
 * The file: magic, words of either table, the trigrams, a checksum, then pages of grams with a checksum each. A filter that is missing or damaged
 * excludes nothing.
 */
import { fstatSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { mayUnless, readAt } from './filter-file.ts';
import { release } from './parquet/grown.ts';

const MAGIC = Buffer.from('HWPIECE1');
const HEAD_BYTES = MAGIC.length + 8;
const CHECKSUM_BYTES = 4;
const PAGE_WORDS = 1_024;
/** A flood of values makes a table less exact, not larger: 32 KiB and 1 MiB. */
const TRIGRAM_WORDS_MAX = 1 << 13;
const GRAM_WORDS_MAX = 1 << 18;
const WORDS_MIN = 1 << 6;
/** A table is folded until more of its bits than this would be set. */
const TRIGRAM_FILL = 1 / 32;
const GRAM_FILL = 0.55;
const TRIGRAM = 3;
const TRIGRAM_STEP = 2;
const GRAM = 8;
const GRAM_STEP = 4;
/** Of a long piece no more are asked for at each place: these rule out what can be ruled out. */
const ASKED_MAX = 64;

const trigramHash = (three: number): number => {
  const h = Math.imul(three, 0x9e3779b1);
  return h ^ (h >>> 15);
};
const gramHash = (first: number, second: number): number => {
  const h = Math.imul(Math.imul(first, 0xcc9e2d51) ^ second ^ (first >>> 17), 0x85ebca6b);
  return Math.imul(h ^ (h >>> 15), 0xc2b2ae35);
};
/** Both bits of a gram lie in one word. */
const gramBits = (hash: number): number => (1 << (hash & 31)) | (1 << (hash >>> 27));

/** A piece of a field value or of a target. */
export interface Piece {
  readonly type: 'piece';
  readonly text: string;
  /** The value begins with it. */
  readonly first: boolean;
}

/** The pieces of what a segment has. */
export class PieceTables {
  readonly #trigrams = new Int32Array(TRIGRAM_WORDS_MAX);
  readonly #grams = new Int32Array(GRAM_WORDS_MAX);

  add(value: Buffer): void {
    this.addPart(new DataView(value.buffer, value.byteOffset, value.length), 0, value.length);
  }

  /** The value in [from, to). */
  addPart(view: DataView, from: number, to: number): void {
    const trigrams = this.#trigrams;
    const grams = this.#grams;
    let at = from;
    // Eight bytes give a gram and the two trigrams that begin in its first half.
    if (to - at >= GRAM) {
      let first = view.getInt32(at, true);
      for (; at + GRAM <= to; at += GRAM_STEP) {
        const second = view.getInt32(at + 4, true);
        const hash = gramHash(first, second);
        grams[(hash >>> 5) & (GRAM_WORDS_MAX - 1)]! |= gramBits(hash);
        const one = trigramHash(first & 0xffffff);
        trigrams[(one >>> 5) & (TRIGRAM_WORDS_MAX - 1)]! |= 1 << (one & 31);
        const two = trigramHash((first >>> 16) | ((second & 0xff) << 16));
        trigrams[(two >>> 5) & (TRIGRAM_WORDS_MAX - 1)]! |= 1 << (two & 31);
        first = second;
      }
    }
    for (; at + TRIGRAM <= to; at += TRIGRAM_STEP) {
      const one = trigramHash(view.getUint16(at, true) | (view.getUint8(at + 2) << 16));
      trigrams[(one >>> 5) & (TRIGRAM_WORDS_MAX - 1)]! |= 1 << (one & 31);
    }
  }

  /** The filter: its whole file. */
  file(): Buffer {
    const trigrams = folded(this.#trigrams, TRIGRAM_FILL);
    const grams = folded(this.#grams, GRAM_FILL);
    const head = Buffer.alloc(HEAD_BYTES);
    MAGIC.copy(head);
    head.writeUInt32LE(trigrams.length, MAGIC.length);
    head.writeUInt32LE(grams.length, MAGIC.length + 4);
    const parts: Buffer[] = [];
    const put = (...checked: readonly Buffer[]): void => {
      const checksum = Buffer.alloc(CHECKSUM_BYTES);
      checksum.writeUInt32LE(checked.reduce((sum, bytes) => crc32(bytes, sum), 0));
      parts.push(...checked, checksum);
    };
    put(head, bytesOf(trigrams));
    for (let at = 0; at < grams.length; at += PAGE_WORDS) put(bytesOf(grams.subarray(at, at + PAGE_WORDS)));
    const file = Buffer.concat(parts);
    release(this.#trigrams);
    release(this.#grams);
    return file;
  }
}

const bytesOf = (words: Int32Array): Buffer => Buffer.from(words.buffer, words.byteOffset, words.byteLength);

/** Halves are laid over each other as long as few enough bits are set: what it has been asked for stays there. */
function folded(table: Int32Array, fill: number): Int32Array {
  let words = table;
  for (;;) {
    const half = words.length / 2;
    const free = 1 - setShare(words);
    if (half < WORDS_MIN || 1 - free * free > fill) return words;
    for (let i = 0; i < half; i++) words[i]! |= words[half + i]!;
    words = words.subarray(0, half);
  }
}

function setShare(words: Int32Array): number {
  let bits = 0;
  for (let word of words) {
    word -= (word >>> 1) & 0x55555555;
    word = (word & 0x33333333) + ((word >>> 2) & 0x33333333);
    bits += Math.imul((word + (word >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
  }
  return bits / (words.length * 32);
}

/** Whether a value or a target in the segment of this filter may have the piece: false is certain. */
export function mayHavePiece(path: string, { text, first }: Piece): boolean {
  const piece = Buffer.from(text);
  // Nothing is known of so short ones.
  if (piece.length < (first ? TRIGRAM : TRIGRAM + TRIGRAM_STEP - 1)) return true;
  return mayUnless(path, (fd) => {
    const filter = PieceFilter.open(fd);
    return filter === null || (filter.trigrams(piece, first) && filter.grams(piece, first));
  });
}

class PieceFilter {
  readonly #fd: number;
  readonly #trigrams: Buffer;
  readonly #gramWords: number;
  readonly #pages = new Map<number, Buffer | null>();

  private constructor(fd: number, trigrams: Buffer, gramWords: number) {
    this.#fd = fd;
    this.#trigrams = trigrams;
    this.#gramWords = gramWords;
  }

  /** Null: it is none, or damaged. */
  static open(fd: number): PieceFilter | null {
    const head = readAt(fd, 0, HEAD_BYTES);
    if (head?.subarray(0, MAGIC.length).equals(MAGIC) !== true) return null;
    const [trigramWords, gramWords] = [head.readUInt32LE(MAGIC.length), head.readUInt32LE(MAGIC.length + 4)];
    if (!isSize(trigramWords, TRIGRAM_WORDS_MAX) || !isSize(gramWords, GRAM_WORDS_MAX)) return null;
    const checked = HEAD_BYTES + trigramWords * 4;
    const pages = Math.ceil(gramWords / PAGE_WORDS);
    if (fstatSync(fd).size !== checked + gramWords * 4 + (1 + pages) * CHECKSUM_BYTES) return null;
    const bytes = readChecked(fd, 0, checked);
    return bytes === null ? null : new PieceFilter(fd, bytes.subarray(HEAD_BYTES), gramWords);
  }

  trigrams(piece: Buffer, first: boolean): boolean {
    const mask = this.#trigrams.length / 4 - 1;
    return somewhere(piece, first, TRIGRAM, TRIGRAM_STEP, (at) => {
      const hash = trigramHash(piece.readUIntLE(at, TRIGRAM));
      return (this.#trigrams.readInt32LE(((hash >>> 5) & mask) * 4) & (1 << (hash & 31))) !== 0;
    });
  }

  grams(piece: Buffer, first: boolean): boolean {
    return somewhere(piece, first, GRAM, GRAM_STEP, (at) => {
      const hash = gramHash(piece.readInt32LE(at), piece.readInt32LE(at + 4));
      const word = (hash >>> 5) & (this.#gramWords - 1);
      const page = this.#page(Math.floor(word / PAGE_WORDS));
      const bits = gramBits(hash);
      return page === null || (page.readInt32LE((word % PAGE_WORDS) * 4) & bits) === bits;
    });
  }

  /** Null: it is damaged. */
  #page(page: number): Buffer | null {
    let bytes = this.#pages.get(page);
    if (bytes === undefined) {
      const words = Math.min(PAGE_WORDS, this.#gramWords);
      const begin = HEAD_BYTES + this.#trigrams.length + CHECKSUM_BYTES;
      bytes = readChecked(this.#fd, begin + page * (words * 4 + CHECKSUM_BYTES), words * 4);
      this.#pages.set(page, bytes);
    }
    return bytes;
  }
}

/** Whether at one place that the piece may lie at, all its grams that begin at sampled bytes are there. */
function somewhere(piece: Buffer, first: boolean, size: number, step: number, has: (at: number) => boolean): boolean {
  const places = first ? 1 : step;
  for (let place = 0; place < places; place++) {
    let all = true;
    for (let at = place, n = 0; all && at + size <= piece.length && n < ASKED_MAX; at += step, n++) all = has(at);
    if (all) return true;
  }
  return false;
}

const isSize = (words: number, most: number): boolean =>
  words >= WORDS_MIN && words <= most && (words & (words - 1)) === 0;

/** Bytes that are followed by their checksum; null: they are not as they were written. */
function readChecked(fd: number, from: number, length: number): Buffer | null {
  const bytes = readAt(fd, from, length + CHECKSUM_BYTES);
  if (bytes === null) return null;
  const body = bytes.subarray(0, length);
  return crc32(body) === bytes.readUInt32LE(length) ? body : null;
}
