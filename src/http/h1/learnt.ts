/** One section in eight. */
const CURIOUS_MASK = 7;

/** What one direction of one connection has learnt of its heads: a connection repeats itself. */
export class Learnt {
  /** Slots of the lines seen last, in order; those that are left out now and then stay. */
  readonly predicted: number[] = [];
  predictedStart = -1;
  /** Misses in a row of the start line. */
  startMisses = 0;
  /** Sections begun. */
  sections = 0;

  /** What was not in the table last time is looked up now and then only: it is likely to be unique. */
  get curious(): boolean {
    return (this.sections & CURIOUS_MASK) === 0;
  }
}
