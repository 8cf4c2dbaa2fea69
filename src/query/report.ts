/** A report over any range, from merged states: the same for the live agent, the store and a capture file. */

import { type Comparison, compareRanges, type HeaderDifference, type RouteComparison } from '../stats/compare.ts';
import type { Change } from '../stats/headers/changes.ts';
import {
  ALARM_DIVERGENCE,
  type HeaderBlockRow,
  type HeaderRow,
  headerBlocks,
  headerRows,
} from '../stats/headers/rows.ts';
import type { HeaderState } from '../stats/headers/state.ts';
import { buildReport, type RouteReport, type StatisticsReport } from '../stats/report.ts';
import type { StateSet } from '../stats/state-set.ts';
import type { TlsReport, TlsStatistics } from '../stats/tls.ts';
import type { ServiceBurn } from '../stats/windows.ts';

export type Report = Omit<StatisticsReport<HeaderRow, Change>, 'routes'> & {
  readonly routes: readonly (RouteReport<HeaderRow> & { readonly blocks: readonly HeaderBlockRow[] })[];
  /** TLS of the services: the connections whose handshake was settled in the range. */
  readonly tls: readonly TlsReport[];
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
  readonly tls: TlsStatistics;
  /** Calls and errors of the windows that end with the range. */
  readonly burn: Iterable<ServiceBurn>;
}

/** What the agent has in memory of a range that the store answers for. */
export interface RecentStates extends Pick<ReportStates, 'series' | 'headers' | 'changes' | 'tls'> {
  /** All minutes from here on, Unix ms: the store is asked for those before. null: only what the store was not given yet. */
  readonly fromMs: number | null;
}

/** `sinceMs` and `untilMs` in Unix time: rates are over this span. */
export function composeReport(states: ReportStates, sinceMs: number, untilMs: number): Report {
  const { series, headers, reference, changes, losses, tls, burn } = states;
  const report = buildReport<HeaderRow, Change>({
    rows: series,
    sinceMs,
    untilMs,
    losses,
    headers: (key) => headerRows(headers, key, reference),
    changes,
    burn,
  });
  return {
    ...report,
    routes: report.routes.map((row) => ({ ...row, blocks: headerBlocks(headers, row) })),
    tls: tls.report(),
  };
}

/** States of one of two ranges, and the stretch of time that they were observed in. */
export interface ComparedStates {
  readonly sinceMs: number;
  readonly untilMs: number;
  readonly states: Omit<ReportStates, 'burn'>;
}

export function compareStates(before: ComparedStates, after: ComparedStates): Comparison {
  const seconds = ({ sinceMs, untilMs }: ComparedStates): number => (untilMs - sinceMs) / 1_000;
  const routes = compareRanges(
    { states: before.states.series, seconds: seconds(before) },
    { states: after.states.series, seconds: seconds(after) },
  );
  return {
    before: { since: timeText(before.sinceMs), until: timeText(before.untilMs) },
    after: { since: timeText(after.sinceMs), until: timeText(after.untilMs) },
    routes,
    headers: routes
      .filter(({ presence }) => presence === 'both')
      .flatMap((route) => headerDifferences(route, before.states.headers, after.states.headers)),
  };
}

const timeText = (ms: number): string => new Date(ms).toISOString();

function headerDifferences(route: RouteComparison, before: HeaderState, after: HeaderState): HeaderDifference[] {
  const { service, side, method } = route;
  const key = { service, side, method, route: route.route };
  const known = new Map(headerRows(before, key, after).map((row) => [`${row.direction} ${row.name}`, row]));
  const differences: HeaderDifference[] = [];
  const differs = (kind: HeaderDifference['kind'], was: HeaderRow | null, is: HeaderRow | null): void => {
    const row = (is ?? was)!;
    differences.push({
      ...key,
      direction: row.direction,
      name: row.name,
      kind,
      before: was?.presence ?? null,
      after: is?.presence ?? null,
      jensen_shannon: is?.drift?.jensen_shannon ?? null,
      value_before: was?.top[0]?.value ?? null,
      value_after: is?.top[0]?.value ?? null,
      example: row.example,
    });
  };
  for (const row of headerRows(after, key, before)) {
    const id = `${row.direction} ${row.name}`;
    const was = known.get(id) ?? null;
    known.delete(id);
    if (row.drift?.alarm !== true) continue;
    if (was === null) differs('new', null, row);
    else if ((row.drift.jensen_shannon ?? 0) >= ALARM_DIVERGENCE) differs('values', was, row);
    else differs('presence', was, row);
  }
  for (const row of known.values()) if (row.drift?.alarm === true) differs('vanished', row, null);
  return differences;
}
