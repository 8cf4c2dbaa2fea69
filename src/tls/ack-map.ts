/** Translates positions in encrypted bytes, which acknowledgements speak of, into positions in decrypted ones. */

/** Records remembered: more than a peer leaves unacknowledged in a window of small messages. */
const RECORDS_KEPT = 64;

export class AckMap {
  readonly #encrypted = new Float64Array(RECORDS_KEPT);
  readonly #decrypted = new Float64Array(RECORDS_KEPT);
  #count = 0;

  /** Everything before `encrypted` has given everything before `decrypted`. Both never go back. */
  note(encrypted: number, decrypted: number): void {
    const at = this.#count++ % RECORDS_KEPT;
    this.#encrypted[at] = encrypted;
    this.#decrypted[at] = decrypted;
  }

  /** Decrypted bytes that are whole before `encrypted`: 0 before the first record, -1 when it is forgotten or not known. */
  at(encrypted: number): number {
    if (encrypted < 0) return -1;
    const oldest = Math.max(0, this.#count - RECORDS_KEPT);
    for (let i = this.#count - 1; i >= oldest; i--) {
      if (this.#encrypted[i % RECORDS_KEPT]! <= encrypted) return this.#decrypted[i % RECORDS_KEPT]!;
    }
    return oldest === 0 ? 0 : -1;
  }
}
