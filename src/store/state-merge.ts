/** What lies in a state of each kind, and how states of a kind become one: the same for the writing thread and for reports. */
import type { Change } from '../stats/headers/changes.ts';
import { decodeHeaders, encodeHeaders } from '../stats/headers/codec.ts';
import { HeaderState } from '../stats/headers/state.ts';
import { encodeSeries, mergeSeries, SeriesState } from '../stats/series.ts';
import { TlsState } from '../stats/tls.ts';

export const STATE_KIND = {
  /** encodeSeries() of one series in one minute. */
  calls: 'calls',
  /** encodeHeaders() of all series in one window. */
  headers: 'headers',
  /** JSON: the changes found in one window. */
  changes: 'changes',
  /** TlsState.encode() of one service in one minute. */
  tls: 'tls',
} as const;

/** States of one kind and series, being merged. */
export interface Merger {
  add(state: Uint8Array): void;
  /** All that was added as one state. */
  encode(): Uint8Array;
}
export type MakeMerger = (kind: string) => Merger;

/** Bytes that cannot be read add nothing: the store has checked them against its own sums, so they are another version's. */
export const mergerOf: MakeMerger = (kind) => {
  switch (kind) {
    case STATE_KIND.calls: {
      const merged = new SeriesState();
      return { add: (state) => void mergeSeries(merged, state), encode: () => encodeSeries(merged) };
    }
    case STATE_KIND.headers: {
      const merged = new HeaderState();
      return {
        add: (state) => {
          const decoded = decodeHeaders(state);
          if (decoded.ok) merged.merge(decoded.state);
        },
        encode: () => encodeHeaders(merged),
      };
    }
    case STATE_KIND.tls: {
      const merged = new TlsState();
      return {
        add: (state) => {
          const decoded = TlsState.decode(state);
          if (decoded !== null) merged.merge(decoded);
        },
        encode: () => merged.encode(),
      };
    }
    default: {
      const merged: Change[] = [];
      return {
        add: (state) => {
          for (const change of changesOf(state)) if (merged.length < CHANGES_MAX) merged.push(change);
        },
        encode: () => Buffer.from(JSON.stringify(merged)),
      };
    }
  }
};

/** Changes kept of one stretch: more than anybody reads. */
const CHANGES_MAX = 10_000;

/** The changes in a state; none when it is another version's. */
export function changesOf(state: Uint8Array): readonly Change[] {
  try {
    const changes: unknown = JSON.parse(Buffer.from(state).toString());
    return Array.isArray(changes) ? (changes as Change[]) : [];
  } catch {
    return [];
  }
}
