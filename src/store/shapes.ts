/**
 * Header blocks in a compact form. A client sends the same lines again and again and changes a few values: the lines that
 * repeat become a word of the segment, and a call keeps the word's number and its own values.
 *
 * The word is JSON: `[["Host","api.example"],["X-Request-Id","",1]]`. Two elements: name and value. Three: the value is the
 * call's own, number 1 of its list.
 */
import type { FieldBlock } from '../model/fields.ts';
import type { Redacted } from '../redact/redacted.ts';
import { NOT_ASCII, shown, type Words } from './words.ts';

/** A line of a word: name and value, or name, "" and the number of the call's own value. */
export type ShapeLine = readonly [string, string] | readonly [string, string, number];

/** A direct-mapped table: a flood of orders replaces entries instead of growing. */
const SHAPES_KEPT = 4_096;
/** Longer blocks are rare: only the last one is remembered. */
const LINES_MAX = 64;
const LONG_TEXT_MAX = 384 << 10;
/** Whole shapes in one segment; beyond it calls keep their values themselves, which is a bounded number of names. */
const WHOLE_MAX = 8_192;

export class Shape {
  /** Values that are shared are in it. */
  readonly whole: boolean;
  readonly #policy: number;
  readonly #serials: readonly number[];
  /** Number of its word in segment `segment`. */
  word = 0;
  segment = -1;
  /** Lines whose values are the call's own. */
  readonly varying: readonly number[];
  /** A name or a shared value is not ASCII. */
  readonly notAscii: boolean;

  constructor(fields: Redacted<FieldBlock>, whole: boolean) {
    this.whole = whole;
    this.#policy = fields.policy;
    const serials: number[] = [];
    const varying: number[] = [];
    let notAscii = false;
    for (let i = 0; i < fields.count; i++) {
      serials.push(fields.serial(i));
      const shared = whole && fields.shared(i);
      if (!shared) varying.push(i);
      if (NOT_ASCII.test(fields.raw(i)) || (shared && NOT_ASCII.test(fields.value(i)))) notAscii = true;
    }
    this.#serials = serials;
    this.varying = varying;
    this.notAscii = notAscii;
  }

  matches(fields: Redacted<FieldBlock>): boolean {
    const serials = this.#serials;
    if (serials.length !== fields.count || this.#policy !== fields.policy) return false;
    for (let i = 0; i < serials.length; i++) if (serials[i] !== fields.serial(i)) return false;
    return true;
  }

  text(fields: Redacted<FieldBlock>): string {
    const parts: string[] = [];
    let own = 0;
    for (let i = 0; i < fields.count; i++) {
      const name = JSON.stringify(shown(fields.raw(i)));
      if (this.varying[own] === i) parts.push(`[${name},"",${++own}]`);
      else parts.push(`[${name},${JSON.stringify(shown(fields.value(i)))}]`);
    }
    return `[${parts.join(',')}]`;
  }
}

export class Shapes {
  readonly #words: Words;
  readonly #kept: (Shape | undefined)[] = new Array(SHAPES_KEPT);
  /** Hash last seen in each slot: whole shapes are made of sequences that come twice, so that one-off orders cost nothing. */
  readonly #seen = new Int32Array(SHAPES_KEPT);
  /** The long one that came last. Whole from the second time on: a block that says one line ten thousand times comes again. */
  #long: Shape | null = null;
  #last: Shape | null = null;
  #beforeLast: Shape | null = null;
  #segment = 0;
  #whole = 0;

  constructor(words: Words) {
    this.#words = words;
  }

  /** Another segment begins: no shape has a word in it. */
  reset(): void {
    this.#segment++;
    this.#whole = 0;
  }

  of(fields: Redacted<FieldBlock>): Shape {
    const count = fields.count;
    if (count > LINES_MAX) return this.#longOne(fields);
    // Requests and responses alternate, and most are as those before: comparing costs half of what finding does.
    const likely = this.#beforeLast;
    this.#beforeLast = this.#last;
    if (likely?.matches(fields) === true) {
      this.#last = likely;
      return this.#inSegment(likely, fields);
    }
    let hash = count + 1;
    for (let i = 0; i < count; i++) hash = (Math.imul(hash, 31) + fields.serial(i)) | 0;
    const slot = (hash ^ (hash >>> 15)) & (SHAPES_KEPT - 1);
    let shape = this.#kept[slot];
    if (!shape?.matches(fields)) {
      const first = this.#seen[slot] !== hash;
      this.#seen[slot] = hash;
      if (first && count > 0) return this.#once(fields);
      shape = new Shape(fields, true);
      this.#kept[slot] = shape;
    }
    this.#last = shape;
    return this.#inSegment(shape, fields);
  }

  #longOne(fields: Redacted<FieldBlock>): Shape {
    const last = this.#long;
    if (!last?.matches(fields)) {
      this.#long = this.#once(fields);
      return this.#long;
    }
    if (last.whole) return this.#inSegment(last, fields);
    const whole = new Shape(fields, true);
    this.#long = whole;
    // As JSON a control character is six: with all of it in one word, a call may be too large for any batch.
    if (whole.text(fields).length <= LONG_TEXT_MAX) return this.#inSegment(whole, fields);
    this.#long = null;
    return this.#once(fields);
  }

  /** Has its word in this segment, or is no whole one. */
  #inSegment(shape: Shape, fields: Redacted<FieldBlock>): Shape {
    if (shape.segment === this.#segment) return shape;
    if (this.#whole >= WHOLE_MAX) return this.#once(fields);
    this.#whole++;
    shape.word = this.#words.text(shape.text(fields));
    shape.segment = this.#segment;
    return shape;
  }

  /** The names alone are shared. */
  #once(fields: Redacted<FieldBlock>): Shape {
    const shape = new Shape(fields, false);
    shape.word = this.#words.text(shape.text(fields));
    return shape;
  }
}
