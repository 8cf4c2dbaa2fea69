/**
 * Finds the series of a call: service and side give a group, method and route a series in it. Every dimension is bounded;
 * what is beyond a bound goes to the series `other` of its group, and the call says so in the counter `overflow`.
 */
import { type Connection, OTHER, type Side } from '../model/connection.ts';
import type { LoadCounter } from '../model/load.ts';
import type { HeaderObserver, HeaderStatistics } from './header-seam.ts';
import { type SeriesKey, SeriesState, STATUSES_FIRST } from './series.ts';
import type { HistogramMemory } from './sketch/histogram.ts';
import { MinuteRing } from './windows.ts';

export interface StatsLimits {
  /** Services by name; further ones are `other`. */
  readonly services: number;
  readonly methods: number;
  /** Series of one service on one side, and of all. */
  readonly serviceSeries: number;
  readonly series: number;
  /** Memory of all series; beyond it there are no new ones, and histograms stay coarse. */
  readonly bytes: number;
  /** Memory of the minutes that are kept to answer for the last hour. */
  readonly recentBytes: number;
}

export const STATS_LIMITS: StatsLimits = {
  services: 256,
  methods: 32,
  serviceSeries: 1_024,
  series: 4_096,
  bytes: 64 << 20,
  recentBytes: 16 << 20,
};

/** Longer templates are `other`: routes come from the peer. */
export const ROUTE_LENGTH_MAX = 512;
/** What a state holds besides its histograms' counts, and a series besides its states: measured, rounded up. */
export const STATE_BYTES = 3_072;
const SERIES_BYTES = 1_024;
/** Slots of minutes that may be open at once. */
export const OPEN_MINUTES = 4;
/** Connections whose last series is remembered; a direct-mapped table. */
const REMEMBERED = 2_048;
/** A series or service that nobody called for so many minutes may make room for another. */
const IDLE_MINUTES = 60;

/** A call to point at. */
export interface ExampleCall {
  readonly id: string;
  /** Response time; 0 where it does not matter. */
  readonly ns: number;
  /** When it ended, ns since the anchor. */
  readonly at: number;
}

/** Keeps a call to point at. Its id is made when somebody asks: that costs as much as counting the call. */
export class Example {
  #connection: Connection | null = null;
  #ordinal = 0;
  #at = 0;
  #shown: ExampleCall | null = null;
  /** Response time of the call that is kept; -1: none has come since take(). */
  ns = -1;

  set(connection: Connection, ordinal: number, ns: number, at: number): void {
    this.#connection = connection;
    this.#ordinal = ordinal;
    this.ns = ns;
    this.#at = at;
  }

  /** The call that is kept, and makes room; the one before when there was none since. null: there was never one. */
  take(id: (connection: Connection, ordinal: number) => string): ExampleCall | null {
    if (this.#connection !== null) {
      this.#shown = { id: id(this.#connection, this.#ordinal), ns: this.ns, at: this.#at };
      this.#connection = null;
      this.ns = -1;
    }
    return this.#shown;
  }
}

/**
 * The status codes that a series tells apart: the first so many that it had, for as long as it lives. Were it the first of each minute, a
 * code would have a count of its own in some of them, and its counter in /metrics would fall.
 */
export class StatusCodes {
  readonly #codes = new Uint16Array(STATUSES_FIRST);
  #used = 0;

  /** The code to count a call by: its own, or 0. */
  own(status: number): number {
    const used = this.#used;
    let i = 0;
    while (i < used && this.#codes[i] !== status) i++;
    if (i < used) return status;
    if (used === STATUSES_FIRST) return 0;
    this.#codes[used] = status;
    this.#used = used + 1;
    return status;
  }
}

export class Series {
  readonly key: SeriesKey;
  readonly group: Group;
  /** Since the start, but for the open minutes. */
  readonly total: SeriesState;
  /** By place of the open minute. */
  readonly open: (SeriesState | null)[] = new Array(OPEN_MINUTES).fill(null);
  readonly headers: HeaderObserver | null;
  /** It stands for what is beyond a bound. */
  readonly overflow: boolean;
  readonly statuses = new StatusCodes();
  /** Last minute in which it was called. */
  lastMinute = 0;
  /** The slowest call since its id was last asked for, and the last call that failed. */
  readonly slowest = new Example();
  readonly failed = new Example();

