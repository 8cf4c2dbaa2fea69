/**
 * Reads the Parquet files that file.ts writes, and no others: one row group, its encodings. For what needs no database. Never
 * throws on any bytes: what cannot be read is null.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { BYTE_ARRAY, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, INT64, RLE_DICTIONARY } from './columns.ts';
import { type CompactStruct, readStruct } from './thrift.ts';

const MAGIC = 0x31524150;
const TAIL_BYTES = 8;
const FOOTER_BYTES_MAX = 1 << 20;
/** A segment's bytes, and what its lengths add. */
const PAGE_BYTES_MAX = 256 << 20;
/** Least that zlib takes. */
const CHUNK_BYTES_MIN = 64;
const DELTA_BLOCK = 128;
const MINIBLOCK = 32;

interface ChunkPlace {
  readonly physical: number;
  readonly from: number;
  readonly bytes: number;
  readonly least: Buffer | null;
  readonly most: Buffer | null;
}

export class ParquetFile {
  readonly rows: number;
  /** Key-value pairs of the footer. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #path: string;
  readonly #chunks: ReadonlyMap<string, ChunkPlace>;

  private constructor(
    path: string,
    rows: number,
    chunks: ReadonlyMap<string, ChunkPlace>,
    metadata: ReadonlyMap<string, string>,
  ) {
    this.#path = path;
    this.rows = rows;
    this.#chunks = chunks;
    this.metadata = metadata;
  }

  /** Reads the footer; null: it is no such file, or damaged, or gone. */
  static open(path: string): ParquetFile | null {
    const footer = withFile(path, (fd, size) => {
      const tail = part(fd, size - TAIL_BYTES, TAIL_BYTES);
      if (tail === null || tail.readUInt32LE(4) !== MAGIC) return null;
      const length = tail.readUInt32LE(0);
      return length > FOOTER_BYTES_MAX ? null : part(fd, size - TAIL_BYTES - length, length);
    });
    const meta = footer === null ? null : readStruct(footer);
    if (meta === null) return null;
    const rows = numberOf(meta.get(3));
    const groups = meta.get(4);
    if (rows === null || !Array.isArray(groups)) return null;
    const chunks = new Map<string, ChunkPlace>();
    for (const column of groups.length === 1 ? listOf(structOf(groups[0])?.get(1)) : []) {
      const about = structOf(structOf(column)?.get(3));
      const name = listOf(about?.get(3))[0];
      const [physical, bytes, data] = [1, 7, 9].map((field) => numberOf(about?.get(field)));
      const from = numberOf(about?.get(11)) ?? data ?? null;
      if (!(name instanceof Buffer) || physical == null || bytes == null || from === null) return null;
      const bounds = structOf(about?.get(12));
      const [most, least] = [5, 6].map((field) => bounds?.get(field));
      chunks.set(name.toString('latin1'), {
        physical,
        from,
        bytes,
        least: least instanceof Buffer ? least : null,
        most: most instanceof Buffer ? most : null,
      });
    }
    const metadata = new Map<string, string>();
    for (const pair of listOf(meta.get(5)).map(structOf)) {
      const [key, value] = [pair?.get(1), pair?.get(2)];
      if (key instanceof Buffer && value instanceof Buffer) metadata.set(key.toString(), value.toString());
    }
    return new ParquetFile(path, rows, chunks, metadata);
  }

  /** Least and largest value of a column of INT64; null: it has none. */
  bounds(name: string): readonly [number, number] | null {
    const exact = this.wideBounds(name);
    return exact === null ? null : [Number(exact[0]), Number(exact[1])];
  }

  /** The same beyond 2^53. */
  wideBounds(name: string): readonly [bigint, bigint] | null {
    const chunk = this.#chunks.get(name);
    if (chunk?.physical !== INT64 || chunk.least?.length !== 8 || chunk.most?.length !== 8) return null;
    return [chunk.least.readBigInt64LE(), chunk.most.readBigInt64LE()];
  }

