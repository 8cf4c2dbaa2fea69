/**
 * The minutes of the statistics: which are open, the sealing of those that are over, and those that memory keeps for answers.
 *
 * Minutes are Unix minutes. A call that comes late opens its minute again; the minute is then sealed once more, with the late
 * calls only, and whoever keeps it merges both. So a clock that steps costs accuracy of no count.
 */
import { encodeSeries, type SeriesKey, SeriesState } from './series.ts';
import { OPEN_MINUTES, type Series, type SeriesTable, STATE_BYTES } from './series-table.ts';
import type { StateSet } from './state-set.ts';

/** One series' part of a minute. */
export interface SealedRow {
  readonly key: SeriesKey;
  /** encodeSeries() of it. */
  readonly state: Uint8Array;
}

export interface SealedMinute {
  /** Unix time / 60 s. May come more than once: merge. */
  readonly minute: number;
  readonly rows: readonly SealedRow[];
  /** Of all states. */
  readonly bytes: number;
}

/** An open minute: its span in anchored ns, and the series that have a state in it. */
export interface OpenMinute {
  readonly place: number;
  minute: number;
  from: number;
  to: number;
  readonly series: Series[];
  /** It is over: its series are being sealed, these are done. */
  sealing: boolean;
  rows: SealedRow[];
  bytes: number;
}

const MINUTE_NS = 60e9;
const MINUTE_MS = 60_000;
/** Calls may be given over a little after they ended. */
const GRACE_NS = 2e9;
/** Empty states kept for the next minute. */
const SPARE_MAX = 1_024;
/**
 * Sealing thousands of series at once would keep capture waiting for a tenth of a second: `advance` seals this many, and while
 * there are more, every so many calls one.
 */
const SEAL_BATCH = 256;
const CALLS_PER_SEAL = 8;

/** Sealed minutes that memory keeps however large they are. */
export const RECENT_MINUTES_MIN = 3;

const touches = (minute: number, sinceMs: number, untilMs: number): boolean =>
  (minute + 1) * MINUTE_MS > sinceMs && minute * MINUTE_MS < untilMs;

export class Minutes {
  readonly #table: SeriesTable;
  readonly #anchorMs: number;
  readonly #told: (minute: number) => void;
  readonly #places: OpenMinute[];
  /** Oldest first. */
  readonly #open: OpenMinute[] = [];
  #current: OpenMinute;
  readonly #spare: SeriesState[] = [];
  readonly #recent: SealedMinute[] = [];
  #recentBytes = 0;
  /** How many of #recent, from its end, nobody took yet. */
  #untaken = 0;
  /** Sealed minutes that went before anybody took them, and minutes opened although they, or later ones, were sealed. */
  untakenLost = 0;
  reopened = 0;
  /** Minutes that are being sealed, and calls since the last series was. */
  #sealing = 0;
  #callsSinceSeal = 0;
  #newestSealed = Number.NEGATIVE_INFINITY;

