/**
 * Keeps merged what long reports ask for: ten minutes, hours, quarters of days and days that are over, from segments that are sealed. What is
 * interrupted is made again from the same files; what comes to the disk later is merged into what is there.
 */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ROLLUP, ROLLUP_LEVELS, rollupName } from './layout.ts';
import { drop, publish, STATES_FILE, sealedSegments, writeParquet } from './seal.ts';
import { Segment } from './segment.ts';
import { StateFiles } from './state-files.ts';
import type { MakeMerger } from './state-merge.ts';
import { type MergedState, StateMerging } from './states.ts';

/** A minute's states come to the store a while after it: a stretch is merged this long after its end. */
const SETTLE_MS = 150_000;

export class RollUp {
  readonly #data: string;
  readonly #make: MakeMerger;
  /** Files that could not be read, until somebody takes them away. */
  readonly damaged = new Set<string>();
  readonly #files: StateFiles;
  /** Stretches without states: holes within a segment. */
  readonly #nothing = new Set<string>();

  constructor(data: string, make: MakeMerger) {
    this.#data = data;
    this.#make = make;
    this.#files = new StateFiles(data, this.damaged);
  }

  /**
   * Merges what is over at `nowMs` and not merged yet; `liveMs`: first minute that a segment holds which is not sealed, or
   * Infinity. Returns how many stretches were written. Fails as `node:fs` does. To be driven to its end, with pauses as one likes.
   */
  *run(nowMs: number, liveMs: number): Generator<void, number> {
    const minutes = [...sealedSegments(this.#data)]
      .map(([segment, folder]) => ({ segment, states: join(this.#data, folder, STATES_FILE) }))
      .filter(({ states }) => existsSync(states))
      .sort((a, b) => a.segment - b.segment);
    const until = Math.min(nowMs - SETTLE_MS, liveMs);
    let written = 0;
    for (const [index, level] of ROLLUP_LEVELS.entries()) {
      const wanted = new Map<number, number>();
      for (const { segment, states } of minutes) {
        const spans = this.#files.spans(states);
        yield;
        for (const [first, last] of spans) {
          const from = Math.floor(first / level.ms) * level.ms;
          for (let at = from; at <= last && at + level.ms <= until; at += level.ms) wanted.set(at, segment);
        }
      }
      const rolled = ROLLUP_LEVELS.map((one) => this.#files.rollups(one));
      const there = rolled[index]!;
      const merging = new StateMerging({ files: this.#files, minutes, rolled }, this.#make);
      for (const [start, through] of wanted) {
        const known = there.get(start);
        if (known !== undefined && known.through >= through) continue;
        const nothing = `${level.name} ${start} ${through}`;
        if (this.#nothing.has(nothing)) continue;
        const states = yield* merging.stretch(index, start);
        if (states.length > 0) {
          this.#write(index, start, through, states);
          written++;
          if (known !== undefined) drop(known.folder);
        } else this.#nothing.add(nothing);
      }
    }
    this.#files.forget();
    return written;
  }

  #write(index: number, start: number, through: number, states: readonly MergedState[]): void {
    const level = ROLLUP_LEVELS[index]!;
    const segment = new Segment();
    for (const state of states) segment.stateEntry({ ...state, level: level.name, startMs: start }, state.state);
    const path = join(this.#data, ROLLUP, level.name, rollupName(start, through));
    // What is left of one whose file was set aside.
    if (!existsSync(join(path, STATES_FILE))) rmSync(path, { recursive: true, force: true });
    publish(path, (folder) => writeParquet(join(folder, STATES_FILE), segment.states, {}));
  }
}
