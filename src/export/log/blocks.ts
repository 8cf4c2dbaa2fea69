/**
 * What header blocks have in common. A client sends the same lines in the same order again and again and changes a few
 * values: the JSON text between those values is made once.
 */
import type { FieldBlock } from '../../model/fields.ts';
import type { Redacted } from '../../redact/redacted.ts';

/** Sequences of lines remembered: a direct-mapped table, so that a flood of orders replaces entries instead of growing. */
const BLOCKS_KEPT = 512;
/** Longer blocks are rare, and remembering them would let a client fill the memory. */
const LINES_MAX = 64;
const TEXT_MAX = 8_192;

/** One sequence of lines, by their serials. */
export class BlockText {
  readonly #policy: number;
  readonly #serials: readonly number[];
  /** JSON text before each varying value, and after the last one; null: not made yet, or it cannot be kept. */
  parts: readonly Buffer[] | null = null;
  /** Indices of the lines whose values differ from block to block. */
  varying: readonly number[] = [];
  /**
   * What stands between the target of a request in origin form and its first varying value: scheme, authority, parts[0].
   * null: not made yet, or the authority is not the same for all.
   */
  requestHead: Uint8Array | null = null;

  constructor(fields: Redacted<FieldBlock>) {
    this.#policy = fields.policy;
    this.#serials = Array.from({ length: fields.count }, (_, i) => fields.serial(i));
  }

  matches(fields: Redacted<FieldBlock>): boolean {
    const serials = this.#serials;
    if (serials.length !== fields.count || this.#policy !== fields.policy) return false;
    for (let i = 0; i < serials.length; i++) if (serials[i] !== fields.serial(i)) return false;
    return true;
  }

  keep(parts: readonly Buffer[], varying: readonly number[]): void {
    if (parts.reduce((sum, part) => sum + part.length, 0) > TEXT_MAX) return;
    this.parts = parts;
    this.varying = varying;
  }
}

export class BlockTexts {
  readonly #texts: (BlockText | undefined)[] = new Array(BLOCKS_KEPT);
  /** Hash last seen in each slot: a sequence gets an entry when it comes twice in a row, so that one-off orders cost nothing. */
  readonly #seen = new Int32Array(BLOCKS_KEPT);

  /** The entry of these lines, perhaps still without text; null for lines that are not worth one. */
  find(fields: Redacted<FieldBlock>): BlockText | null {
    const count = fields.count;
    if (count === 0 || count > LINES_MAX) return null;
    let hash = count;
    for (let i = 0; i < count; i++) hash = (Math.imul(hash, 31) + fields.serial(i)) | 0;
    const slot = (hash ^ (hash >>> 15)) & (BLOCKS_KEPT - 1);
    const text = this.#texts[slot];
    if (text?.matches(fields)) return text;
    if (this.#seen[slot] !== hash) {
      this.#seen[slot] = hash;
      return null;
    }
    const made = new BlockText(fields);
    this.#texts[slot] = made;
    return made;
  }
}
