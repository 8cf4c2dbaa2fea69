/** Bytes that several tables share: each asks before it grows, so that no mixture of them outgrows the whole. */
export class ByteBudget {
  readonly max: number;
  used = 0;
  /** Times that somebody asked for more than was left. */
  refused = 0;

  constructor(max: number) {
    this.max = max;
  }

  /** Takes `bytes` if that many are left. */
  take(bytes: number): boolean {
    if (this.used + bytes > this.max) {
      this.refused++;
      return false;
    }
    this.used += bytes;
    return true;
  }
}
