/** Files of a sealed segment, or of a part of a live one. */
export interface SegmentFiles {
  readonly segment: number;
  /** No call in them has a smaller sequence; those of files before them have. */
  readonly from: number;
  readonly calls: string;
  /** Unix ns at which the newest call in them began; null: not known. */
  readonly newest: bigint | null;
  readonly states: string | null;
  readonly ledger: string | null;
  /** Which field values, names and targets the calls have (value-filter.ts); perhaps it does not exist. Null: there is none. */
  readonly values: string | null;
  /** Which pieces their values and targets have (piece-filter.ts); the same of it. */
  readonly pieces: string | null;
  /** WebSockets that ended. */
  readonly websockets: string | null;
  /** Version of the schema that the calls were written in. */
  readonly version: 1 | 2;
}

/** What a segment was turned into: its paths. */
export const pathsOf = ({ calls, states, ledger, websockets }: SegmentFiles): string[] =>
  [calls, states, ledger, websockets].filter((path) => path !== null);
