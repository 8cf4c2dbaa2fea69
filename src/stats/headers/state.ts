/**
 * What a stretch of time showed of the headers, without anything that the hot path needed to count it: plain, mergeable, written to disk by
 * codec.ts. Values are redacted texts (a credential is its fingerprint), so that states of different runs and windows fit together, and no
 * hash of a value is ever in here except the lanes of the distinct counts.
 */
import { HyperLogLog } from '../sketch/hyperloglog.ts';
import { LengthCounts } from './lengths.ts';
import { mergeValues, VALUES_KEPT, type ValueCount, ValueList } from './values.ts';

export { VALUES_KEPT, type ValueCount };

export type Direction = 'request' | 'response';

export interface HeaderGroupKey {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
}

/** Names in one group and direction. */
export const NAMES_MAX = 256;
/** Names in all groups of one state, as merged from many windows: about 3 kB each. Those beyond count in their group's `:other`. */
export const NAMES_TOTAL_MAX = 16_384;
/** Groups times directions in one state. */
export const GROUPS_MAX = 4_096;
/** Stands for all names beyond NAMES_MAX; no header can be called so (RFC 9110 5.1). */
export const OTHER_NAME = ':other';
/** Stands for the order of the names: its values are the names of a block in their order. */
export const ORDER_NAME = ':order';

/** What is counted of a name by itself. */
export type NameCounts = Readonly<
  Pick<NameState, 'messages' | 'lines' | 'repeated' | 'linesMax' | 'error' | 'firstAt' | 'lastAt' | 'example'>
>;

/** One header name in one group and direction. Times are Unix milliseconds. */
export class NameState {
  readonly name: string;
  /** Messages that had it, lines of it, messages that had it more than once, most lines of it in one message. */
  messages = 0;
  lines = 0;
  repeated = 0;
  linesMax = 0;
  /** Characters of the value. */
  lengths = new LengthCounts();
  distinct = new HyperLogLog();
  values = new Map<string, ValueCount>();
  /** What may be missing from any value's count. */
  error = 0;
  firstAt = 0;
  lastAt = 0;
  /** Id of a call that had it. */
  example = '';

  constructor(name: string) {
    this.name = name;
  }

  /** Lines whose values have no count of their own. */
  get rest(): number {
    let counted = 0;
    for (const { count } of this.values.values()) counted += count;
    return Math.max(0, this.lines - counted);
  }

  /** Takes what another stretch showed. */
  merge(other: NameState): void {
    this.lengths.merge(other.lengths);
    this.distinct.merge(other.distinct);
    merging.take(other.values);
    this.mergeCounts(other, merging);
  }

  /** The same without what is only counted by length and by difference; `values` is of use to nobody afterwards. */
  mergeCounts(other: NameCounts, values: ValueList): void {
    if (this.messages === 0 || other.firstAt < this.firstAt) this.firstAt = other.firstAt;
    if (other.lastAt >= this.lastAt) {
      this.lastAt = other.lastAt;
      this.example = other.example || this.example;
    }
    this.messages += other.messages;
    this.lines += other.lines;
    this.repeated += other.repeated;
    this.linesMax = Math.max(this.linesMax, other.linesMax);
    this.error += other.error + mergeValues(this.values, values);
  }

  /** Keeps the VALUES_KEPT most frequent values. */
  trim(): void {
    merging.clear();
    this.error += mergeValues(this.values, merging);
  }
}

const merging = new ValueList();

/** One direction of one group. */
export class GroupState {
  readonly key: HeaderGroupKey;
  readonly direction: Direction;
  messages = 0;
  /** As how many independent messages they weigh: a client's calls come in runs (see DirectionWindow.state). */
  independent = 0;
  /** Field lines of a block, and its bytes: names, values and 4 bytes for `: ` and CRLF of each line. */
  blockLines = new LengthCounts();
  blockBytes = new LengthCounts();
  order = new NameState(ORDER_NAME);
  readonly names = new Map<string, NameState>();
  /** Everything about names beyond the bound; only messages and lines are counted. */
  other: NameState | null = null;
  readonly #room: { names: number };

