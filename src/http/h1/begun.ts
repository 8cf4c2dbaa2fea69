/** Which messages the other side began while one of this side goes on: a body whose framing is missing has no other end. */
export class Begun {
  #others: Begun | null = null;
  #count = 0;
  #lastAt = -1;
  /** Of the other side's, those that had begun when it listened. */
  #heard = 0;

  static pair(one: Begun, other: Begun): void {
    one.#others = other;
    other.#others = one;
  }

  /** A message of this side begins at stream offset `position`. */
  begin(position: number): void {
    this.#count++;
    this.#lastAt = position;
  }

  /** Counts the other side's messages from here on, and one that has begun behind that at `startOffset` (-1: none): the client pipelines. */
  listen(startOffset: number): void {
    if (this.#others === null) return;
    const ahead = startOffset >= 0 && this.#others.#lastAt > startOffset;
    this.#heard = this.#others.#count - (ahead ? 1 : 0);
  }

  /** Messages of the other side since it listened. */
  get since(): number {
    return this.#others === null ? 0 : this.#others.#count - this.#heard;
  }
}
