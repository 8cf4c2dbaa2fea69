/** One section in eight. */
const CURIOUS_MASK = 7;
/** Sections without anything new after which the lines that did not change are taken together. */
const SETTLED_AFTER = 16;
/** Positions that can be part of an outline: bits of a small integer. */
export const POSITIONS_MAX = 30;
const ALL_POSITIONS = 2 ** POSITIONS_MAX - 1;
const NEVER = 2 ** 30;

/** What one direction of one connection has learnt of its heads: a connection repeats itself. */
export class Learnt {
  /** Slots of the lines seen last, in order; those that are left out now and then stay. */
  readonly predicted: number[] = [];
  predictedStart = -1;
  /** Misses in a row of the start line. */
  startMisses = 0;
  /** Sections begun. */
  sections = 0;
  /** Positions of `predicted`, a bit each, where another line stood, or none. */
  changing = 0;
  /** The section at which the outline is looked for. */
  settlesAt = SETTLED_AFTER;
  /** The outline's place, and its serial number; -1: there is none. */
  outline = 0;
  outlineSerial = -1;

  /** What was not in the table last time is looked up now and then only: it is likely to be unique. Then all lines are read one by one. */
  get curious(): boolean {
    return (this.sections & CURIOUS_MASK) === 0;
  }

  /** Other lines than predicted stood at the positions [from, to), or none. */
  changed(from: number, to: number): void {
    if (from >= POSITIONS_MAX) return;
    const below = (1 << from) - 1;
    const bits = (to >= POSITIONS_MAX ? ALL_POSITIONS : (1 << to) - 1) & ~below;
    if ((this.changing & bits) === bits) return;
    this.changing |= bits;
    this.unsettle();
  }

  /** The list itself has changed. */
  moved(): void {
    this.changing = 0;
    this.unsettle();
  }

  unsettle(): void {
    this.outlineSerial = -1;
    this.settlesAt = this.sections + SETTLED_AFTER;
  }

  settled(outline: number, serial: number): void {
    this.outline = outline;
    this.outlineSerial = serial;
    this.settlesAt = NEVER;
  }
}
