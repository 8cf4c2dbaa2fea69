import type { LossReason } from '../model/loss.ts';

/**
 * What is known to be missing of one direction of a connection since its cursor, which is just after the last message that
 * ended there. Bytes that were seen and not understood are not missing.
 */
export class Missing {
  /** Why, as far as somebody said. */
  why: LossReason = 'gap';
  /** Just after the last bytes that are missing; -1: none were. */
  end = -1;
  /** How many are since the cursor; 0: nobody said, all bytes of a hole are. */
  bytes = 0;

  /** `length` bytes from `position` will never come. */
  gap(position: number, length: number, why: LossReason): void {
    this.why = why;
    this.end = position + length;
    this.bytes += length;
  }

  /** The cursor moves on to `offset`. */
  passed(offset: number): void {
    this.bytes = Math.max(0, this.end - offset);
  }
}
