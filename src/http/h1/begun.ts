/** More than one. */
const UNCERTAIN = 2;

/** Which messages the other side began while one of this side goes on: a body whose framing is missing has no other end. */
export class Begun {
  #others: Begun | null = null;
  #count = 0;
  /** Where the last one began, and the one before it. */
  #lastAt = -1;
  #beforeAt = -1;
  /** What the last one acknowledged. */
  #ack = -1;
  /** Of the other side's, those that had begun when it listened. */
  #heard = 0;

  static pair(one: Begun, other: Begun): void {
    one.#others = other;
    other.#others = one;
  }

  /** A message of this side begins at stream offset `position`, in a segment that acknowledged `ack` of the other side (-1: not known). */
  begin(position: number, ack: number): void {
    this.#ack = ack;
    this.#count++;
    this.#beforeAt = this.#lastAt;
    this.#lastAt = position;
  }

  /** A segment that acknowledged `ack` came without its bytes: a message may have begun there. */
  mayBegin(ack: number): void {
    this.#ack = ack;
  }

  /** Bytes of this side are missing, and nobody knows how many messages began there. */
  miss(): void {
    this.#count += UNCERTAIN;
  }

  /**
   * Counts the other side's messages from here on, and up to two that have begun behind that at `startOffset` (-1: nobody knows which):
   * the client pipelines.
   */
  listen(startOffset: number): void {
    if (this.#others === null) return;
    const others = this.#others;
    const ahead = others.#lastAt <= startOffset ? 0 : others.#beforeAt <= startOffset ? 1 : UNCERTAIN;
    this.#heard = others.#count - (startOffset < 0 ? UNCERTAIN : ahead);
  }

  /**
   * Did the other side begin its last message with all of this side's bytes up to `position`, and no more? Then a message of this
   * side begins there, but for one that pipelines or answers early. True where that is not known.
   */
  turns(position: number): boolean {
    const ack = this.#others === null ? -1 : this.#others.#ack;
    return ack < 0 || ack === position;
  }

  /** Of this side's messages one is ahead of the other side's, as far as all were seen: the request under way is the only one without an answer. */
  get alone(): boolean {
    return this.#others !== null && this.#count - this.#others.#count === 1;
  }

  /** Messages of the other side since it listened. */
  get since(): number {
    return this.#others === null ? 0 : this.#others.#count - this.#heard;
  }
}
