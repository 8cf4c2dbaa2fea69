/** The five statistics of one service in a few lines. Pure: a report in, text out. */
import type { Report } from '../../query/report.ts';
import type { Percentiles } from '../../stats/report.ts';
import { count, duration, shortBytes } from './numbers.ts';
import { safe } from './terminal.ts';

/** Routes named in full; the rest is counted. */
const ROUTES_MAX = 3;
const CHANGES_MAX = 3;

export type ShortLine = readonly [label: string, text: string];

/** Lines for `service` on `side`, the same labels for any traffic; empty when it had no calls. */
export function shortReport(report: Report, service: string, side: string): ShortLine[] {
  const whole = report.services.find((row) => row.service === service && row.side === side);
  if (whole === undefined) return [];
  const routes = report.routes.filter((row) => row.service === service && row.side === side && row.method !== '');
  const busiest = routes[0];
  if (busiest === undefined) return [];
  const shown = routes.slice(0, ROUTES_MAX);
  const more = routes.length - shown.length;
  return [
    ...shown.map(
      (row, i): ShortLine => [
        i === 0 ? 'response time' : '',
        `${safe(`${row.method} ${row.route}`)}: ${count(row.count)} calls, ${times(row.latency_ns)}; first byte p50 ${ns(row.ttfb_ns.p50)}`,
      ],
    ),
    ...(more > 0 ? [['', `and ${more} more routes`] as const] : []),
    ['errors', errorText(routes, whole)],
    ['traffic', trafficText(routes, whole)],
    ...loadLines(busiest),
    ['headers', headerText(routes)],
    ...changeLines(report, service, side),
  ];
}

type Route = Report['routes'][number];
type Service = Report['services'][number];

const ns = (value: number | null): string => (value === null ? '-' : duration(value));
const times = ({ p50, p95, p99, max }: Percentiles): string =>
  `p50 ${ns(p50)}, p95 ${ns(p95)}, p99 ${ns(p99)}, max ${ns(max)}`;
const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.01 ? 2 : 1)} %`;

function errorText(routes: readonly Route[], { errors, count: calls }: Service): string {
  const classes = new Map<string, number>();
  for (const { errors } of routes)
    for (const [name, n] of Object.entries(errors.classes)) if (n > 0) classes.set(name, (classes.get(name) ?? 0) + n);
  // Shown in `classes`, no part of `total`: it is no failure of the service.
  const left = classes.get('client_abort') ?? 0;
  classes.delete('client_abort');
  const detail = [...classes].map(([name, n]) => `${name} ${count(n)}x`).join(', ');
  const [low, high] = errors.interval;
  return `${count(errors.total)} of ${count(calls)} calls: ${percent(errors.ratio)}, with 95 % confidence ${percent(low)} to ${percent(high)}${detail === '' ? '' : ` (${detail})`}${left === 0 ? '' : `; ${count(left)} more ended early by the client`}`;
}

function trafficText(routes: readonly Route[], { rate_per_s: rate, connections }: Service): string {
  const sum = (of: (row: Route) => number): string => shortBytes(routes.reduce((n, row) => n + of(row), 0));
  const each = connections.calls_per_connection;
  return `${rate.toFixed(1)} calls/s on ${count(connections.opened + connections.joined)} connections${each === null ? '' : ` (${each.toFixed(1)} calls each)`}; requests ${sum(({ bytes }) => bytes.request_header)} of heads and ${sum(({ bytes }) => bytes.request_body)} of bodies, responses ${sum(({ bytes }) => bytes.response_header)} and ${sum(({ bytes }) => bytes.response_body)}`;
}

function loadLines({ load }: Route): ShortLine[] {
  const { buckets, knee, usl, usl_missing: missing } = load;
  const known = buckets.filter(({ in_flight, count }) => in_flight > 0 && count > 0);
  const levels = known
    .map(({ in_flight: n, p50_ns, p95_ns }) => `${n}: ${duration(p50_ns)}/${duration(p95_ns)}`)
    .join(', ');
  const best =
    knee === null
      ? ''
      : `; best at ${knee.in_flight}${knee.at_edge ? ' or beyond' : ''}, with ${Math.round(knee.throughput_per_s)} calls/s`;
  const curve =
    usl === null
      ? `no curve: ${missing}`
      : `curve: ${usl.lambda.toFixed(0)} calls/s of one at a time, sigma ${usl.sigma.toPrecision(2)}, kappa ${usl.kappa.toPrecision(2)}, R2 ${usl.r2.toFixed(2)}`;
  return [
    ['under load', `p50/p95 with so many calls in flight: ${levels}${best}`],
    ['', curve],
  ];
}

function headerText(routes: readonly Route[]): string {
  const names = new Map<string, string>();
  for (const { headers } of routes)
    for (const { direction, name, class: kind } of headers)
      if (!name.startsWith(':') && !names.has(`${direction} ${name}`)) names.set(`${direction} ${name}`, kind);
  const kinds = ['constant', 'enum', 'identifier', 'free'].flatMap((kind) => {
    const n = [...names.values()].filter((other) => other === kind).length;
    return n === 0 ? [] : [`${n} ${kind}`];
  });
  return `${count(names.size)} names in both directions: ${kinds.join(', ')}`;
}

function changeLines({ changes }: Report, service: string, side: string): ShortLine[] {
  const own = changes.filter((change) => change.service === service && change.side === side);
  // A value that came and the one that went are one change to a reader; values say more than that a name is there.
  const rank = ({ kind }: { kind: string }): number =>
    kind.startsWith('value_') ? 0 : kind.startsWith('header_') ? 1 : 2;
  const byName = new Map<string, (typeof own)[number]>();
  for (const change of own.toSorted((a, b) => rank(a) - rank(b))) {
    const name = `${change.direction} ${change.name} ${change.route}`;
    if (!byName.has(name)) byName.set(name, change);
  }
  const told = [...byName.values()];
  const more = told.length - CHANGES_MAX;
  if (told.length === 0) return [['', 'no change']];
  return [
    ...told.slice(0, CHANGES_MAX).map(({ kind, direction, name, route, before, after, example }): ShortLine => {
      const what = kind.startsWith('value_') ? '' : ` (${kind})`;
      return [
        '',
        `changed: ${safe(name)} in ${direction}s of ${safe(route)}${what}: ${valueText(before)} > ${valueText(after)}, see call ${safe(example)}`,
      ];
    }),
    ...(more > 0 ? [['', `and ${more} more changes`] as const] : []),
  ];
}

function valueText(value: unknown): string {
  if (value === null) return 'none';
  if (typeof value === 'number') return percent(value);
  return safe(typeof value === 'string' ? value : JSON.stringify(value));
}
