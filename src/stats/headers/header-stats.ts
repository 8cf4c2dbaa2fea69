/**
 * Header variability: what the names, values and order of header fields do in each group (service, side, method, route) and direction, and
 * what of it changed. For the engine:
 *
 *     const headers = new HeaderStats({ key, anchor });              // key: secret of the installation, 8 bytes or more
 *     const group = new HeaderGroup({ service, side, method, route }); // one for each group, kept beside the engine's own counters
 *     headers.observe(group, 'request', request.fields, exampleId, now);  // for each message; now: nanoseconds since the anchor
 *     const { state, changes } = headers.rotate(now);                 // at the end of each window, or end(now) in steps; encodeHeaders(state) is for the store
 *     headers.state(now)                                              // what the running window has so far
 *
 * `exampleId` makes the id of the call and is asked seldom. The caller drives time and bounds its groups; what goes beyond GROUPS_MAX in one
 * window is counted in the group `other`.
 *
 * How a block is counted: blocks of one client have the same names in the same order, a shape. The line predictor (http/h1) shares lines that
 * repeat, so a line of a known shape is one comparison with those that came there before, or, when its value is the block's own, a hash. A
 * sequence of names seen for the first time is counted line by line. Both ways give the same counts.
 */
import type { ClockAnchor } from '../../base/clock.ts';
import { KeyedHash } from '../../base/keyed-hash.ts';
import type { FieldBlock } from '../../model/fields.ts';
import type { Redacted } from '../../redact/redacted.ts';
import { ByteBudget } from '../sketch/budget.ts';
import { type Change, ChangeMonitor } from './changes.ts';
import { DirectionWindow, type Shape } from './direction-window.ts';
import { type Direction, GROUPS_MAX, type HeaderGroupKey, HeaderState, OTHER_GROUP } from './state.ts';

/** Places for shapes, a power of two; two for each hash. */
const SHAPES = 4_096;
/** Longer blocks are counted line by line: a shape of theirs would seldom come again. */
const SHAPE_LINES_MAX = 64;
const SHAPES_PER_STEP = 64;
/** Bytes that the running window may take, about. */
export const WINDOW_BYTES_MAX = 32 << 20;

export interface HeaderStatsOptions {
  /** Keys the hashes of values: the same in all runs of an installation, known to nobody else. */
  readonly key: Uint8Array;
  readonly anchor: ClockAnchor;
  readonly bytesMax?: number;
}

/** One group's place in the window that is running. Belongs to the caller, who makes one for each group. */
export class HeaderGroup {
  readonly key: HeaderGroupKey;
  /** For HeaderStats alone. */
  request: DirectionWindow | null = null;
  response: DirectionWindow | null = null;

  constructor(key: HeaderGroupKey) {
    this.key = key;
  }
}

/** What found no room. */
export interface HeaderOverflow {
  /** Messages of groups that went to `other`. */
  messages: number;
  /** Lines of names that went to `:other`. */
  lines: number;
  /** Times that a table, a text or a name found no bytes left. */
  refused: number;
  /** Shapes that made room for others; nothing is lost by that. */
  shapesReplaced: number;
}

/** A window that is over: its state, and what it has that the windows before had not. */
export interface EndedWindow {
  readonly state: HeaderState;
  readonly changes: Change[];
}

export class HeaderStats {
  readonly overflow: HeaderOverflow = { messages: 0, lines: 0, refused: 0, shapesReplaced: 0 };
  readonly monitor = new ChangeMonitor();
  readonly #hash: KeyedHash;
  readonly #wallMs: number;
  readonly #bytesMax: number;
  #budget: ByteBudget;
  #shapes: (Shape | undefined)[] = new Array(SHAPES);
  /** Sequence last seen in each place: it gets a shape when it comes again. */
  readonly #seen = new Int32Array(SHAPES);
  #open: { group: HeaderGroup; window: DirectionWindow }[] = [];
  readonly #otherGroup = new HeaderGroup(OTHER_GROUP);
  #seeds = 0;
  /** Nanoseconds since the anchor; -1: nothing was counted yet. */
  #startedAt = -1;

  constructor({ key, anchor, bytesMax = WINDOW_BYTES_MAX }: HeaderStatsOptions) {
    this.#hash = new KeyedHash(key);
    this.#wallMs = Number(anchor.wallNs / 1_000_000n);
    this.#bytesMax = bytesMax;
    this.#budget = new ByteBudget(bytesMax);
  }

  /** Bytes that the running window has taken, about. */
  get bytes(): number {
    return this.#budget.used;
  }

