/**
 * What changed between two ranges, as text or Markdown: first what is more than chance, one line for each finding and the worst first;
 * then header fields; then all routes, for whoever wants to see what did not change.
 */
import { ns, percent, plain, routeCells, significant } from './cells.ts';
import { type Comparison, changed, type Difference, type RouteComparison } from './compare.ts';
import { type Cells, markdownTable, type Table, textTable } from './text-table.ts';

/** For a terminal of `width` columns. */
export const comparisonText = (found: Comparison, width = Number.POSITIVE_INFINITY): string =>
  [comparedLine(found), ...tables(found).map((table) => textTable(table, width))].join('\n\n').concat('\n');

export const comparisonMarkdown = (found: Comparison): string =>
  ['# What changed', comparedLine(found), ...tables(found).map(markdownTable)].join('\n\n').concat('\n');

function comparedLine(found: Comparison): string {
  const { before, after, routes, headers } = found;
  const lines = [`from  ${before.since} to ${before.until}`, `to    ${after.since} to ${after.until}`];
  if (routes.length === 0) lines.push('There are no calls in either range.');
  else if (routes.every(({ presence }) => presence === 'new')) lines.push('There are no calls in the first range.');
  else if (routes.every(({ presence }) => presence === 'vanished'))
    lines.push('There are no calls in the second range.');
  else if (!routes.some(changed) && headers.length === 0) lines.push('Nothing changed by more than chance.');
  return lines.join('\n');
}

/** What to look at first. */
const RANKS = ['errors', 'slower', 'routes', 'fewer', 'better'] as const;

interface Finding {
  readonly rank: (typeof RANKS)[number];
  readonly what: string;
  readonly before: string;
  readonly after: string;
  readonly by: string;
  readonly example: string;
}

/** Everything about a route that is more than chance. */
function findings(row: RouteComparison): Finding[] {
  const { presence, count } = row;
  const found: Finding[] = [];
  const add = (rank: Finding['rank'], what: string, d: Difference, show: (v: number) => string, example = ''): void => {
    const text = (value: number | null): string => (value === null ? '-' : show(value));
    found.push({ rank, what, before: text(d.before), after: text(d.after), by: by(d.change), example });
  };
  const rose = ({ before, after }: Difference): boolean => (after ?? 0) > (before ?? 0);
  if (presence !== 'both' && row.rate_per_s.significant) {
    const calls = (n: number): string => (n === 0 ? '-' : `${n} ${n === 1 ? 'call' : 'calls'}`);
    const what = presence === 'new' ? 'new route' : 'no more calls';
    found.push({ rank: 'routes', what, before: calls(count.before), after: calls(count.after), by: '', example: '' });
  }
  if (row.error_ratio.significant) {
    const more = rose(row.error_ratio);
    add(more ? 'errors' : 'better', `${more ? 'more' : 'fewer'} errors`, row.error_ratio, percent);
  }
  const share = (name: string, ratio: Difference, example: string | null): void => {
    if (!ratio.significant) return;
    const more = rose(ratio);
    const what = ratio.before === 0 ? `new: ${name}` : `${more ? 'more' : 'fewer'} ${name}`;
    add(more ? 'errors' : 'better', what, ratio, percent, example ?? '');
  };
  for (const { class: name, ratio, example } of row.error_classes) share(name, ratio, example);
  if (row.grpc !== null) {
    share('gRPC failures', row.grpc.failed_ratio, row.grpc.example);
    for (const { status, ratio } of row.grpc.statuses) share(`gRPC ${status}`, ratio, null);
  }
  for (const [name, latency] of Object.entries(row.latency_ns))
    if (latency.significant)
      add(rose(latency) ? 'slower' : 'better', `${name} ${rose(latency) ? 'slower' : 'faster'}`, latency, ns);
  if (row.rate_per_s.significant && presence === 'both')
    add('fewer', `${rose(row.rate_per_s) ? 'more' : 'fewer'} calls/s`, row.rate_per_s, significant);
  return found;
}

