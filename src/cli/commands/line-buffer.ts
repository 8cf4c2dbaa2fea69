/** Takes lines while nobody reads them yet, up to a bound; beyond it their sender waits, and counts what it must drop. */

const BYTES_MAX = 64 << 20;

export class LineBuffer {
  readonly #waiting: string[] = [];
  readonly #bytesMax: number;
  #bytes = 0;
  #ended = false;
  #failure: unknown = null;
  /** Tells the other side that something has changed. */
  #wake: () => void = () => {};

  constructor(source: AsyncIterable<string>, bytesMax: number = BYTES_MAX) {
    this.#bytesMax = bytesMax;
    void this.#fill(source);
  }

  async #fill(source: AsyncIterable<string>): Promise<void> {
    try {
      for await (const line of source) {
        this.#waiting.push(line);
        this.#bytes += line.length;
        this.#wake();
        while (this.#bytes > this.#bytesMax) await this.#change();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#ended = true;
    this.#wake();
  }

  #change(): Promise<void> {
    const before = this.#wake;
    return new Promise((resolve) => {
      this.#wake = () => {
        before();
        this.#wake = () => {};
        resolve();
      };
    });
  }

  /** What came and what comes. Iterate it once. */
  async *lines(): AsyncIterable<string> {
    for (;;) {
      const lines = this.#waiting.splice(0);
      if (lines.length === 0) {
        if (this.#failure !== null) throw this.#failure;
        if (this.#ended) return;
        await this.#change();
        continue;
      }
      yield* lines;
      this.#bytes -= lines.reduce((sum, line) => sum + line.length, 0);
      this.#wake();
    }
  }
}