  constructor(key: SeriesKey, group: Group, total: SeriesState, headers: HeaderObserver | null, overflow: boolean) {
    this.key = key;
    this.group = group;
    this.total = total;
    this.headers = headers;
    this.overflow = overflow;
  }
}

/** A service on one side. */
export class Group {
  readonly service: string;
  readonly side: Side;
  /** The row of the service itself: calls whose request was not seen, time at each concurrency. */
  own!: Series;
  other: Series | null = null;
  readonly routes = new Map<string, Series[]>();
  size = 0;
  readonly minutes = new MinuteRing();
  /** Calls in flight now; null before the first call. */
  load: LoadCounter | null = null;
  /** Counters and load of all its series since the start, but for the open minutes: a scrape need not add up hundreds. */
  readonly total: SeriesState;

  constructor(service: string, side: Side, memory: HistogramMemory) {
    this.service = service;
    this.side = side;
    this.total = new SeriesState(memory);
  }

  *series(): Generator<Series> {
    yield this.own;
    if (this.other !== null) yield this.other;
    for (const methods of this.routes.values()) yield* methods;
  }
}

const keyOf = ({ service, side }: { readonly service: string; readonly side: Side }): string => `${side} ${service}`;

class Remembered {
  connection = 0;
  service = '';
  side: Side = 'unknown';
  group: Group | null = null;
  method = '';
  route = '';
  series: Series | null = null;
}

/** Calls that went to `other`, by the dimension that was full. */
export interface Overflow {
  service: number;
  method: number;
  route: number;
  /** Series that became part of `other` because nobody called them, or any of their service, for an hour. */
  folded: number;
}

export class SeriesTable {
  readonly limits: StatsLimits;
  readonly memory: HistogramMemory;
  readonly overflow: Overflow = { service: 0, method: 0, route: 0, folded: 0 };
  readonly #headers: HeaderStatistics | null;
  readonly #groups = new Map<string, Group>();
  readonly #services = new Set<string>();
  readonly #methods = new Set<string>();
  readonly #remembered = Array.from({ length: REMEMBERED }, () => new Remembered());
  #size = 0;
  /** Told of each series whose total moves to another, before it does. */
  folding: ((key: SeriesKey, total: SeriesState, into: SeriesKey) => void) | null = null;
  /** The last minute at which idle services and series were looked for. */
  #folded = Number.NEGATIVE_INFINITY;

  constructor(limits: StatsLimits, headers: HeaderStatistics | null) {
    this.limits = limits;
    this.memory = { bytes: 0, bytesMax: limits.bytes, coarsened: 0 };
    this.#headers = headers;
  }

  /** Series, with those of services themselves and of `other`. */
  get size(): number {
    return this.#size;
  }

  groups(): Iterable<Group> {
    return this.#groups.values();
  }

