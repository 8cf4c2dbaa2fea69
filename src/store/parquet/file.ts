/**
 * Writes a Parquet file: data pages v1, zstd. The store writes its files itself because its rows are columns
 * already: through a database they would be copied into a table, out of it and into pages, at several times the price
 * (docs/decisions). Source: apache/parquet-format, README.md, Encodings.md, parquet.thrift.
 */
import { constants, zstdCompressSync } from 'node:zlib';
import { type Column, PLAIN, RLE } from './columns.ts';
import { PageBuffer } from './page.ts';
import { CompactWriter, T_BINARY, T_I32, T_STRUCT } from './thrift.ts';

const MAGIC = Buffer.from('PAR1');
const PAGE_ROWS = 16_384;
/** About as much text in a page, so that neither writing nor reading one takes much memory. */
const PAGE_BYTES = 2 << 20;
const ZSTD_CODEC = 6;
const DATA_PAGE = 0;
const DICTIONARY_PAGE = 2;
/** ConvertedType numbers of parquet.thrift. */
const UTF8 = 0;
const LIST = 3;
const TIMESTAMP_MILLIS = 9;
const REQUIRED = 0;
const OPTIONAL = 1;
const REPEATED = 2;
/** Ids do not compress beyond their digits: higher levels take longer and save nothing. The checksum turns damage into an error instead of a wrong value. */
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_checksumFlag]: 1 } };
/** Kept between files: it grows to the size of the largest page, which is little more than PAGE_BYTES, a value, or a dictionary. */
const page = new PageBuffer();

interface Chunk {
  readonly column: Column;
  readonly dictionaryAt: number | null;
  readonly dataAt: number;
  readonly values: number;
  readonly bytes: number;
  readonly plainBytes: number;
  readonly nulls: number;
  readonly bounds: ReturnType<Column['bounds']>;
}

/** Columns and values of one row group, as the footer tells of them. */
interface Group {
  readonly chunks: readonly Chunk[];
  readonly rows: number;
}

/** Writes a file piece by piece: `begin`, a `group` for each filling of the columns, `end`. */
export class ParquetWriter {
  readonly #columns: readonly Column[];
  readonly #groups: Group[] = [];
  #at = 0;

  /** All columns have the same rows whenever a group is written. */
  constructor(columns: readonly Column[]) {
    this.#columns = columns;
  }

  begin(): Buffer {
    this.#at = MAGIC.length;
    return MAGIC;
  }