  /** Values of an optional column of INT64, less `base`; NaN: there is none. */
  optionalNumbers(name: string, base: bigint): number[] | null {
    const values: number[] = [];
    const read = this.#pages(name, INT64, (page, encoding, count) => {
      const present = page.levels(count);
      const some: number[] = [];
      if (present === null || encoding !== DELTA_BINARY_PACKED || !page.deltas(some, base)) return false;
      let next = 0;
      for (const there of present) values.push(there ? (some[next++] ?? Number.NaN) : Number.NaN);
      return next === some.length;
    });
    return read && values.length === this.rows ? values : null;
  }

  /** Values of a required column of INT64. */
  numbers(name: string): number[] | null {
    const values: number[] = [];
    const read = this.#pages(name, INT64, (page, encoding, count) => {
      const from = values.length;
      return encoding === DELTA_BINARY_PACKED && page.deltas(values) && values.length === from + count;
    });
    return read && values.length === this.rows ? values : null;
  }

  /** Values of a required column of texts or bytes; they share memory. */
  bytes(name: string): Buffer[] | null {
    const values: Buffer[] = [];
    let words: Buffer[] = [];
    const read = this.#pages(
      name,
      BYTE_ARRAY,
      (page, encoding, count) => {
        const from = values.length;
        const good =
          encoding === DELTA_LENGTH_BYTE_ARRAY
            ? page.texts(values)
            : encoding === RLE_DICTIONARY && page.indices(words, count, values);
        return good && values.length === from + count;
      },
      (page, count) => {
        words = page.plain(count);
        return words.length === count;
      },
    );
    return read && values.length === this.rows ? values : null;
  }

  #pages(
    name: string,
    physical: number,
    data: (page: PageReader, encoding: number, count: number) => boolean,
    dictionary: (page: PageReader, count: number) => boolean = () => false,
  ): boolean {
    if (this.rows === 0) return true;
    const chunk = this.#chunks.get(name);
    if (chunk?.physical !== physical) return false;
    const bytes = withFile(this.#path, (fd) =>
      chunk.bytes > PAGE_BYTES_MAX ? null : part(fd, chunk.from, chunk.bytes),
    );
    if (bytes === null) return false;
    for (let at = 0; at < bytes.length; ) {
      const header = readStruct(bytes, at);
      if (header === null) return false;
      const [plain, packed] = [2, 3].map((field) => numberOf(header.get(field)));
      const words = structOf(header.get(7));
      const values = structOf(header.get(5));
      const count = numberOf((words ?? values)?.get(1));
      const start = header.end;
      if (plain == null || packed == null || count == null || plain > PAGE_BYTES_MAX || start + packed > bytes.length)
        return false;
      const body = unpacked(bytes.subarray(start, start + packed), plain);
      if (body === null) return false;
      const page = new PageReader(body);
      if (!(words === undefined ? data(page, numberOf(values?.get(2)) ?? -1, count) : dictionary(page, count)))
        return false;
      at = start + packed;
    }
    return true;
  }
}

function withFile<T>(path: string, read: (fd: number, size: number) => T | null): T | null {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch {
    return null;
  }
  try {
    return read(fd, fstatSync(fd).size);
  } catch {
    return null;
  } finally {
    closeSync(fd);
  }
}

/** Bytes [from, from + length) of a file; null: it has not so many. */
function part(fd: number, from: number, length: number): Buffer | null {
  if (from < 0 || length < 0) return null;
  const bytes = Buffer.allocUnsafeSlow(length);
  return readSync(fd, bytes, 0, length, from) === length ? bytes : null;
}

function unpacked(bytes: Buffer, plain: number): Buffer | null {
  try {
    // In one piece: pieces of the usual size are put together afterwards.
    const chunkSize = Math.max(CHUNK_BYTES_MIN, plain);
    const body = zstdDecompressSync(bytes, { maxOutputLength: Math.max(1, plain), chunkSize });
    return body.length === plain ? body : null;
  } catch {
    return null;
  }
}

const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const structOf = (value: unknown): CompactStruct | undefined =>
  value instanceof Map ? (value as CompactStruct) : undefined;

