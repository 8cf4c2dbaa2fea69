import { createZstdDecompress, type ZstdDecompress } from 'node:zlib';

/**
 * Unpacks zstd frames that follow one another (RFC 8878 3.1 allows it, parallel packers write it); Node's own stream
 * stops after the first one. Throws what zlib says of damaged or incomplete input.
 */
export async function* unpackZstd(source: AsyncIterable<Buffer>, chunkSize: number): AsyncGenerator<Buffer> {
  const pieces = source[Symbol.asyncIterator]();
  let rest = await nextPiece(pieces);
  while (rest !== null) {
    const frame = new Frame(createZstdDecompress({ chunkSize }));
    const feeding = frame.feed(rest, pieces);
    for await (const unpacked of frame.stream) yield unpacked as Buffer;
    rest = (await feeding) ?? (await nextPiece(pieces));
  }
}

async function nextPiece(pieces: AsyncIterator<Buffer>): Promise<Buffer | null> {
  for (;;) {
    const { value, done } = await pieces.next();
    if (done === true) return null;
    if (value.length > 0) return value;
  }
}

class Frame {
  readonly stream: ZstdDecompress;
  #closed = false;
  readonly #close: Promise<void>;

  constructor(stream: ZstdDecompress) {
    this.stream = stream;
    this.#close = new Promise((resolve) => {
      const close = (): void => {
        this.#closed = true;
        resolve();
      };
      stream.once('end', close).once('error', close).once('close', close);
    });
  }

  /** Feeds pieces until the frame ends; what is left of the last one, null when it was used up. */
  async feed(first: Buffer, pieces: AsyncIterator<Buffer>): Promise<Buffer | null> {
    let piece: Buffer | null = first;
    let before = 0;
    while (piece !== null) {
      const current: Buffer = piece;
      // A stream that ended inside a piece never reports it as written.
      await Promise.race([new Promise<void>((resolve) => this.stream.write(current, () => resolve())), this.#close]);
      const used = this.stream.bytesWritten - before;
      if (this.#closed || used < current.length) {
        await this.#close;
        const left = current.subarray(this.stream.bytesWritten - before);
        return left.length === 0 ? null : left;
      }
      before += current.length;
      try {
        piece = await nextPiece(pieces);
      } catch (error) {
        // Whoever reads the stream is told.
        this.stream.destroy(error as Error);
        return null;
      }
    }
    this.stream.end();
    return null;
  }
}
