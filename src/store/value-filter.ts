/**
 * Which field values, field names and targets a sealed segment may have: a split-block Bloom filter (Putze, Sanders, Singler: Cache-, Hash- and
 * Space-Efficient Bloom Filters, 2007; parquet-format, BloomFilter.md) in a file beside its Parquet, so that a search for a
 * request id opens the segment that has it and not the day. Parquet's own filter is not used: no reader asks it about the
 * elements of a list, and its hash is one of 64 bits, which costs more here than all the rest.
 *
 * The file: magic and the number of pages, then pages of BLOCKS_A_PAGE blocks with a checksum each. A question reads one page. A filter that is missing or
 * damaged excludes nothing.
 */
import { fstatSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { mayUnless, readAt } from './filter-file.ts';
import { grown, release } from './parquet/grown.ts';

const MAGIC = Buffer.from('HWVALUE1');
/** Magic, then the number of pages. */
const HEAD_BYTES = MAGIC.length + 4;
const BLOCK_BYTES = 32;
const BLOCKS_A_PAGE = 127;
const CHECKSUM_BYTES = 4;
const PAGE_BYTES = BLOCKS_A_PAGE * BLOCK_BYTES + CHECKSUM_BYTES;
/** One segment in 200 is opened for nothing. */
const BITS_A_VALUE = 12;
/** A flood of values that never repeat makes the filter less exact, not larger. */
const PAGES_MAX = 512;
const TWO32 = 2 ** 32;
/** Odd numbers, one for each word of a block (BloomFilter.md). */
const SALT = new Int32Array([
  0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d, 0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31,
]);

const rotated = (x: number, by: number): number => (x << by) | (x >>> (32 - by));
const mixed = (x: number): number => {
  let h = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
};

/** MurmurHash3 x86_32 (Appleby) of `length` bytes at `at`: who makes values collide gets slow searches of his own calls. */
export function hashOf(view: DataView, at: number, length: number): number {
  let h = 0;
  let i = at;
  for (const end = at + (length & ~3); i < end; i += 4) {
    const k = Math.imul(view.getInt32(i, true), 0xcc9e2d51);
    h = (Math.imul(rotated(h ^ Math.imul(rotated(k, 15), 0x1b873593), 13), 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  for (let shift = 0; i < at + length; i++, shift += 8) tail |= view.getUint8(i) << shift;
  if (tail !== 0) h ^= Math.imul(rotated(Math.imul(tail, 0xcc9e2d51), 15), 0x1b873593);
  return mixed(h ^ length);
}

function hashOfText(text: string): number {
  const bytes = Buffer.from(text);
  return hashOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), 0, bytes.length);
}

/** What a filter can be asked for. */
export type Sought =
  /** A value of any field, or a whole target. */
  | { readonly type: 'text'; readonly text: string }
  /** A field of a message, by its name in lower case. */
  | { readonly type: 'name'; readonly part: 'request' | 'response'; readonly name: string }
  /** A target that does not begin with "/". */
  | { readonly type: 'other_form' };

/** None of these texts is a field value or a target: they have a line feed in them. */
const keyOf = (sought: Sought): string =>
  sought.type === 'text' ? sought.text : sought.type === 'name' ? `\n${sought.part}\n${sought.name}` : '\n';

const blockOf = (hash: number, blocks: number): number => Math.floor(((hash >>> 0) * blocks) / TWO32);

/** Hashes of what a segment has. */
export class ValueHashes {
  #hashes = new Int32Array(1 << 12);
  #count = 0;

  room(more: number): void {
    const wanted = this.#count + more;
    if (wanted > this.#hashes.length) this.#hashes = grown(this.#hashes, wanted);
  }

  add(sought: Sought): void {
    this.room(1);
    this.addHash(hashOfText(keyOf(sought)));
  }

  /** A value by its `hashOf`; there must be room. */
  addHash(hash: number): void {
    this.#hashes[this.#count++] = hash;
  }

  /** The filter: its whole file. */
  file(): Buffer {
    const bits = this.#distinct() * BITS_A_VALUE;
    const pages = Math.min(PAGES_MAX, Math.max(1, Math.ceil(bits / (BLOCKS_A_PAGE * BLOCK_BYTES * 8))));
    const blocks = pages * BLOCKS_A_PAGE;
    const words = new Int32Array(blocks * SALT.length);
    for (let n = 0; n < this.#count; n++) {
      const hash = this.#hashes[n]!;
      const at = blockOf(hash, blocks) * SALT.length;
      const key = mixed(hash ^ KEY);
      for (let w = 0; w < SALT.length; w++) words[at + w]! |= 1 << (Math.imul(key, SALT[w]!) >>> 27);
    }
    const from = Buffer.from(words.buffer);
    const file = Buffer.alloc(HEAD_BYTES + pages * PAGE_BYTES);
    MAGIC.copy(file);
    file.writeUInt32LE(pages, MAGIC.length);
    for (let page = 0; page < pages; page++) {
      const body = from.subarray(page * BLOCKS_A_PAGE * BLOCK_BYTES, (page + 1) * BLOCKS_A_PAGE * BLOCK_BYTES);
      const at = HEAD_BYTES + page * PAGE_BYTES;
      body.copy(file, at);
      file.writeUInt32LE(crc32(body), at + body.length);
    }
    release(words);
    release(this.#hashes);
    return file;
  }

  /** About how many differ: linear counting (Whang, 1990), by the zeros left in a map of as many bits as a segment has values. */
  #distinct(): number {
    const bits = 1 << 20;
    const map = new Int32Array(bits >>> 5);
    let zeros = bits;
    for (let n = 0; n < this.#count; n++) {
      const bit = this.#hashes[n]! >>> 12;
      const mask = 1 << (bit & 31);
      const word = map[bit >>> 5]!;
      if ((word & mask) !== 0) continue;
      map[bit >>> 5] = word | mask;
      zeros--;
    }
    return zeros === 0 ? this.#count : Math.min(this.#count, Math.ceil(-bits * Math.log(zeros / bits)));
  }
}
/** Makes the bits within a block independent of which block it is. */
const KEY = 0x9e3779b9 | 0;

/** Whether the segment of this filter may have it: false is certain. */
export function mayHave(path: string, sought: Sought): boolean {
  return mayUnless(path, (fd) => {
    const head = readAt(fd, 0, HEAD_BYTES);
    const pages = head?.subarray(0, MAGIC.length).equals(MAGIC) === true ? head.readUInt32LE(MAGIC.length) : 0;
    if (pages === 0 || fstatSync(fd).size !== HEAD_BYTES + pages * PAGE_BYTES) return true;
    const hash = hashOfText(keyOf(sought));
    const block = blockOf(hash, pages * BLOCKS_A_PAGE);
    const page = readAt(fd, HEAD_BYTES + Math.floor(block / BLOCKS_A_PAGE) * PAGE_BYTES, PAGE_BYTES);
    if (page === null || crc32(page.subarray(0, -CHECKSUM_BYTES)) !== page.readUInt32LE(PAGE_BYTES - CHECKSUM_BYTES))
      return true;
    const at = (block % BLOCKS_A_PAGE) * BLOCK_BYTES;
    const key = mixed(hash ^ KEY);
    for (let w = 0; w < SALT.length; w++) {
      if ((page.readInt32LE(at + w * 4) & (1 << (Math.imul(key, SALT[w]!) >>> 27))) === 0) return false;
    }
    return true;
  });
}