  /** `room`: names that all groups of a state may still take together. */
  constructor(key: HeaderGroupKey, direction: Direction, room: { names: number } = { names: NAMES_MAX }) {
    this.key = key;
    this.direction = direction;
    this.#room = room;
  }

  /** Takes what another group counted. `own`: its names may become this one's, because nobody uses it any more. */
  merge(from: GroupState, own = false): void {
    this.messages += from.messages;
    this.independent += from.independent;
    this.blockLines.merge(from.blockLines);
    this.blockBytes.merge(from.blockBytes);
    this.order.merge(from.order);
    for (const [name, state] of from.names) {
      if (own && !this.names.has(name) && this.#hasRoom) {
        this.#room.names--;
        this.names.set(name, state);
      } else this.name(name).merge(state);
    }
    if (from.other !== null) this.overflow().merge(from.other);
  }

  get #hasRoom(): boolean {
    return this.names.size < NAMES_MAX && this.#room.names > 0;
  }

  /** State of a name; that of all others when there is no room for it. */
  name(name: string): NameState {
    let known = this.names.get(name);
    if (known === undefined) {
      if (!this.#hasRoom) return this.overflow();
      this.#room.names--;
      known = new NameState(name);
      this.names.set(name, known);
    }
    return known;
  }

  overflow(): NameState {
    this.other ??= new NameState(OTHER_NAME);
    return this.other;
  }
}

export const OTHER_GROUP: HeaderGroupKey = { service: 'other', side: 'unknown', method: 'other', route: 'other' };

export const groupId = (key: HeaderGroupKey, direction: Direction): string =>
  `${key.service}\n${key.side}\n${key.method}\n${key.route}\n${direction}`;

/** All groups over a stretch of time. */
export class HeaderState {
  /** Unix milliseconds. */
  from = 0;
  to = 0;
  readonly groups = new Map<string, GroupState>();
  /** What found no room: groups (each time one was asked for), and lines of names beyond a group's bound. */
  groupsRefused = 0;
  readonly #room: { names: number };

  /** @param namesMax names in all groups. */
  constructor(namesMax = NAMES_TOTAL_MAX) {
    this.#room = { names: namesMax };
  }

  group(key: HeaderGroupKey, direction: Direction): GroupState {
    let id = groupId(key, direction);
    let known = this.groups.get(id);
    if (known === undefined) {
      let own = key;
      // Two more places: the overflow of either direction.
      if (this.groups.size >= GROUPS_MAX) {
        this.groupsRefused++;
        own = OTHER_GROUP;
        id = groupId(own, direction);
        known = this.groups.get(id);
      }
      if (known === undefined) {
        known = new GroupState(own, direction, this.#room);
        this.groups.set(id, known);
      }
    }
    return known;
  }

  /** Adds a group, which belongs to this state from now on. */
  add(group: GroupState): void {
    const id = groupId(group.key, group.direction);
    if (this.groups.size < GROUPS_MAX && !this.groups.has(id)) this.groups.set(id, group);
    else this.group(group.key, group.direction).merge(group);
  }

  /** Takes what another stretch of time showed. `own`: nobody uses it any more, so its parts need not be copied. */
  merge(other: HeaderState, own = false): void {
    this.stretch(other.from, other.to, other.groupsRefused);
    for (const group of other.groups.values()) this.group(group.key, group.direction).merge(group, own);
  }

  /** Another stretch of time is part of it; its groups come next. */
  stretch(from: number, to: number, groupsRefused: number): void {
    const empty = this.groups.size === 0 && this.to === 0;
    this.from = empty ? from : Math.min(this.from, from);
    this.to = empty ? to : Math.max(this.to, to);
    this.groupsRefused += groupsRefused;
  }
}
