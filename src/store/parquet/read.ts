/**
 * Reads the Parquet files that file.ts writes, and no others: one row group, its encodings. For what needs no database. Never
 * throws on any bytes: what cannot be read is null.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { BYTE_ARRAY, DELTA_BINARY_PACKED, DELTA_LENGTH_BYTE_ARRAY, INT64, RLE_DICTIONARY } from './columns.ts';
import { PageReader } from './page-reader.ts';
import { type CompactStruct, readStruct } from './thrift.ts';

const MAGIC = 0x31524150;
const TAIL_BYTES = 8;
const FOOTER_BYTES_MAX = 1 << 20;
/** More than a file of ours ever has; a damaged footer names any number, and memory is taken for it. */
const FILE_ROWS_MAX = 1 << 26;
/** A segment's bytes, and what its lengths add. */
const PAGE_BYTES_MAX = 256 << 20;
/** Least that zlib takes. */
const CHUNK_BYTES_MIN = 64;

interface ChunkPlace {
  readonly physical: number;
  readonly from: number;
  readonly bytes: number;
  readonly least: Buffer | null;
  readonly most: Buffer | null;
}

/** A column of texts that repeat: each once, and which of them each row has. */
export interface Words {
  readonly texts: readonly string[];
  readonly of: Uint32Array;
}

export class ParquetFile {
  readonly rows: number;
  /** Key-value pairs of the footer. */
  readonly metadata: ReadonlyMap<string, string>;
  readonly #path: string;
  /** null: columns are read when they are asked for. */
  readonly #whole: Buffer | null;
  readonly #chunks: ReadonlyMap<string, ChunkPlace>;

  private constructor(
    path: string,
    whole: Buffer | null,
    rows: number,
    chunks: ReadonlyMap<string, ChunkPlace>,
    metadata: ReadonlyMap<string, string>,
  ) {
    this.#path = path;
    this.#whole = whole;
    this.rows = rows;
    this.#chunks = chunks;
    this.metadata = metadata;
  }

  /** Reads the footer; null: it is no such file, or damaged, or gone. */
  static open(path: string): ParquetFile | null {
    const footer = withFile(path, (fd, size) => {
      const tail = part(fd, size - TAIL_BYTES, TAIL_BYTES);
      const length = tail === null ? null : footerBytes(tail);
      return length === null ? null : part(fd, size - TAIL_BYTES - length, length);
    });
    return footer === null ? null : ParquetFile.#of(path, null, footer);
  }

  /** The same for who wants most of its columns: the file is read at once and stays in memory. */
  static read(path: string): ParquetFile | null {
    const whole = withFile(path, (fd, size) => (size > PAGE_BYTES_MAX ? null : part(fd, 0, size)));
    if (whole === null || whole.length < TAIL_BYTES) return null;
    const end = whole.length - TAIL_BYTES;
    const length = footerBytes(whole.subarray(end));
    return length === null || length > end ? null : ParquetFile.#of(path, whole, whole.subarray(end - length, end));
  }

  static #of(path: string, whole: Buffer | null, footer: Buffer): ParquetFile | null {
    const meta = readStruct(footer);
    if (meta === null) return null;
    const rows = numberOf(meta.get(3));
    const groups = meta.get(4);
    if (rows === null || rows < 0 || rows > FILE_ROWS_MAX || !Array.isArray(groups)) return null;
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
    return new ParquetFile(path, whole, rows, chunks, metadata);
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
            : encoding === RLE_DICTIONARY &&
              page.indices(count, (index) => index < words.length && values.push(words[index]!) > 0);
        return good && values.length === from + count;
      },
      (page, count) => {
        words = page.plain(count);
        return words.length === count;
      },
    );
    return read && values.length === this.rows ? values : null;
  }

  /** Values of a required column of texts that has a dictionary. */
  words(name: string): Words | null {
    const of = new Uint32Array(this.rows);
    const { physical, least, most } = this.#chunks.get(name) ?? {};
    // All are the same: the pages say no more.
    if (physical === BYTE_ARRAY && least && most?.equals(least)) return { texts: [least.toString()], of };
    let texts: string[] = [];
    let row = 0;
    const read = this.#pages(
      name,
      BYTE_ARRAY,
      (page, encoding, count) => {
        if (encoding !== RLE_DICTIONARY || row + count > of.length) return false;
        return page.indices(count, (index) => {
          of[row++] = index;
          return index < texts.length;
        });
      },
      (page, count) => {
        texts = page.plain(count).map(String);
        return texts.length === count;
      },
    );
    return read && row === of.length ? { texts, of } : null;
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
    const bytes = this.#bytesOf(chunk);
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

  #bytesOf({ from, bytes }: ChunkPlace): Buffer | null {
    const whole = this.#whole;
    if (from < 0 || bytes < 0 || bytes > PAGE_BYTES_MAX) return null;
    if (whole === null) return withFile(this.#path, (fd) => part(fd, from, bytes));
    return from + bytes > whole.length ? null : whole.subarray(from, from + bytes);
  }
}

/** Length of the footer, by what a file ends with; null: it is no Parquet file. */
function footerBytes(tail: Buffer): number | null {
  const length = tail.readUInt32LE(0);
  return tail.readUInt32LE(4) === MAGIC && length <= FOOTER_BYTES_MAX ? length : null;
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
