/**
 * DuckDB over the files of a data folder: nothing of it is kept, nothing is written, and it can open nothing but these files.
 * An instance lives in memory; what it may use is bounded.
 */
import type { DuckDBConnection, DuckDBInstance, DuckDBValue } from '@duckdb/node-api';

export interface DatabaseLimits {
  /** Memory that queries may use, bytes. */
  readonly memory: number;
  readonly threads: number;
}
export const DATABASE_LIMITS: DatabaseLimits = { memory: 160 << 20, threads: 2 };

/** A query that did not give an answer; `message` is for the user. */
export type QueryFailure =
  | { readonly type: 'timeout'; readonly message: string }
  | { readonly type: 'memory'; readonly message: string }
  /** The query's own fault: an unknown column, a wrong type, a statement that is not allowed. */
  | { readonly type: 'invalid'; readonly message: string }
  /** There is no store, or nothing that can read it. */
  | { readonly type: 'unavailable'; readonly message: string }
  /** A file of the store cannot be read. */
  | { readonly type: 'damaged'; readonly message: string };

export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: QueryFailure };

export interface Rows<V = DuckDBValue> {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly V[])[];
}

/**
 * Loads the library, which `open` does else: for a process that will not be allowed to read it later. It is 12 MB that whoever never opens a
 * database does without.
 */
export async function loadDatabase(): Promise<void> {
  await import('@duckdb/node-api');
}

export const quote = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export class Database {
  readonly #folders: readonly string[];
  readonly #limits: DatabaseLimits;
  #opened: Promise<{ readonly instance: DuckDBInstance; readonly connection: DuckDBConnection }> | null = null;

  /** `folders`: the only ones that it can read. It takes no memory until it is asked something. */
  constructor(folders: readonly string[], limits: DatabaseLimits) {
    this.#folders = folders;
    this.#limits = limits;
  }

  async #open() {
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const instance = await DuckDBInstance.create(':memory:', {
      threads: String(this.#limits.threads),
      memory_limit: `${Math.floor(this.#limits.memory / 2 ** 20)}MiB`,
    });
    const connection = await instance.connect();
    const settings = [
      `SET allowed_directories = [${this.#folders.map((folder) => quote(`${folder}/`)).join(', ')}]`,
      'SET autoinstall_known_extensions = false',
      'SET autoload_known_extensions = false',
      'SET parquet_metadata_cache = true',
      "SET TimeZone = 'UTC'",
      // Spilling would need a folder to write to.
      "SET temp_directory = ''",
      'SET enable_external_access = false',
      'SET lock_configuration = true',
    ];
    for (const setting of settings) await connection.run(setting);
    return { instance, connection };
  }

  #ready() {
    this.#opened ??= this.#open();
    return this.#opened;
  }

  /** For statements of this program that cannot fail by the user's doing. */
  async run(sql: string): Promise<void> {
    const { connection } = await this.#ready();
    await connection.run(sql);
  }

  /**
   * Runs one SELECT on a connection of its own, to its end: a result that is only begun keeps its memory until the garbage
   * collector finds it. The statement itself bounds its rows.
   */
  async select(sql: string, timeoutMs: number): Promise<Answer<Rows>> {
    const { instance } = await this.#ready();
    const connection = await instance.connect();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      connection.interrupt();
    }, timeoutMs);
    try {
      const reader = await connection.runAndReadAll(sql);
      return { ok: true, value: { columns: reader.columnNames(), rows: reader.getRows() } };
    } catch (error) {
      return { ok: false, error: late ? tooLong(timeoutMs) : failureOf(error as Error) };
    } finally {
      clearTimeout(timer);
      connection.closeSync();
    }
  }

  close(): void {
    void this.#opened?.then(({ instance, connection }) => {
      connection.closeSync();
      instance.closeSync();
    });
  }
}

export const tooLong = (timeoutMs: number): QueryFailure => ({
  type: 'timeout',
  message: `the query took longer than ${timeoutMs / 1000} s: ask for a shorter range, or filter on more columns`,
});

/** It ran out of what it may use, which says nothing about the files. */
export const spent = ({ type }: QueryFailure): boolean => type === 'timeout' || type === 'memory';

function failureOf(error: Error): QueryFailure {
  const message = error.message.split('\n\nLINE ')[0]!.split('\nLINE ')[0]!.trim();
  if (message.startsWith('Out of Memory')) {
    return {
      type: 'memory',
      message: 'the query needs more memory than it may use: ask for a shorter range or fewer groups',
    };
  }
  if (
    !/^(Catalog|Binder|Parser) Error/.test(message) &&
    /^(IO|Invalid Input|Corrupt|Serialization|ZSTD|INTERNAL)? ?Error.*|No magic bytes|ZSTD|Parquet/i.test(message) &&
    /parquet|zstd|magic bytes|thrift|footer|metadata/i.test(message)
  ) {
    return { type: 'damaged', message };
  }
  return { type: 'invalid', message };
}
