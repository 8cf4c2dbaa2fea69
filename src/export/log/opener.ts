/** Where a log's bytes go: opened by whoever may (the pipeline itself has no rights on the machine). */
/**
 * Gives the writer its descriptor. All of it may fail with a Node system error; the writer then keeps what it has.
 * Descriptors are opened for appending, so that a file truncated by somebody else does not get a hole.
 */
export interface LogOpener {
  /** For messages: the path, or "stdout". */
  readonly name: string;
  /** The current file, made if it is not there. */
  open(): Promise<number>;
  /** Sets the current file aside and opens a new one; null when this kind of log cannot be rotated. */
  rotate(): Promise<number | null>;
  /** The writer is done with `fd`. */
  release(fd: number): Promise<void>;
  /** Waits for work in the background (compressing files set aside). */
  settled(): Promise<void>;
}

/** A descriptor that somebody else opened and owns: stdout, or one inherited from the attacher. */
export class InheritedOpener implements LogOpener {
  readonly name: string;
  readonly #fd: number;

  constructor(fd: number, name: string) {
    this.#fd = fd;
    this.name = name;
  }

  async open(): Promise<number> {
    return this.#fd;
  }
  async rotate(): Promise<null> {
    return null;
  }
  async release(): Promise<void> {}
  async settled(): Promise<void> {}
}
