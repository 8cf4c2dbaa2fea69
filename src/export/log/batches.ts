/** Lines that wait to be written: copied into batches that are filled one behind the other, and given back when they are written. */
const NEWLINE = 0x0a;

/** Larger ones cost no less (256 KiB: 0.9 of the CPU that 128 take), and what is in memory is lost with the process. */
const BATCH_BYTES = 256 << 10;
/** Batches that are written at once: while capture is busy the event loop turns every 20 ms, and a batch a turn is 12 MB/s. */
const BATCHES_AT_ONCE = 16;
/** Empty batches kept for reuse. */
const BATCHES_KEPT = 8;

export interface Batch {
  readonly buf: Buffer;
  length: number;
}

export class Batches {
  /** Of all lines in here. */
  bytes = 0;
  #open: Batch = { buf: Buffer.allocUnsafeSlow(BATCH_BYTES), length: 0 };
  /** Closed, oldest first. */
  readonly #closed: Batch[] = [];
  readonly #free: Buffer[] = [];

  /** The oldest closed one. */
  get first(): Batch | undefined {
    return this.#closed[0];
  }

  /** Nothing is in the one that is being filled. */
  get openIsEmpty(): boolean {
    return this.#open.length === 0;
  }

  /** Whether the one that is being filled has room for `size` bytes. */
  fits(size: number): boolean {
    return this.#open.length + size <= this.#open.buf.length;
  }

  /** The one that is being filled: whoever writes a line behind its end says so with `added`. */
  get open(): Batch {
    return this.#open;
  }

  added(size: number): void {
    this.#open.length += size;
    this.bytes += size;
  }

  /** Closes the one that is being filled, unless it is empty; the next one holds at least `size` bytes. */
  close(size = 0): void {
    if (this.#open.length > 0) {
      this.#closed.push(this.#open);
      const buf =
        size <= BATCH_BYTES ? (this.#free.pop() ?? Buffer.allocUnsafeSlow(BATCH_BYTES)) : Buffer.allocUnsafeSlow(size);
      this.#open = { buf, length: 0 };
    } else if (this.#open.buf.length < size) this.#open = { buf: Buffer.allocUnsafeSlow(size), length: 0 };
  }

  /** What to write next: the first one from `at` on, and those behind it, as long as all are no more than `bytesMax`. */
  pieces(at: number, bytesMax: number): Buffer[] {
    const first = this.#closed[0]!;
    const pieces = [first.buf.subarray(at, first.length)];
    let bytes = first.length - at;
    for (let i = 1; i < Math.min(this.#closed.length, BATCHES_AT_ONCE); i++) {
      const { buf, length } = this.#closed[i]!;
      bytes += length;
      if (bytes > bytesMax) break;
      pieces.push(buf.subarray(0, length));
    }
    return pieces;
  }

  /** The first `bytes` are written: lets go of what is whole. Returns how much of the next one is among them. */
  written(bytes: number): number {
    let left = bytes;
    for (let batch = this.#closed[0]; batch !== undefined && left >= batch.length; batch = this.#closed[0]) {
      left -= batch.length;
      this.#closed.shift();
      this.bytes -= batch.length;
      if (batch.buf.length === BATCH_BYTES && this.#free.length < BATCHES_KEPT) this.#free.push(batch.buf);
      // Given back now: tens of megabytes would wait for a collection of garbage that has little to do.
      else (batch.buf.buffer as ArrayBuffer).transfer(0);
    }
    return left;
  }

  /** Of the first one, `at` bytes are written: its whole lines among them go, a torn one stays from its beginning. */
  keepFrom(at: number): void {
    const batch = this.#closed[0]!;
    const whole = wholeLines(batch, at);
    this.bytes -= whole;
    batch.buf.copy(batch.buf, 0, whole, batch.length);
    batch.length -= whole;
  }

  /** Takes everything out. */
  giveUp(): Batch[] {
    this.close();
    const batches = this.#closed.splice(0);
    for (const { length } of batches) this.bytes -= length;
    return batches;
  }
}

/** Bytes of the whole lines within the first `at`. */
export const wholeLines = ({ buf }: Batch, at: number): number => (at === 0 ? 0 : buf.lastIndexOf(NEWLINE, at - 1) + 1);

export function linesIn({ buf, length }: Batch): number {
  let n = 0;
  for (let at = buf.indexOf(NEWLINE); at >= 0 && at < length; at = buf.indexOf(NEWLINE, at + 1)) n++;
  return n;
}