const by = (change: number | null): string =>
  change === null ? '' : `${change >= 0 ? '+' : ''}${(change * 100).toFixed(0)} %`;

function tables({ routes, headers }: Comparison): Table[] {
  return [findingsTable(routes), headersTable(headers), routesTable(routes)].filter(({ rows }) => rows.length > 0);
}

function findingsTable(routes: readonly RouteComparison[]): Table {
  const all = routes.flatMap((row) => findings(row).map((finding) => ({ row, finding })));
  // Stable: what is of one rank stays by route, and those are by calls.
  all.sort((a, b) => RANKS.indexOf(a.finding.rank) - RANKS.indexOf(b.finding.rank));
  return {
    title: `More than chance (p < 0.001): ${routes.filter(changed).length} of ${routes.length} routes`,
    head: ['service', 'method', 'route', 'what', 'before', 'after', 'by', 'example'],
    numeric: [false, false, false, false, true, true, true, false],
    rows: all.map(({ row, finding: { what, before, after, by: change, example } }) => [
      ...routeCells(row),
      what,
      before,
      after,
      change,
      example,
    ]),
    spare: ['method', 'example'],
  };
}

/** Credentials are in values as fingerprints only. */
const isFingerprint = (value: string | null): boolean => value?.includes('[fp:') === true;

function headersTable(headers: Comparison['headers']): Table {
  const shown = (share: number | null, value: string | null, kind: string): string => {
    if (share === null) return 'absent';
    if (kind === 'presence' || value === null) return percent(share);
    return share < 1 ? plain(`${value} (in ${percent(share)})`) : plain(value);
  };
  // What changed alike in several routes of a service is one change.
  const alike = new Map<string, { readonly cells: Cells; readonly example: string; routes: Cells[] }>();
  for (const row of headers) {
    const isRotated = row.kind === 'values' && isFingerprint(row.value_before) && isFingerprint(row.value_after);
    const isOrder = row.name === ':order';
    const cells = [
      row.direction,
      isOrder ? '(order)' : plain(row.name),
      isRotated ? 'credential' : isOrder ? 'order' : row.kind,
      shown(row.before, row.value_before, row.kind),
      shown(row.after, row.value_after, row.kind),
    ];
    const id = JSON.stringify([row.service, row.side, ...cells]);
    const known = alike.get(id);
    if (known === undefined) alike.set(id, { cells, example: row.example, routes: [routeCells(row)] });
    else known.routes.push(routeCells(row));
  }
  return {
    title: 'Headers that changed',
    head: ['service', 'method', 'route', 'direction', 'name', 'what', 'before', 'after', 'example'],
    numeric: [false, false, false, false, false, false, false, false, false],
    rows: [...alike.values()].map(({ cells, example, routes }) => [
      ...(routes.length === 1 ? routes[0]! : [routes[0]![0]!, '', `${routes.length} routes`]),
      ...cells,
      example,
    ]),
    spare: ['method', 'example', 'direction'],
  };
}

function routesTable(routes: readonly RouteComparison[]): Table {
  const cell = ({ before, after, significant: sure }: Difference, show: (value: number) => string): string =>
    `${before === null ? '-' : show(before)} > ${after === null ? '-' : show(after)}${sure ? ' *' : ''}`;
  return {
    title: 'All routes (* more than chance)',
    head: ['service', 'method', 'route', 'calls', 'calls/s', 'errors', 'p50', 'p95', 'p99'],
    numeric: [false, false, false, true, true, true, true, true, true],
    rows: routes.map((row) => [
      ...routeCells(row),
      `${row.count.before} > ${row.count.after}`,
      cell(row.rate_per_s, significant),
      cell(row.error_ratio, percent),
      cell(row.latency_ns.p50, ns),
      cell(row.latency_ns.p95, ns),
      cell(row.latency_ns.p99, ns),
    ]),
    spare: ['calls', 'p99', 'p50', 'method', 'calls/s'],
  };
}