  /** Counts one message's header fields. */
  observe(
    group: HeaderGroup,
    direction: Direction,
    fields: Redacted<FieldBlock>,
    exampleId: () => string,
    now: number,
  ): void {
    const window = (direction === 'request' ? group.request : group.response) ?? this.#begin(group, direction, now);
    let shape: Shape | null | undefined = window.recent;
    if (shape === null || !fields.hasNames(shape.ids)) {
      const sequence = fields.nameSequence(window.seed);
      shape = this.#find(window, fields, sequence) ?? this.#make(window, fields, sequence);
      window.recent = shape;
    }
    if (shape === null) window.single(fields, exampleId, now);
    else window.repeat(shape, fields, exampleId, now);
  }

  /** What the running window has so far. */
  state(now: number): HeaderState {
    for (const shape of this.#shapes) shape?.owner.spread(shape);
    const state = this.#empty(now);
    for (const { window } of this.#open) state.add(window.state(this.#ms, false));
    return state;
  }

  /** Ends the window, all at once. */
  rotate(now: number): EndedWindow {
    const sealing = this.end(now);
    for (;;) {
      const step = sealing.next();
      if (step.done === true) return step.value;
    }
  }

  /**
   * Ends the window: the next one runs from now on. What it had is worked out step by step, each a fraction of a millisecond but for groups
   * of hundreds of names, because all at once takes tens of milliseconds in which nobody reads what is captured. To be gone through before the
   * next window ends.
   */
  end(now: number): Generator<void, EndedWindow> {
    const state = this.#empty(now);
    const open = this.#open;
    const shapes = this.#shapes;
    for (const { group } of open) {
      group.request = null;
      group.response = null;
    }
    const budget = this.#budget;
    this.#open = [];
    this.#shapes = new Array(SHAPES);
    this.#budget = new ByteBudget(this.#bytesMax);
    this.#startedAt = now;
    return this.#seal(state, open, shapes, budget);
  }

  *#seal(
    state: HeaderState,
    open: readonly { readonly window: DirectionWindow }[],
    shapes: readonly (Shape | undefined)[],
    budget: ByteBudget,
  ): Generator<void, EndedWindow> {
    for (let i = 0; i < shapes.length; i++) {
      const shape = shapes[i];
      shape?.owner.spread(shape);
      if (i % SHAPES_PER_STEP === 0) yield;
    }
    for (const { window } of open) {
      const group = window.state(this.#ms, true);
      this.overflow.lines += group.other?.lines ?? 0;
      state.add(group);
      yield;
    }
    this.overflow.refused += budget.refused;
    return { state, changes: yield* this.monitor.compare(state) };
  }

  #empty(now: number): HeaderState {
    const state = new HeaderState();
    state.from = this.#ms(this.#startedAt < 0 ? now : this.#startedAt);
    state.to = this.#ms(now);
    return state;
  }

  readonly #ms = (at: number): number => Math.round(this.#wallMs + at / 1e6);

  #begin(asked: HeaderGroup, direction: Direction, now: number): DirectionWindow {
    if (this.#startedAt < 0) this.#startedAt = now;
    let group = asked;
    // Two places are left for the overflow of either direction.
    if (this.#open.length >= GROUPS_MAX - 2) {
      this.overflow.messages++;
      group = this.#otherGroup;
      const known = direction === 'request' ? group.request : group.response;
      if (known !== null) return known;
    }
    this.#seeds = (this.#seeds + 1) | 0;
    const seed = Math.imul(this.#seeds, 0x9e3779b1);
    const window = new DirectionWindow(group.key, direction, seed, this.#hash, this.#budget);
    if (direction === 'request') group.request = window;
    else group.response = window;
    this.#open.push({ group, window });
    return window;
  }

  #find(window: DirectionWindow, fields: Redacted<FieldBlock>, sequence: number): Shape | undefined {
    const slot = sequence & (SHAPES - 1);
    for (const place of [slot, slot ^ 1]) {
      const shape = this.#shapes[place];
      if (shape?.hash === sequence && shape.owner === window && fields.hasNames(shape.ids)) return shape;
    }
    return undefined;
  }

  /** A shape for a sequence of names that comes the second time; null: it is to be counted line by line. */
  #make(window: DirectionWindow, fields: Redacted<FieldBlock>, sequence: number): Shape | null {
    const slot = sequence & (SHAPES - 1);
    if (this.#seen[slot] !== sequence || fields.count > SHAPE_LINES_MAX) {
      this.#seen[slot] = sequence;
      return null;
    }
    const shape = window.shape(fields, sequence);
    if (shape === null) return null;
    const shapes = this.#shapes;
    const place = shapes[slot] === undefined || shapes[slot ^ 1] !== undefined ? slot : slot ^ 1;
    const old = shapes[place];
    if (old !== undefined) {
      old.owner.spread(old);
      if (old.owner.recent === old) old.owner.recent = null;
      this.overflow.shapesReplaced++;
    }
    shapes[place] = shape;
    return shape;
  }
}