  /**
   * The rows that the columns have now, in pieces that are made as they are asked for; the columns may be cleared afterwards. Without rows there is no group:
   * some readers refuse one.
   */
  *group(): Generator<Buffer> {
    const rows = this.#columns[0]!.rows;
    if (rows === 0) return;
    const chunks: Chunk[] = [];
    for (const column of this.#columns) chunks.push(yield* this.#chunk(column, rows));
    this.#groups.push({ chunks, rows });
  }

  /** `metadata` are key-value pairs of the footer. */
  end(metadata: Readonly<Record<string, string>>): Buffer[] {
    const footer = fileMetaData(this.#columns, this.#groups, metadata);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(footer.length);
    return [footer, length, MAGIC];
  }

  *#chunk(column: Column, rows: number): Generator<Buffer, Chunk> {
    const start = this.#at;
    let plainBytes = 0;
    const packed = (type: number, values: number): Buffer[] => {
      const body = compressed(page.view());
      const header = pageHeader(type, column, values, page.length, body.length);
      this.#at += header.length + body.length;
      plainBytes += header.length + page.length;
      page.clear();
      return [header, body];
    };
    const entries = column.dictionary(page);
    if (entries !== null) yield* packed(DICTIONARY_PAGE, entries);
    const dataAt = this.#at;
    let values = 0;
    const step = pageRows(column, rows);
    for (let from = 0; from < rows; from += step) {
      const n = column.page(page, from, Math.min(rows, from + step));
      values += n;
      yield* packed(DATA_PAGE, n);
    }
    return {
      column,
      dictionaryAt: entries === null ? null : start,
      dataAt,
      values,
      bytes: this.#at - start,
      plainBytes,
      nulls: column.nulls(),
      bounds: column.bounds(),
    };
  }
}

/**
 * One piece of output that holds the page however little it gives way (ZSTD_COMPRESSBOUND of zstd.h): zstd then compresses in one go and straight into it,
 * for two thirds of the time. What a large one does not need of it goes back at once.
 */
function compressed(plain: Buffer): Buffer {
  const chunkSize = plain.length + (plain.length >>> 8) + 64;
  const body = zstdCompressSync(plain, { ...ZSTD, chunkSize });
  const { buffer } = body;
  if (buffer.byteLength !== chunkSize || !(buffer instanceof ArrayBuffer)) return body;
  return Buffer.from(buffer.transfer(body.length));
}

/** Rows a page: fewer where each has much text. */
const pageRows = ({ bytes, uniform }: Column, rows: number): number =>
  uniform ? rows : Math.max(1, Math.min(PAGE_ROWS, Math.floor((rows * PAGE_BYTES) / Math.max(1, bytes))));

/** The whole file in pieces, in order: one row group. `metadata` are key-value pairs of the footer. */
export function* parquetFile(
  columns: readonly Column[],
  metadata: Readonly<Record<string, string>>,
): Generator<Buffer> {
  const writer = new ParquetWriter(columns);
  yield writer.begin();
  yield* writer.group();
  yield* writer.end(metadata);
}

function pageHeader(type: number, column: Column, values: number, plain: number, packed: number): Buffer {
  const w = new CompactWriter().begin().i32(1, type).i32(2, plain).i32(3, packed);
  if (type === DICTIONARY_PAGE) w.struct(7, () => w.i32(1, values).i32(2, PLAIN));
  else w.struct(5, () => w.i32(1, values).i32(2, column.encoding).i32(3, RLE).i32(4, RLE));
  return w.end().finish();
}

function fileMetaData(
  columns: readonly Column[],
  groups: readonly Group[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  const w = new CompactWriter().begin();
  w.i32(1, 2);
  const elements = 1 + columns.reduce((sum, { meaning }) => sum + (meaning === 'texts' ? 3 : 1), 0);
  w.list(2, T_STRUCT, elements, () => {
    w.begin().binary(4, 'schema').i32(5, columns.length).end();
    for (const column of columns) schemaElements(w, column);
  });
  w.i64(
    3,
    groups.reduce((sum, { rows }) => sum + rows, 0),
  );
  w.list(4, T_STRUCT, groups.length, () => {
    for (const { chunks, rows } of groups) {
      w.begin();
      w.list(1, T_STRUCT, chunks.length, () => {
        for (const chunk of chunks) columnChunk(w, chunk);
      });
      w.i64(
        2,
        chunks.reduce((sum, { plainBytes }) => sum + plainBytes, 0),
      );
      w.i64(3, rows).end();
    }
  });
  const pairs = Object.entries(metadata);
  w.list(5, T_STRUCT, pairs.length, () => {
    for (const [key, value] of pairs) w.begin().binary(1, key).binary(2, value).end();
  });
  w.binary(6, 'headwater');
  // Bounds are those of the type's own order (ColumnOrder TYPE_ORDER): without it readers pass over them.
  w.list(7, T_STRUCT, columns.length, () => {
    for (const _ of columns)
      w.begin()
        .struct(1, () => {})
        .end();
  });
  return w.end().finish();
}

function schemaElements(w: CompactWriter, column: Column): void {
  const { name, meaning } = column;
  if (meaning === 'texts') {
    w.begin().i32(3, REQUIRED).binary(4, name).i32(5, 1).i32(6, LIST);
    w.struct(10, () => w.struct(3, () => {})).end();
    w.begin().i32(3, REPEATED).binary(4, 'list').i32(5, 1).end();
    w.begin().i32(1, column.physical).i32(3, REQUIRED).binary(4, 'element').i32(6, UTF8);
    w.struct(10, () => w.struct(1, () => {})).end();
    return;
  }
  w.begin()
    .i32(1, column.physical)
    .i32(3, column.optional ? OPTIONAL : REQUIRED)
    .binary(4, name);
  if (meaning === 'text') w.i32(6, UTF8).struct(10, () => w.struct(1, () => {}));
  if (meaning === 'timestamp_ns') timestamp(w, 3);
  if (meaning === 'timestamp_ms') {
    w.i32(6, TIMESTAMP_MILLIS);
    timestamp(w, 1);
  }
  w.end();
}

/** LogicalType TIMESTAMP without a zone; the docs say that it is UTC. DuckDB keeps nanoseconds only so. */
function timestamp(w: CompactWriter, unit: number): void {
  w.struct(10, () => w.struct(8, () => w.bool(1, false).struct(2, () => w.struct(unit, () => {}))));
}

function columnChunk(w: CompactWriter, chunk: Chunk): void {
  const { column, dictionaryAt, dataAt, values, bytes, plainBytes, nulls, bounds } = chunk;
  w.begin().i64(2, dictionaryAt ?? dataAt);
  w.struct(3, () => {
    w.i32(1, column.physical);
    const encodings = [column.encoding, RLE, ...(dictionaryAt === null ? [] : [PLAIN])];
    w.list(2, T_I32, encodings.length, () => {
      for (const encoding of encodings) w.element(encoding);
    });
    const path = column.meaning === 'texts' ? [column.name, 'list', 'element'] : [column.name];
    w.list(3, T_BINARY, path.length, () => {
      for (const part of path) w.item(part);
    });
    w.i32(4, ZSTD_CODEC).i64(5, values).i64(6, plainBytes).i64(7, bytes).i64(9, dataAt);
    if (dictionaryAt !== null) w.i64(11, dictionaryAt);
    w.struct(12, () => {
      w.i64(3, nulls);
      if (bounds !== null) w.binary(5, bounds[1]).binary(6, bounds[0]);
    });
  });
  w.end();
}
