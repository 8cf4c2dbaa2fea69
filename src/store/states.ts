/**
 * States of statistics over a range. A stretch that is whole (ten minutes, an hour, a day) is always merged from its own parts
 * first and encoded, whether or not that was done before: so the answer is the same, bit for bit, before and after it is kept.
 */
import { setImmediate } from 'node:timers/promises';
import type { Answer } from './database.ts';
import { ROLLUP_LEVELS } from './layout.ts';
import type { Rollup, SegmentStates, StateFiles, StateRow } from './state-files.ts';
import type { Merger } from './state-merge.ts';

const MINUTE_MS = 60_000;
const BUSY_MS = 5;
const DAY_MS = 86_400_000;
const dayOf = (ms: number): number => Math.floor(ms / DAY_MS) * DAY_MS;

type SeriesKind = Omit<StateRow, 'startMs' | 'state'>;
/** One series' state over a whole stretch. */
export type MergedState = SeriesKind & { readonly state: Uint8Array };
/** The same as it was merged, for whoever does not keep it. */
export type RangeState<M extends Merger> = SeriesKind & { readonly merged: M };

export interface StateSelection {
  /** Unix time in ms; widened to whole minutes. */
  readonly sinceMs: number;
  readonly untilMs: number;
  /** Only these kinds; without it all. */
  readonly kinds?: readonly string[];
}

/** What a data folder has of states. */
export interface StateSources {
  readonly files: StateFiles;
  /** Oldest first. */
  readonly minutes: readonly SegmentStates[];
  /** What is merged, by the levels of ROLLUP_LEVELS. */
  readonly rolled: readonly ReadonlyMap<number, Rollup>[];
}

/** The states of a range, one for each series and kind. An empty or turned-round range is refused. What was read is kept for the next until `forget()`. */
export async function mergedStates<M extends Merger>(
  { states: sources }: { readonly states: StateSources },
  selection: StateSelection,
  make: (kind: string) => M,
): Promise<Answer<RangeState<M>[]>> {
  if (!(selection.sinceMs < selection.untilMs)) {
    return { ok: false, error: { type: 'invalid', message: 'the range is empty: it ends before it begins' } };
  }
  const merging = new StateMerging(sources, make, selection.kinds);
  const steps = merging.range(selection.sinceMs, selection.untilMs);
  let since = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return { ok: true, value: step.value };
    // An agent that is asked goes on with its work.
    if (performance.now() - since < BUSY_MS) continue;
    await setImmediate();
    since = performance.now();
  }
}

/** States of several series while they are merged. */
class Merged<M extends Merger> {
  readonly #make: (kind: string) => M;
  readonly #rows = new Map<string, { readonly key: SeriesKind; only: Uint8Array | null; merger: M | null }>();

  constructor(make: (kind: string) => M) {
    this.#make = make;
  }

  add({ service, side, method, route, kind, state }: MergedState): void {
    const text = `${kind}\0${side}\0${service}\0${method}\0${route}`;
    const known = this.#rows.get(text);
    if (known === undefined) {
      this.#rows.set(text, { key: { service, side, method, route, kind }, only: state, merger: null });
      return;
    }
    if (known.merger === null) {
      known.merger = this.#make(kind);
      known.merger.add(known.only!);
      known.only = null;
    }
    known.merger.add(state);
  }

  /** One state for each series. A step is one that takes long. */
  *states(): Generator<void, MergedState[]> {
    const states: MergedState[] = [];
    for (const { key, only, merger } of this.#rows.values()) {
      const state = merger?.encode() ?? only!;
      states.push({ ...key, state });
      if (state.length >= LARGE_BYTES) yield;
    }
    return states;
  }

  *ranges(): Generator<void, RangeState<M>[]> {
    const states: RangeState<M>[] = [];
    for (const { key, only, merger } of this.#rows.values()) {
      const merged = merger ?? this.#make(key.kind);
      if (merger === null) merged.add(only!);
      states.push({ ...key, merged });
      if (only !== null && only.length >= LARGE_BYTES) yield;
    }
    return states;
  }
}

