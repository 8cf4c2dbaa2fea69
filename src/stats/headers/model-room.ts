/** What all models of a monitor may remember together: clients choose names and values, and a model outlives its window. */

/** About a kilobyte each, and a quarter of one. */
const NAMES_MAX = 16_384;
const VALUES_MAX = 65_536;
/** Names whose last window is kept until the next one says what it was: some kilobytes each. */
const HELD_MAX = 1_024;

export class ModelRoom {
  names = 0;
  values = 0;
  held = 0;
  /** Times that there was no room. */
  refused = 0;

  takeName(): boolean {
    if (this.names >= NAMES_MAX) {
      this.refused++;
      return false;
    }
    this.names++;
    return true;
  }

  takeValue(): boolean {
    if (this.values >= VALUES_MAX) {
      this.refused++;
      return false;
    }
    this.values++;
    return true;
  }

  takeHeld(): boolean {
    if (this.held >= HELD_MAX) {
      this.refused++;
      return false;
    }
    this.held++;
    return true;
  }
}
