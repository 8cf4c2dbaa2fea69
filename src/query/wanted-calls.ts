/** Which calls somebody asks for: a filter and a range, as a condition for the store and as a judge of what it finds. */
import type { ExchangeRecord } from '../model/record.ts';
import type { QueryFailure } from '../store/database.ts';
import { rangeProblem, type TimeRange } from './calls-range.ts';
import { all, type Condition, holds } from './condition.ts';
import { compileFilter, type FilterError } from './filter.ts';
import { RecordSubject } from './record-subject.ts';
import { filterSql } from './sql.ts';

export type CallFailure =
  | QueryFailure
  | { readonly type: 'filter'; readonly message: string; readonly error: FilterError };

export interface WantedCalls {
  /** Every call that is wanted meets it; one that meets it may still be none. */
  readonly condition: Condition;
  /** Decides. */
  readonly matches: (record: ExchangeRecord) => boolean;
}

export type WantedAnswer =
  | { readonly ok: true; readonly value: WantedCalls }
  | { readonly ok: false; readonly error: CallFailure };

/** `filter`: CEL; without it every call. */
export function wantedCalls(filter: string | undefined, range: TimeRange): WantedAnswer {
  const problem = rangeProblem(range);
  if (problem !== null) return { ok: false, error: { type: 'invalid', message: problem } };
  let matches: (record: ExchangeRecord) => boolean = () => true;
  const conditions: Condition[] = [];
  if (filter !== undefined) {
    const compiled = compileFilter(filter);
    if (!compiled.ok)
      return { ok: false, error: { type: 'filter', message: compiled.error.message, error: compiled.error } };
    matches = (record) => compiled.filter.matches(new RecordSubject(record));
    conditions.push(filterSql(filter));
  }
  if (range.since !== null) conditions.push(holds(`ts >= make_timestamp_ns(${range.since})`));
  if (range.until !== null) conditions.push(holds(`ts < make_timestamp_ns(${range.until})`));
  return { ok: true, value: { condition: all(...conditions), matches } };
}