  /** @param told of each minute that was sealed. */
  constructor(table: SeriesTable, anchorMs: number, told: (minute: number) => void) {
    this.#table = table;
    this.#anchorMs = anchorMs;
    this.#told = told;
    this.#places = Array.from({ length: OPEN_MINUTES }, (_, place) => ({
      place,
      minute: -1,
      from: 0,
      to: 0,
      series: [],
      sealing: false,
      rows: [],
      bytes: 0,
    }));
    this.#current = this.#places[0]!;
  }

  /** Unix minute of a time in ns since the anchor. */
  of(at: number): number {
    return Math.floor((this.#anchorMs + at / 1e6) / MINUTE_MS);
  }

  /** The open minute of `at`, opened if need be. */
  at(at: number): OpenMinute {
    const current = this.#current;
    return at >= current.from && at < current.to ? current : this.#turn(at);
  }

  /** What the series has in this minute. */
  state(series: Series, slot: OpenMinute): SeriesState {
    return series.open[slot.place] ?? this.#begin(series, slot);
  }

  /** A call was counted: while minutes are being sealed, that goes on with the calls. */
  counted(): void {
    if (this.#sealing > 0 && ++this.#callsSinceSeal >= CALLS_PER_SEAL) this.#sealSome(1);
  }

  /** It is `nowNs`: minutes that are over, and a grace, are sealed, so many series of them at once. */
  advance(nowNs: number): void {
    for (const slot of this.#open) if (slot.to + GRACE_NS <= nowNs) this.#over(slot);
    this.#sealSome(SEAL_BATCH);
  }

  /** Seals everything. */
  finish(): void {
    while (this.#open.length > 0) this.#sealAll(this.#open[0]!);
  }

  /** Minutes sealed since the last call, each once, oldest seal first. */
  sealed(): readonly SealedMinute[] {
    const minutes = this.#untaken === 0 ? [] : this.#recent.slice(-this.#untaken);
    this.#untaken = 0;
    return minutes;
  }

  /** Adds what open minutes hold that is sealed in no series' total. */
  addOpen(set: StateSet): void {
    for (const { place, series } of this.#open) for (const one of series) set.merge(one.key, one.open[place]!);
  }

  /** Adds the minutes that [sinceMs, untilMs), in Unix time, touches. */
  addRange(set: StateSet, sinceMs: number, untilMs: number): void {
    for (const { minute, rows } of this.#recent) {
      if (touches(minute, sinceMs, untilMs)) for (const { key, state } of rows) set.add(key, state);
    }
    this.#addOpen(set, sinceMs, untilMs);
  }

  /** Adds what of them nobody took yet. */
  addUntaken(set: StateSet, sinceMs: number, untilMs: number): void {
    for (const { minute, rows } of this.#untaken === 0 ? [] : this.#recent.slice(-this.#untaken)) {
      if (touches(minute, sinceMs, untilMs)) for (const { key, state } of rows) set.add(key, state);
    }
    this.#addOpen(set, sinceMs, untilMs);
  }

  #addOpen(set: StateSet, sinceMs: number, untilMs: number): void {
    for (const { minute, place, series, rows } of this.#open) {
      if (!touches(minute, sinceMs, untilMs)) continue;
      for (const one of series) set.merge(one.key, one.open[place]!);
      for (const { key, state } of rows) set.add(key, state);
    }
  }

  /** Oldest sealed minute in memory; null: none was sealed. */
  get oldest(): number | null {
    return this.#recent.reduce<number | null>(
      (low, { minute }) => (low === null ? minute : Math.min(low, minute)),
      null,
    );
  }

  #turn(at: number): OpenMinute {
    const minute = this.of(at);
    let slot = this.#open.find((open) => open.minute === minute);
    if (slot === undefined) {
      if (this.#open.length === OPEN_MINUTES) {
        this.#sealAll(this.#open.reduce((oldest, open) => (open.minute < oldest.minute ? open : oldest)));
      }
      slot = this.#places.find((free) => free.minute === -1)!;
      slot.minute = minute;
      slot.from = (minute * MINUTE_MS - this.#anchorMs) * 1e6;
      slot.to = slot.from + MINUTE_NS;
      this.#open.push(slot);
      if (minute <= this.#newestSealed) this.reopened++;
    }
    this.#current = slot;
    return slot;
  }

  #begin(series: Series, slot: OpenMinute): SeriesState {
    let state = this.#spare.pop();
    if (state === undefined) {
      state = new SeriesState(this.#table.memory);
      this.#table.memory.bytes += STATE_BYTES;
    }
    series.open[slot.place] = state;
    series.lastMinute = slot.minute;
    slot.series.push(series);
    return state;
  }

  #over(slot: OpenMinute): void {
    if (slot.sealing) return;
    slot.sealing = true;
    this.#sealing++;
  }

  #sealAll(slot: OpenMinute): void {
    this.#over(slot);
    while (slot.series.length > 0) this.#sealOne(slot);
    this.#sealed(slot);
  }

  /** Seals up to `count` series of minutes that are over. */
  #sealSome(count: number): void {
    this.#callsSinceSeal = 0;
    let left = count;
    for (let i = this.#open.length - 1; i >= 0 && left > 0; i--) {
      const slot = this.#open[i]!;
      if (!slot.sealing) continue;
      for (; left > 0 && slot.series.length > 0; left--) this.#sealOne(slot);
      if (slot.series.length === 0) this.#sealed(slot);
    }
  }

  /** A late call may open the series again before its minute is done: it has two rows then, which merge. */
  #sealOne(slot: OpenMinute): void {
    const series = slot.series.pop()!;
    const state = series.open[slot.place]!;
    series.open[slot.place] = null;
    const encoded = encodeSeries(state);
    slot.bytes += encoded.length;
    slot.rows.push({ key: series.key, state: encoded });
    series.total.merge(state);
    series.group.total.mergeLoad(state);
    this.#free(state);
  }

  #sealed(slot: OpenMinute): void {
    const { minute, rows, bytes } = slot;
    this.#sealing--;
    this.#newestSealed = Math.max(this.#newestSealed, minute);
    slot.minute = -1;
    slot.from = 0;
    slot.to = 0;
    slot.sealing = false;
    slot.rows = [];
    slot.bytes = 0;
    this.#open.splice(this.#open.indexOf(slot), 1);
    this.#keep({ minute, rows, bytes });
    this.#told(minute);
  }

  #free(state: SeriesState): void {
    const { memory } = this.#table;
    if (this.#spare.length < SPARE_MAX && memory.bytes < memory.bytesMax / 2) {
      state.clear();
      this.#spare.push(state);
    } else {
      state.release();
      memory.bytes -= STATE_BYTES;
    }
  }

  #keep(minute: SealedMinute): void {
    this.#recent.push(minute);
    this.#recentBytes += minute.bytes;
    this.#untaken++;
    while (this.#recentBytes > this.#table.limits.recentBytes && this.#recent.length > RECENT_MINUTES_MIN) {
      this.#recentBytes -= this.#recent.shift()!.bytes;
      if (this.#untaken > this.#recent.length) {
        this.#untaken = this.#recent.length;
        this.untakenLost++;
      }
    }
  }
}
