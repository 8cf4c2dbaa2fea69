/** The bytes inside a packed capture. Loaded where there is one: the unpackers are a good part of the start of a program. */
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Memory } from '../base/memory.ts';
import { type Input, StreamInput } from './input.ts';
import { unpackZstd } from './zstd.ts';

const CHUNK_BYTES = 256 * 1024;

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
    const memory = Memory.alloc(CHUNK_BYTES);
    const n = await input.read(memory, 0, CHUNK_BYTES);
    if (n === 0) return;
    yield memory.buf.subarray(0, n);
  }
}

/** The unpacked bytes of what begins with `first` and goes on with `input`. */
export function unpack(packing: 'gzip' | 'zstd', input: Input, first: Memory, length: number): Input {
  const packed = pieces(input, Buffer.from(first.buf.subarray(0, length)));
  if (packing === 'zstd') return new UnpackedInput(input, Readable.from(unpackZstd(packed, CHUNK_BYTES)));
  const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
  // An error of the packed input ends the unpacker, whose reader then sees it.
  pipeline(Readable.from(packed), gunzip, () => {});
  return new UnpackedInput(input, gunzip);
}