/** Merges step by step: each `next()` takes as long as a state or two, so that a thread can do other things in between. */
export class StateMerging<M extends Merger> {
  readonly #sources: StateSources;
  readonly #make: (kind: string) => M;
  readonly #kinds: ReadonlySet<string> | null;
  /** Unix ms of days (UTC) that there may be anything of. */
  readonly #days = new Set<number>();

  constructor(sources: StateSources, make: (kind: string) => M, kinds?: readonly string[]) {
    this.#sources = sources;
    this.#make = make;
    this.#kinds = kinds === undefined ? null : new Set(kinds);
    for (const rolled of sources.rolled) for (const start of rolled.keys()) this.#days.add(dayOf(start));
    for (const { states } of sources.minutes) {
      for (const [first, last] of sources.files.spans(states))
        for (let day = dayOf(first); day <= last; day += DAY_MS) this.#days.add(day);
    }
  }

  /** Whole minutes from the one of `sinceMs` to the one of `untilMs`. */
  *range(sinceMs: number, untilMs: number): Generator<void, RangeState<M>[]> {
    const from = Math.floor(sinceMs / MINUTE_MS) * MINUTE_MS;
    const to = Math.ceil(untilMs / MINUTE_MS) * MINUTE_MS;
    const merged = new Merged(this.#make);
    // A range may be far wider than what there is.
    for (const day of [...this.#days].sort((a, b) => a - b)) {
      yield* this.#gather(merged, ROLLUP_LEVELS.length - 1, Math.max(from, day), Math.min(to, day + DAY_MS));
    }
    return yield* merged.ranges();
  }

  /** One whole stretch of level `level`: as it is to be kept. */
  *stretch(level: number, startMs: number): Generator<void, MergedState[]> {
    const merged = new Merged(this.#make);
    const end = startMs + ROLLUP_LEVELS[level]!.ms;
    const rolled = this.#sources.rolled[level]!.get(startMs);
    const rows = rolled === undefined ? null : this.#sources.files.rolled(rolled);
    if (rolled !== undefined && rows !== null) {
      yield* this.#add(merged, rows);
      // What came to the disk later: a run that was killed, or one whose clock was set.
      yield* this.#minutes(merged, startMs, end, rolled.through);
    } else yield* this.#gather(merged, level - 1, startMs, end);
    return yield* merged.states();
  }

  /** Adds [from, to): stretches of `level` and below, and minutes at the ends. */
  *#gather(into: Merged<M>, level: number, from: number, to: number): Generator<void> {
    for (let at = from; at < to; ) {
      let whole = level;
      while (whole >= 0 && (at % ROLLUP_LEVELS[whole]!.ms !== 0 || at + ROLLUP_LEVELS[whole]!.ms > to)) whole--;
      if (whole >= 0) {
        yield* this.#add(into, yield* this.stretch(whole, at));
        at += ROLLUP_LEVELS[whole]!.ms;
        continue;
      }
      const step = ROLLUP_LEVELS[0]!.ms;
      const next = Math.min(to, (Math.floor(at / step) + 1) * step);
      yield* this.#minutes(into, at, next, -1);
      at = next;
    }
  }

  /** Adds minutes of segments after `through`, in an order that does not depend on which file they are in. */
  *#minutes(into: Merged<M>, from: number, to: number, through: number): Generator<void> {
    const rows: StateRow[] = [];
    for (const { segment, states } of this.#sources.minutes) {
      if (segment > through) rows.push(...this.#sources.files.rows(states, from, to));
    }
    yield* this.#add(
      into,
      rows.sort((a, b) => a.startMs - b.startMs || Buffer.compare(a.state, b.state)),
    );
  }

  *#add(into: Merged<M>, rows: Iterable<MergedState>): Generator<void> {
    for (const row of rows) {
      if (this.#kinds !== null && !this.#kinds.has(row.kind)) continue;
      into.add(row);
      if (row.state.length >= LARGE_BYTES) yield;
    }
    yield;
  }
}
/** Such a state takes milliseconds to merge. */
const LARGE_BYTES = 16_384;
