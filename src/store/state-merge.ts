/** What lies in a state of each kind, and how states of a kind become one: the same for the writing thread and for reports. */
import type { Change } from '../stats/headers/changes.ts';
import { encodeHeaders, mergeHeaders } from '../stats/headers/codec.ts';
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

/** What states of each kind are when they are merged. */
export type StandardMerger = Merger &
  (
    | { readonly kind: typeof STATE_KIND.calls; readonly state: SeriesState }
    | { readonly kind: typeof STATE_KIND.headers; readonly state: HeaderState }
    | { readonly kind: typeof STATE_KIND.tls; readonly state: TlsState }
    | { readonly kind: typeof STATE_KIND.changes; readonly state: readonly Change[] }
  );

/** Bytes that cannot be read add nothing: the store has checked them against its own sums, so they are another version's. */
export function mergerOf(kind: string): StandardMerger {
  switch (kind) {
    case STATE_KIND.calls: {
      const state = new SeriesState();
      return { kind, state, add: (bytes) => void mergeSeries(state, bytes), encode: () => encodeSeries(state) };
    }
    case STATE_KIND.headers: {
      const state = new HeaderState();
      return { kind, state, add: (bytes) => void mergeHeaders(state, bytes), encode: () => encodeHeaders(state) };
    }
    case STATE_KIND.tls: {
      const state = new TlsState();
      const add = (bytes: Uint8Array): void => {
        const decoded = TlsState.decode(bytes);
        if (decoded !== null) state.merge(decoded);
      };
      return { kind, state, add, encode: () => state.encode() };
    }
    default: {
      const state: Change[] = [];
      const add = (bytes: Uint8Array): void => {
        for (const change of changesOf(bytes)) if (state.length < CHANGES_MAX) state.push(change);
      };
      return { kind: STATE_KIND.changes, state, add, encode: () => Buffer.from(JSON.stringify(state)) };
    }
  }
}

/** Changes kept of one stretch: more than anybody reads. */
const CHANGES_MAX = 10_000;

/** The changes in a state; none when it is another version's. */
function changesOf(state: Uint8Array): readonly Change[] {
  try {
    const changes: unknown = JSON.parse(Buffer.from(state).toString());
    return Array.isArray(changes) ? (changes as Change[]) : [];
  } catch {
    return [];
  }
}