  *series(): Generator<Series> {
    for (const group of this.#groups.values()) yield* group.series();
  }

  /** Two comparisons when the connection's last call had the same route; else two or three look-ups. */
  find(connection: Connection, method: string, route: string): Series {
    const known = this.#remembered[connection.id % REMEMBERED]!;
    const { service, side } = connection;
    if (known.connection !== connection.id || known.service !== service || known.side !== side) {
      known.connection = connection.id;
      known.service = service;
      known.side = side;
      known.group = this.#group(service, side);
      known.series = null;
    }
    const group = known.group!;
    if (known.series === null || known.route !== route || known.method !== method) {
      const series = this.#find(group, method, route);
      // Overflowing calls are counted one by one.
      known.series = series.overflow ? null : series;
      known.method = method;
      known.route = route;
      return series;
    }
    return known.series;
  }

  /**
   * Where nothing can be added, what nobody calls any more becomes part of `other`, its counts too: services of `other` on their side, or their
   * routes. Else services and methods that come and go would use the places up for good.
   */
  fold(minute: number): void {
    // Once a minute: minutes that are opened again for late calls end often. A clock may step back far.
    if (minute <= this.#folded && minute > this.#folded - IDLE_MINUTES) return;
    this.#folded = minute;
    const { limits, memory, overflow } = this;
    const services = this.#services.size >= limits.services;
    const series =
      this.#size >= limits.series ||
      this.#methods.size >= limits.methods ||
      memory.bytes + SERIES_BYTES + STATE_BYTES > limits.bytes;
    const before = overflow.folded;
    for (const group of this.#groups.values()) {
      if (services && group.service !== OTHER && this.#isGone(group, minute)) this.#foldGroup(group);
      else if (series || group.size >= limits.serviceSeries) this.#foldRoutes(group, minute);
    }
    if (overflow.folded === before) return;
    this.#services.clear();
    this.#methods.clear();
    for (const group of this.#groups.values()) {
      this.#services.add(group.service);
      for (const methods of group.routes.values()) for (const { key } of methods) this.#methods.add(key.method);
    }
    for (const known of this.#remembered) {
      known.connection = 0;
      known.group = null;
      known.series = null;
    }
  }

  #idle(series: Series, minute: number): boolean {
    return series.lastMinute < minute - IDLE_MINUTES && series.open.every((state) => state === null);
  }

  #isGone(group: Group, minute: number): boolean {
    return (group.load?.inFlight ?? 0) <= 0 && [...group.series()].every((series) => this.#idle(series, minute));
  }

  /** Its own `total` goes with it: it has no part in any answer but /metrics, where these calls were its own. */
  #foldGroup(group: Group): void {
    const into = this.#other(this.#named(OTHER, group.side));
    for (const series of group.series()) this.#drop(series, into);
    group.total.release();
    this.memory.bytes -= STATE_BYTES;
    this.#groups.delete(keyOf(group));
  }

  #foldRoutes(group: Group, minute: number): void {
    for (const [route, methods] of group.routes) {
      const kept = methods.filter((series) => !this.#idle(series, minute));
      if (kept.length === methods.length) continue;
      for (const series of methods) if (!kept.includes(series)) this.#drop(series, this.#other(group));
      if (kept.length === 0) group.routes.delete(route);
      else group.routes.set(route, kept);
    }
  }

  #drop(series: Series, into: Series): void {
    this.folding?.(series.key, series.total, into.key);
    into.total.merge(series.total);
    series.total.release();
    series.group.size--;
    this.#size--;
    this.memory.bytes -= SERIES_BYTES + STATE_BYTES;
    this.overflow.folded++;
  }

  #group(service: string, side: Side): Group {
    const named = this.#services.has(service) || this.#services.size < this.limits.services;
    if (!named) this.overflow.service++;
    return this.#named(named ? service : OTHER, side);
  }

  #named(service: string, side: Side): Group {
    const key = keyOf({ service, side });
    let group = this.#groups.get(key);
    if (group === undefined) {
      this.#services.add(service);
      group = new Group(service, side, this.memory);
      this.memory.bytes += STATE_BYTES;
      this.#groups.set(key, group);
      group.own = this.#make(group, '', '', false);
    }
    return group;
  }

  #find(group: Group, method: string, route: string): Series {
    if (method === '' && route === '') return group.own;
    const methods = group.routes.get(route);
    if (methods !== undefined) for (const series of methods) if (series.key.method === method) return series;
    if (!this.#methods.has(method) && this.#methods.size >= this.limits.methods) {
      this.overflow.method++;
      return this.#other(group);
    }
    const fits =
      route.length <= ROUTE_LENGTH_MAX &&
      group.size < this.limits.serviceSeries &&
      this.#size < this.limits.series &&
      this.memory.bytes + SERIES_BYTES + STATE_BYTES <= this.limits.bytes;
    if (!fits) {
      this.overflow.route++;
      return this.#other(group);
    }
    this.#methods.add(method);
    const series = this.#make(group, method, route, false);
    group.size++;
    if (methods === undefined) group.routes.set(route, [series]);
    else methods.push(series);
    return series;
  }

  /** Always there, whatever is full: one for each group, and groups are bounded. */
  #other(group: Group): Series {
    group.other ??= this.#make(group, OTHER, OTHER, true);
    return group.other;
  }

  #make(group: Group, method: string, route: string, overflow: boolean): Series {
    const key: SeriesKey = { service: group.service, side: group.side, method, route };
    this.#size++;
    this.memory.bytes += SERIES_BYTES + STATE_BYTES;
    return new Series(key, group, new SeriesState(this.memory), this.#headers?.series(key) ?? null, overflow);
  }
}