/** The body of a page. What it lacks shows in fewer values than were said. */
class PageReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Length, then bytes, of each. */
  plain(count: number): Buffer[] {
    const values: Buffer[] = [];
    while (values.length < count && this.#at + 4 <= this.#bytes.length) {
      const length = this.#bytes.readUInt32LE(this.#at);
      const end = this.#at + 4 + length;
      if (end > this.#bytes.length) break;
      values.push(this.#bytes.subarray(this.#at + 4, end));
      this.#at = end;
    }
    return values;
  }

  texts(into: Buffer[]): boolean {
    const lengths: number[] = [];
    if (!this.deltas(lengths)) return false;
    for (const length of lengths) {
      const end = this.#at + length;
      if (length < 0 || end > this.#bytes.length) return false;
      into.push(this.#bytes.subarray(this.#at, end));
      this.#at = end;
    }
    return true;
  }

  /** Indices into `words`. */
  indices(words: readonly Buffer[], count: number, into: Buffer[]): boolean {
    const width = this.#bytes[this.#at++];
    if (width === undefined || width > 32) return false;
    return this.#hybrid(width, count, (index) => {
      const word = words[index];
      if (word === undefined) return false;
      into.push(word);
      return true;
    });
  }

  /** Definition levels of an optional column: whether each row has a value. */
  levels(count: number): boolean[] | null {
    const present: boolean[] = [];
    if (this.#at + 4 > this.#bytes.length) return null;
    const end = this.#at + 4 + this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    const read = this.#hybrid(1, count, (level) => present.push(level === 1) > 0);
    return read && this.#at === end ? present : null;
  }

  /** `count` values of the hybrid of runs and groups of eight; `put` may refuse one. */
  #hybrid(width: number, count: number, put: (value: number) => boolean): boolean {
    for (let left = count; left > 0; ) {
      const head = this.#varint();
      if (head === null) return false;
      if (head % 2 === 0) {
        let index = 0;
        for (let shift = 0; shift < width; shift += 8) index += (this.#bytes[this.#at++] ?? 0) * 2 ** shift;
        const run = Math.min(head / 2, left);
        if (run === 0) return false;
        for (let i = 0; i < run; i++) if (!put(index)) return false;
        left -= run;
        continue;
      }
      const values = ((head - 1) / 2) * 8;
      const bits = new BitReader(this.#bytes, this.#at, width);
      this.#at += (values / 8) * width;
      if (this.#at > this.#bytes.length || values === 0) return false;
      for (let i = 0; i < values && left > 0; i++, left--) if (!put(bits.next())) return false;
    }
    return true;
  }

  /** Numbers less `base`. */
  deltas(into: number[], base = 0n): boolean {
    const [block, miniblocks, count] = [this.#varint(), this.#varint(), this.#varint()];
    const wide = this.#wideZigzag();
    const first = wide === null ? null : Number(wide - base);
    if (block !== DELTA_BLOCK || miniblocks !== DELTA_BLOCK / MINIBLOCK || count === null || first === null)
      return false;
    if (count === 0) return true;
    let value = first;
    into.push(value);
    for (let left = count - 1; left > 0; ) {
      const min = this.#zigzag();
      if (min === null || this.#at + miniblocks > this.#bytes.length) return false;
      const widths = this.#bytes.subarray(this.#at, this.#at + miniblocks);
      this.#at += miniblocks;
      for (let m = 0; m < miniblocks && left > 0; m++) {
        const width = widths[m]!;
        const bits = new BitReader(this.#bytes, this.#at, width);
        this.#at += (MINIBLOCK * width) / 8;
        if (width > 53 || this.#at > this.#bytes.length) return false;
        for (let i = 0; i < MINIBLOCK && left > 0; i++, left--) {
          value += min + bits.next();
          into.push(value);
        }
      }
    }
    return true;
  }

  /** null: there is none, or it is beyond 2^53. */
  #varint(): number | null {
    let value = 0;
    for (let factor = 1; factor <= 2 ** 49; factor *= 128) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return null;
      value += (byte & 127) * factor;
      if (byte < 128) return value <= Number.MAX_SAFE_INTEGER ? value : null;
    }
    return null;
  }

  #wideZigzag(): bigint | null {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) return null;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value & 1n ? -(value + 1n) / 2n : value / 2n;
    }
    return null;
  }

  #zigzag(): number | null {
    const value = this.#varint();
    return value === null ? null : value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/** Numbers of `width` bits, least bit first. */
class BitReader {
  readonly #bytes: Buffer;
  readonly #width: number;
  #at: number;
  #bit = 0;

  constructor(bytes: Buffer, at: number, width: number) {
    this.#bytes = bytes;
    this.#at = at;
    this.#width = width;
  }

  next(): number {
    let value = 0;
    for (let got = 0; got < this.#width; ) {
      const take = Math.min(8 - this.#bit, this.#width - got);
      value += (((this.#bytes[this.#at] ?? 0) >>> this.#bit) & ((1 << take) - 1)) * 2 ** got;
      got += take;
      this.#bit += take;
      if (this.#bit === 8) {
        this.#bit = 0;
        this.#at++;
      }
    }
    return value;
  }
}
