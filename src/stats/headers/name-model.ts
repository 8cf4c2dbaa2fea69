/** What the windows before have taught about one header name: how often it comes, which values it has, and whether new ones are usual. */
import type { ModelRoom } from './model-room.ts';
import { FADE, Share } from './share.ts';
import { NameState } from './state.ts';

/** Values remembered of one name. */
const VALUES_MAX = 128;
/**
 * Changes of a name's values that are taken for somebody's doing, of those that the windows remember: their new values say nothing about how
 * usual new values are. Further ones do: what changes all the time does so by itself.
 */
const DOINGS_MAX = 4;
/** A value whose share has faded to this is forgotten. */
const FORGET = 1e-5;

export interface ValueModel {
  readonly share: Share;
  example: string;
}

export class NameModel {
  /** Share of the messages that have it. */
  presence = new Share();
  /** Share of the lines whose value the model did not have. */
  readonly novelty = new Share();
  readonly values = new Map<string, ValueModel>();
  /** Lines per window since the values began anew, for those that join them. */
  #lines = new Share();
  /** Changes told, fading as windows do; whether the one of the window in hand is somebody's doing. */
  #told = 0;
  #doing = false;
  /** The last window had more values than room: what is missing may have been there. */
  overfull = false;
  example = '';
  /** Unix milliseconds. */
  lastAt = 0;

  readonly #room: ModelRoom;

  constructor(room: ModelRoom) {
    this.#room = room;
  }

  /** Lines of this window with values that the model does not have; of the very first window, those that came in its second half. */
  novel(state: NameState, counts: (value: string) => boolean): number {
    if (this.novelty.trials === 0) {
      let late = state.rest;
      for (const [value, entry] of state.values) if (counts(value)) late += 2 * entry.late;
      return Math.min(state.lines, late);
    }
    let novel = state.rest;
    for (const [value, { count }] of state.values) if (!this.values.has(value) && counts(value)) novel += count;
    return Math.min(state.lines, novel);
  }

  /** A share of 0 in all the lines seen so far: what a value has that was never seen, or not since the values changed. */
  never(): Share {
    return Share.never(this.novelty);
  }

  /** Learns a window. `counts`: which unknown values count as novel. */
  learn(state: NameState, messages: number, counts: (value: string) => boolean): void {
    this.presence.add(state.messages, messages);
    if (state.lines === 0) return;
    if (this.#doing) this.novelty.fade();
    else this.novelty.add(this.novel(state, counts), state.lines);
    this.#doing = false;
    this.#told *= FADE;
    this.overfull = state.error > 0;
    for (const [value, { count, example }] of state.values) {
      let known = this.values.get(value);
      if (known === undefined) {
        if (this.values.size >= VALUES_MAX || !this.#room.takeValue()) {
          this.overfull = true;
          continue;
        }
        known = { share: Share.never(this.#lines), example };
        this.values.set(value, known);
      }
      known.share.add(count, state.lines);
      known.example = example || known.example;
    }
    for (const [value, known] of this.values) {
      if (state.values.has(value)) continue;
      known.share.add(Math.min(state.error, state.lines), state.lines);
      if (known.share.mean < FORGET && this.values.delete(value)) this.#room.values--;
    }
    this.#lines.add(0, state.lines);
    this.example = state.example || this.example;
    this.lastAt = state.lastAt;
  }

  /** A change of the values was told: begins anew with what they are from now on; how usual new ones are stays known. */
  changed(): void {
    this.forgetValues();
    this.#doing = ++this.#told <= DOINGS_MAX;
  }

  forgetValues(): void {
    this.#room.values -= this.values.size;
    this.values.clear();
    this.#lines = new Share();
    this.overfull = false;
  }

  /** The values as a window of `lines` lines would have them, if nothing changed. */
  expected(lines: number): NameState {
    const state = new NameState('');
    state.lines = lines;
    for (const [value, { share }] of this.values)
      state.values.set(value, { count: share.mean * lines, late: 0, example: '' });
    return state;
  }

  /** The most frequent values with their shares, most frequent first. */
  top(most: number): { value: string; share: number }[] {
    return [...this.values]
      .map(([value, { share }]) => ({ value, share: share.mean }))
      .sort((a, b) => b.share - a.share)
      .slice(0, most);
  }
}
