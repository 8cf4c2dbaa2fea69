/** Which records of the header log are the two legs of a call through the gateway. Pure. */
import type { ExchangeRecord, FieldPair } from '../../model/record.ts';

/** What the clients' process says of one call. */
export interface ClientReport {
  readonly title: string;
  readonly result: string;
}

/** What the busy clients' process says of one load. */
export interface LoadStep {
  /** Calls at a time. */
  readonly load: number;
  readonly calls: number;
}

export interface Call {
  /** Client to gateway, as the gateway saw it. */
  readonly inbound: ExchangeRecord;
  /** Gateway to provider, as the gateway saw it: one for each attempt. */
  readonly upstream: readonly ExchangeRecord[];
}

export interface Ports {
  readonly gateway: number;
  readonly provider: number;
}

/** Nanoseconds since midnight, which is enough to order calls within a minute; null without a time. */
function nanoseconds(ts: string | null): number | null {
  const match = /T(\d\d):(\d\d):(\d\d)\.(\d{9})Z$/.exec(ts ?? '');
  if (match === null) return null;
  const [hours, minutes, seconds, ns] = match.slice(1).map(Number);
  return ((hours! * 60 + minutes!) * 60 + seconds!) * 1e9 + ns!;
}

/**
 * The calls in the order in which they began, each with the attempts that began while it ran. Unambiguous only because
 * the demo makes one call at a time.
 */
export function calls(records: readonly ExchangeRecord[], ports: Ports): Call[] {
  const began = (record: ExchangeRecord): number => nanoseconds(record.ts) ?? Number.POSITIVE_INFINITY;
  const leg = (side: string, port: number): ExchangeRecord[] =>
    records.filter((r) => r.side === side && r.server.port === port).sort((a, b) => began(a) - began(b));
  const inbound = leg('server', ports.gateway);
  const upstream = leg('client', ports.provider);
  return inbound.map((record, i) => {
    const next = inbound[i + 1];
    const end = next === undefined ? Number.POSITIVE_INFINITY : began(next);
    return { inbound: record, upstream: upstream.filter((u) => began(u) >= began(record) && began(u) < end) };
  });
}

/** What became of a field on its way through the gateway. */
export type Passage = 'forwarded' | 'rewritten' | 'added' | 'dropped';

export interface FieldRow {
  readonly passage: Passage;
  /** As it came to the gateway; null when the gateway added it. */
  readonly from: FieldPair | null;
  /** As it left the gateway; null when it was dropped. */
  readonly to: FieldPair | null;
}

/** Aligns fields by name: those that came, in their order, then those that the gateway added. */
export function passages(from: readonly FieldPair[], to: readonly FieldPair[]): FieldRow[] {
  const left = [...to];
  const rows = from.map((field): FieldRow => {
    const at = left.findIndex(([name]) => name.toLowerCase() === field[0].toLowerCase());
    if (at < 0) return { passage: 'dropped', from: field, to: null };
    const [match] = left.splice(at, 1);
    return { passage: match![1] === field[1] ? 'forwarded' : 'rewritten', from: field, to: match! };
  });
  return [...rows, ...left.map((field): FieldRow => ({ passage: 'added', from: null, to: field }))];
}
