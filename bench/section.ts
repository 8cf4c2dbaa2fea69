/** One part of the bench: rows of figures, and how a table shows them. */
import type { Spread } from './measure.ts';

export interface Effort {
  /** Interleaved rounds: each contestant runs once in every round. */
  readonly rounds: number;
  /** Of load in each measurement. */
  readonly seconds: number;
  /** A smoke run: few points, small files. Its figures say nothing. */
  readonly quick: boolean;
}

export interface SectionSpec<Row extends object> {
  readonly name: string;
  readonly title: string;
  rows(effort: Effort): Promise<Row[]>;
  readonly columns: readonly (readonly [title: string, cell: (row: Row) => string])[];
}

export interface Section {
  readonly name: string;
  readonly title: string;
  run(effort: Effort): Promise<{ readonly rows: readonly object[]; readonly table: string }>;
}

/** Hides what the rows are from those who only print them. */
export const section = <Row extends object>({ name, title, rows, columns }: SectionSpec<Row>): Section => ({
  name,
  title,
  run: async (effort) => {
    const measured = await rows(effort);
    return { rows: measured, table: table(columns, measured) };
  },
});

/** "median (min to max)". */
export const figure = ({ min, median, max }: Spread, digits: number): string =>
  min === max ? median.toFixed(digits) : `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;

export const microseconds = (spread: Spread | null): string => (spread === null ? '' : figure(spread, 2));

/** A share as percents. */
export const share = (spread: Spread | null): string => {
  if (spread === null) return '';
  const { min, median, max } = spread;
  return `${figure({ min: min * 100, median: median * 100, max: max * 100 }, 2)} %`;
};

/** Columns padded to their widest cell. */
function table<Row extends object>(columns: SectionSpec<Row>['columns'], rows: readonly Row[]): string {
  const lines = [columns.map(([title]) => title), ...rows.map((row) => columns.map(([, cell]) => cell(row)))];
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => line[i]!.length)));
  return lines.map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i]!)).join('  ')}`.trimEnd()).join('\n');
}

/** Paths of numbers in a row that are none; empty: the row is sound. */
export function unsound(value: unknown, path = ''): string[] {
  if (typeof value === 'number') return Number.isFinite(value) ? [] : [`${path}: ${value}`];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => unsound(inner, path === '' ? key : `${path}.${key}`));
}
