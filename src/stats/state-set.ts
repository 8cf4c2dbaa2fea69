/** States of many series over any range: what the store reads goes in, what a report needs comes out. */
import { type DecodeProblem, mergeSeries, type SeriesKey, SeriesState } from './series.ts';

export interface StateRow {
  readonly key: SeriesKey;
  readonly state: SeriesState;
}

const textOf = ({ service, side, method, route }: SeriesKey): string => `${side}\0${service}\0${method}\0${route}`;

export class StateSet {
  readonly #rows = new Map<string, StateRow>();

  get size(): number {
    return this.#rows.size;
  }

  /** Adds an encoded state. null, or why its bytes cannot be read: nothing was added then. */
  add(key: SeriesKey, bytes: Uint8Array): DecodeProblem | null {
    return mergeSeries(this.#state(key), bytes);
  }

  /** Adds a state, which stays as it is. */
  merge(key: SeriesKey, state: SeriesState): void {
    this.#state(key).merge(state);
  }

  /** Takes a state as it is, of a series that is not there yet: it belongs to this set from now on. */
  put(key: SeriesKey, state: SeriesState): void {
    this.#rows.set(textOf(key), { key, state });
  }

  get(key: SeriesKey): SeriesState | null {
    return this.#rows.get(textOf(key))?.state ?? null;
  }

  [Symbol.iterator](): Iterator<StateRow> {
    return this.#rows.values();
  }

  #state(key: SeriesKey): SeriesState {
    const text = textOf(key);
    let row = this.#rows.get(text);
    if (row === undefined) {
      row = { key, state: new SeriesState() };
      this.#rows.set(text, row);
    }
    return row.state;
  }
}
