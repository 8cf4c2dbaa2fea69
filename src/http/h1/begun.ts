/** Which messages the other side began while one of this side goes on: a body whose framing is missing has no other end. */
export class Begun {
  #others: Begun | null = null;
  #count = 0;
  /** Where the last one began, and the one before it. */
  #lastAt = -1;
  #beforeAt = -1;
  /** Of the other side's, those that had begun when it listened. */
  #heard = 0;

  static pair(one: Begun, other: Begun): void {
    one.#others = other;
    other.#others = one;
  }

  /** A message of this side begins at stream offset `position`. */
  begin(position: number): void {
    this.#count++;
    this.#beforeAt = this.#lastAt;
    this.#lastAt = position;
  }

  /** Counts the other side's messages from here on, and up to two that have begun behind that at `startOffset` (-1: none): the client pipelines. */
  listen(startOffset: number): void {
    if (this.#others === null) return;
    const others = this.#others;
    const ahead = startOffset < 0 || others.#lastAt <= startOffset ? 0 : others.#beforeAt <= startOffset ? 1 : 2;
    this.#heard = others.#count - ahead;
  }

  /** Messages of the other side since it listened. */
  get since(): number {
    return this.#others === null ? 0 : this.#others.#count - this.#heard;
  }
}
