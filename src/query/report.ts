/** A report over any range, from merged states: the same for the live agent, the store and a capture file. */
import type { Change } from '../stats/headers/changes.ts';
import { type HeaderBlockRow, type HeaderRow, headerBlocks, headerRows } from '../stats/headers/rows.ts';
import type { HeaderState } from '../stats/headers/state.ts';
import { buildReport, type RouteReport, type StatisticsReport } from '../stats/report.ts';
import type { StateSet } from '../stats/state-set.ts';

export type Report = Omit<StatisticsReport<HeaderRow, Change>, 'routes'> & {
  readonly routes: readonly (RouteReport<HeaderRow> & { readonly blocks: readonly HeaderBlockRow[] })[];
};

/** What a range holds. */
export interface ReportStates {
  readonly series: StateSet;
  /** Header statistics of the range. */
  readonly headers: HeaderState;
  /** Those of the time before it, for drift; null: there are none. */
  readonly reference: HeaderState | null;
  readonly changes: readonly Change[];
  readonly losses: readonly { readonly reason: string; readonly count: number }[];
}

/** `sinceMs` and `untilMs` in Unix time: rates are over this span. */
export function composeReport(states: ReportStates, sinceMs: number, untilMs: number): Report {
  const { series, headers, reference, changes, losses } = states;
  const report = buildReport<HeaderRow, Change>({
    rows: series,
    sinceMs,
    untilMs,
    losses,
    headers: (key) => headerRows(headers, key, reference),
    changes,
  });
  return { ...report, routes: report.routes.map((row) => ({ ...row, blocks: headerBlocks(headers, row) })) };
}
