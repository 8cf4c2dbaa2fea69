/** What must hold for a call, as SQL, and what the segment that it is in must have for that. */
import { mayHavePiece, type Piece } from '../store/piece-filter.ts';
import type { SegmentFiles } from '../store/segment-files.ts';
import { mayHave, type Sought } from '../store/value-filter.ts';

export interface Condition {
  readonly sql: string;
  readonly need: Need;
}

/** Of a segment; null: nothing is known. */
export type Need =
  | null
  | Sought
  | Piece
  | { readonly type: 'all'; readonly of: readonly Need[] }
  | { readonly type: 'any'; readonly of: readonly Need[] };

/** What must hold where a node of a filter is true, and where it is false. */
export interface Pair {
  readonly t: Condition;
  readonly f: Condition;
}

export const TRUE: Condition = { sql: 'TRUE', need: null };
export const FALSE: Condition = { sql: 'FALSE', need: { type: 'any', of: [] } };

/** A condition that segments cannot tell anything about. */
export const holds = (sql: string): Condition => ({ sql, need: null });

export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

export function all(...parts: Condition[]): Condition {
  const told = parts.filter((part) => part !== TRUE);
  if (told.includes(FALSE)) return FALSE;
  if (told.length < 2) return told[0] ?? TRUE;
  const of = told.map(({ need }) => need).filter((need) => need !== null);
  return { sql: `(${told.map(({ sql }) => sql).join(' AND ')})`, need: of.length === 0 ? null : { type: 'all', of } };
}

export function any(...parts: Condition[]): Condition {
  const told = parts.filter((part) => part !== FALSE);
  if (told.includes(TRUE)) return TRUE;
  if (told.length < 2) return told[0] ?? FALSE;
  const of = told.map(({ need }) => need);
  return { sql: `(${told.map(({ sql }) => sql).join(' OR ')})`, need: of.includes(null) ? null : { type: 'any', of } };
}

type Filters = Pick<SegmentFiles, 'values' | 'pieces'>;

/** Whether a segment may meet `need`, by its filters: they may say yes of what is not there, never no of what is. */
export function mayMeet(need: Need, filters: Filters): boolean {
  if (need === null) return true;
  switch (need.type) {
    case 'all':
      return need.of.every((one) => mayMeet(one, filters));
    case 'any':
      return need.of.some((one) => mayMeet(one, filters));
    case 'piece':
      return filters.pieces === null || mayHavePiece(filters.pieces, need);
    default:
      return filters.values === null || mayHave(filters.values, need);
  }
}
