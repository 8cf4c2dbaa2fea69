/** What a report says of header fields: one row for each name of a group and direction, as `report` prints it. */
import { entropyBits, jensenShannon } from './distribution.ts';
import { CHURNING } from './group-model.ts';
import { twoProportionZ, wilsonLow } from './significance.ts';
import {
  type Direction,
  type GroupState,
  groupId,
  type HeaderGroupKey,
  type HeaderState,
  type NameState,
} from './state.ts';

/**
 * constant: one value. identifier: nine values in ten are new (from IDENTIFIER_MIN lines on). enum: at most ENUM_VALUES values, each ten times
 * on average. free: anything else, and what has too few lines to say.
 */
export type ValueClass = 'constant' | 'enum' | 'identifier' | 'free';

/** Share of different values among all from which on a name is an identifier, and lines that this takes. */
const IDENTIFIER_UNIQUENESS = 0.9;
const IDENTIFIER_MIN = 10;
const ENUM_VALUES = 64;
const ENUM_REPEATS = 10;
/** An alarm in a table is a two-proportion z beyond this, or a divergence beyond that: of one comparison that somebody looks at. */
const ALARM_Z = 6;
export const ALARM_DIVERGENCE = 0.1;
const ALARM_PRESENCE = 0.05;
const TOP = 10;

export interface HeaderRow {
  readonly direction: Direction;
  /** Lower case; ":order" is the order of the names, ":other" all names beyond the bound. */
  readonly name: string;
  /** Share of the messages that have it. */
  readonly presence: number;
  /** Messages of the group in this direction, and lines of this name. */
  readonly n: number;
  readonly lines: number;
  readonly distinct: number;
  readonly distinct_exact: boolean;
  readonly class: ValueClass;
  /** Lower end of the 95 % interval (Wilson) of the share of lines that behave as the class says. */
  readonly confidence: number;
  readonly entropy_bits: number;
  /** Share of the entropy that as many equally frequent values would have; 0 for one value. */
  readonly entropy_normalised: number;
  /** Most frequent values: the true count lies in [count - error, count]. */
  readonly top: readonly { readonly value: string; readonly count: number; readonly error: number }[];
  readonly length: { readonly p50: number; readonly max: number };
  readonly multiplicity: { readonly repeated: number; readonly max: number };
  /** Against the reference, when there is one with enough messages. */
  readonly drift: {
    readonly jensen_shannon: number | null;
    readonly presence_z: number;
    readonly reference_n: number;
    readonly alarm: boolean;
  } | null;
  readonly first_seen: string;
  readonly last_seen: string;
  readonly example: string;
}

export interface HeaderBlockRow {
  readonly direction: Direction;
  readonly n: number;
  readonly lines: { readonly p50: number; readonly max: number };
  readonly bytes: { readonly p50: number; readonly max: number };
}

/** Sizes of whole header blocks of a group, by direction. */
export function headerBlocks(state: HeaderState, key: HeaderGroupKey): HeaderBlockRow[] {
  return directions(state, key).map(({ direction, messages, blockLines, blockBytes }) => ({
    direction,
    n: messages,
    lines: { p50: blockLines.quantile(0.5), max: blockLines.max },
    bytes: { p50: blockBytes.quantile(0.5), max: blockBytes.max },
  }));
}

/** Rows of a group, requests first, most frequent names first. `reference`: an earlier stretch of time to compare with, or null. */
export function headerRows(state: HeaderState, key: HeaderGroupKey, reference: HeaderState | null): HeaderRow[] {
  const rows: HeaderRow[] = [];
  for (const group of directions(state, key)) {
    const before = reference?.groups.get(groupId(key, group.direction)) ?? null;
    const names = [...group.names.values()].sort((a, b) => b.messages - a.messages || (a.name < b.name ? -1 : 1));
    if (group.order.messages > 0) names.push(group.order);
    if (group.other !== null) names.push(group.other);
    for (const name of names) rows.push(row(group, name, before));
  }
  return rows;
}

function directions(state: HeaderState, key: HeaderGroupKey): GroupState[] {
  return (['request', 'response'] as const).flatMap((direction) => state.groups.get(groupId(key, direction)) ?? []);
}

function row(group: GroupState, name: NameState, reference: GroupState | null): HeaderRow {
  const counted = name.distinct.count();
  const distinct = Math.min(counted, name.lines);
  const entropy = entropyBits(name, distinct);
  const { kind, confidence } = classify(name, distinct);
  const top = [...name.values]
    .sort(([, a], [, b]) => b.count - a.count)
    .slice(0, TOP)
    .map(([value, { count }]) => ({ value, count: Math.round(count + name.error), error: Math.round(name.error) }));
  return {
    direction: group.direction,
    name: name.name,
    presence: name.messages / group.messages,
    n: group.messages,
    lines: name.lines,
    distinct,
    distinct_exact: name.distinct.exact,
    class: kind,
    confidence,
    entropy_bits: entropy,
    entropy_normalised: distinct > 1 ? Math.min(1, entropy / Math.log2(distinct)) : 0,
    top,
    length: { p50: name.lengths.quantile(0.5), max: name.lengths.max },
    multiplicity: { repeated: name.repeated, max: name.linesMax },
    drift: reference === null || reference.messages === 0 ? null : drift(group, name, reference),
    first_seen: new Date(name.firstAt).toISOString(),
    last_seen: new Date(name.lastAt).toISOString(),
    example: name.example,
  };
}

export function classify(name: NameState, distinct: number): { kind: ValueClass; confidence: number } {
  const n = name.lines;
  // Names beyond the bound: their values are not looked at.
  if (distinct === 0) return { kind: 'free', confidence: 0 };
  if (distinct === 1) return { kind: 'constant', confidence: wilsonLow(n, n) };
  if (n >= IDENTIFIER_MIN && distinct >= IDENTIFIER_UNIQUENESS * n)
    return { kind: 'identifier', confidence: wilsonLow(Math.min(distinct, n), n) };
  if (distinct <= ENUM_VALUES && distinct * ENUM_REPEATS <= n)
    return { kind: 'enum', confidence: wilsonLow(n - distinct, n) };
  return { kind: 'free', confidence: wilsonLow(n - Math.abs(n - 2 * distinct), n) };
}

function drift(group: GroupState, name: NameState, reference: GroupState): NonNullable<HeaderRow['drift']> {
  const before =
    name === group.order ? reference.order : name === group.other ? reference.other : reference.names.get(name.name);
  const had = before?.messages ?? 0;
  const z = twoProportionZ(name.messages, group.messages, had, reference.messages);
  const late = [...name.values.values()].reduce((sum, value) => sum + value.late, name.rest);
  const churning = late > CHURNING * name.lines;
  const divergence = before === undefined || before === null ? null : jensenShannon(name, before, churning);
  const moved = Math.abs(name.messages / group.messages - had / reference.messages) >= ALARM_PRESENCE;
  const alarm = (moved && Math.abs(z) >= ALARM_Z) || (divergence !== null && divergence >= ALARM_DIVERGENCE);
  return { jensen_shannon: divergence, presence_z: z, reference_n: reference.messages, alarm };
}
