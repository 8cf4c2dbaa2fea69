/** The bytes of a capture: a file or standard input, unpacked by what they begin with. */
import { readSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Memory } from '../base/memory.ts';
import { unpackZstd } from './zstd.ts';

/** What is read at once stays in a core's own cache until it is parsed. */
export const CHUNK_BYTES = 256 * 1024;
const UNPACK_CHUNK_BYTES = 256 * 1024;

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

class FileInput implements Input {
  readonly #file: FileHandle;
  /** Nothing waits for more to come. The thread pool's hand-over costs more than such a read, and takes the bytes to another core. */
  readonly #regular: boolean;

  constructor(file: FileHandle, regular: boolean) {
    this.#file = file;
    this.#regular = regular;
  }

  async read(memory: Memory, offset: number, length: number): Promise<number> {
    if (this.#regular) return readSync(this.#file.fd, memory.buf, offset, length, null);
    return (await this.#file.read(memory.buf, offset, length, null)).bytesRead;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

class StreamInput implements Input {
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

/** An input whose packed bytes come from another one. */
class UnpackedInput implements Input {
  readonly #packed: Input;
  readonly #unpacked: StreamInput;

  constructor(packed: Input, unpacked: Readable) {
    this.#packed = packed;
    this.#unpacked = new StreamInput(unpacked);
  }

  read(memory: Memory, offset: number, length: number): Promise<number> {
    return this.#unpacked.read(memory, offset, length);
  }

  async close(): Promise<void> {
    await this.#unpacked.close();
    await this.#packed.close();
  }
}

async function* pieces(input: Input, first: Buffer): AsyncGenerator<Buffer> {
  yield first;
  for (;;) {
    const memory = Memory.alloc(UNPACK_CHUNK_BYTES);
    const n = await input.read(memory, 0, UNPACK_CHUNK_BYTES);
    if (n === 0) return;
    yield memory.buf.subarray(0, n);
  }
}

/** Opens a file, or standard input for "-". Throws what the system says; a folder as EISDIR. */
export async function openInput(path: string, stdin: Readable): Promise<Input> {
  if (path === STDIN) return new StreamInput(stdin);
  const file = await open(path, 'r');
  return new FileInput(file, (await file.stat()).isFile());
}

/** The unpacked bytes of what begins with `first` (four bytes and more) and goes on with `input`; null: it is not packed. */
export function unpack(input: Input, first: Memory, length: number): Input | null {
  const magic = first.view.getUint32(0, true);
  const packed = (): AsyncGenerator<Buffer> => pieces(input, Buffer.from(first.buf.subarray(0, length)));
  if ((magic & 0xffff) === GZIP) {
    const gunzip = createGunzip({ chunkSize: UNPACK_CHUNK_BYTES });
    // An error of the packed input ends the unpacker, whose reader then sees it.
    pipeline(Readable.from(packed()), gunzip, () => {});
    return new UnpackedInput(input, gunzip);
  }
  if (magic === ZSTD || magic >>> 4 === ZSTD_SKIPPABLE) {
    return new UnpackedInput(input, Readable.from(unpackZstd(packed(), UNPACK_CHUNK_BYTES)));
  }
  return null;
}
