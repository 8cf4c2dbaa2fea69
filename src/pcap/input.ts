/** The bytes of a capture: a file or standard input. What they begin with says how they are packed (unpacked.ts). */
import { close, fstat, open, read, readSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import type { Memory } from '../base/memory.ts';

/** What is read at once stays in a core's own cache until it is parsed. */
export const CHUNK_BYTES = 256 * 1024;

/** Magic numbers, little-endian. */
const GZIP = 0x8b1f;
const ZSTD = 0xfd2fb528;
const ZSTD_SKIPPABLE = 0x184d2a5;
/** Standard input as a path. */
export const STDIN = '-';

/** Bytes in order. */
export interface Input {
  /** Reads at most `length` bytes to `memory[offset]`; 0 at the end. Throws what the system says (a number in `code`). */
  read(memory: Memory, offset: number, length: number): Promise<number>;
  close(): Promise<void>;
}

// Of node:fs, which every program has loaded: node:fs/promises is a tenth of what reading a small file costs.
const openFile = promisify(open);
const statFile = promisify(fstat);
const readFile = promisify(read);
const closeFile = promisify(close);

class FileInput implements Input {
  readonly #file: number;
  /** Nothing waits for more to come. The thread pool's hand-over costs more than such a read, and takes the bytes to another core. */
  readonly #regular: boolean;

  constructor(file: number, regular: boolean) {
    this.#file = file;
    this.#regular = regular;
  }

  async read(memory: Memory, offset: number, length: number): Promise<number> {
    if (this.#regular) return readSync(this.#file, memory.buf, offset, length, null);
    return (await readFile(this.#file, memory.buf, offset, length, null)).bytesRead;
  }

  async close(): Promise<void> {
    await closeFile(this.#file);
  }
}

export class StreamInput implements Input {
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Buffer>;
  #piece: Buffer | null = null;
  #used = 0;

  constructor(stream: Readable) {
    this.#stream = stream;
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  async read(memory: Memory, offset: number, length: number): Promise<number> {
    while (this.#piece === null || this.#used === this.#piece.length) {
      const { value, done } = await this.#pieces.next();
      if (done === true) return 0;
      this.#piece = value;
      this.#used = 0;
    }
    const n = this.#piece.copy(memory.buf, offset, this.#used, Math.min(this.#piece.length, this.#used + length));
    this.#used += n;
    return n;
  }

  async close(): Promise<void> {
    this.#stream.destroy();
  }
}

/** Opens a file, or for "-" `stdin` (null: the process's own). Throws what the system says; a folder as EISDIR. */
export async function openInput(path: string, stdin: Readable | null): Promise<Input> {
  // The process's own is made when somebody looks at it.
  if (path === STDIN) return new StreamInput(stdin ?? process.stdin);
  const file = await openFile(path, 'r');
  return new FileInput(file, (await statFile(file)).isFile());
}

/** What the bytes that begin with these four (little-endian) are packed with; null: they are not. */
export function packing(magic: number): 'gzip' | 'zstd' | null {
  if ((magic & 0xffff) === GZIP) return 'gzip';
  return magic === ZSTD || magic >>> 4 === ZSTD_SKIPPABLE ? 'zstd' : null;
}
