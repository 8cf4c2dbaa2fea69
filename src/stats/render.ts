/** A report as text for a terminal, or as Markdown. Header values are hostile: control characters and markup never get through. */
import { bytes, ns, percent, plain, routeCells, significant } from './cells.ts';
import type { RouteReport, ServiceReport, StatisticsReport } from './report.ts';
import { type Cells, markdownTable, type Table, textTable } from './text-table.ts';
import type { TlsReport } from './tls.ts';
import { BURN_OBJECTIVE } from './windows.ts';

/** Names of one kind in a cell; how many more there are is said. */
const NAMES_SHOWN = 3;

/** The parts of a header row that a table shows (headers/rows.ts). */
interface HeaderCells {
  readonly direction: string;
  readonly name: string;
  readonly presence: number;
  readonly n: number;
  readonly distinct: number;
  readonly class: string;
  readonly entropy_bits: number;
  readonly top: readonly { readonly value: string; readonly count: number }[];
}

interface ChangeCells {
  readonly at: string;
  readonly kind: string;
  readonly service: string;
  readonly route: string;
  readonly direction: string;
  readonly name: string;
  readonly before: ChangeValue;
  readonly after: ChangeValue;
  readonly example: string;
}

/** A share, a text, or values with their shares; null: none. */
type ChangeValue = number | string | null | readonly { readonly value: string; readonly share: number }[];

export type PrintableReport = StatisticsReport<HeaderCells, ChangeCells> & { readonly tls: readonly TlsReport[] };

/** For a terminal of `width` columns: aligned columns, one table for each statistic. */
export const reportText = (report: PrintableReport, width = Number.POSITIVE_INFINITY): string =>
  [heading(report), ...tables(report).map((table) => textTable(table, width)), ledgerLine(report)]
    .join('\n\n')
    .concat('\n');

export const reportMarkdown = (report: PrintableReport): string =>
  ['# API runtime statistics', heading(report), ...tables(report).map(markdownTable), ledgerLine(report)]
    .join('\n\n')
    .concat('\n');

const heading = ({ range }: PrintableReport): string => `${range.since} to ${range.until}`;

const ledgerLine = ({ ledger }: PrintableReport): string => {
  const losses = ledger.losses.map(({ reason, count }) => `${reason} ${count}`).join(', ');
  const none = ledger.exchanges === 0 ? ' in this range' : '';
  return `${ledger.exchanges} ${ledger.exchanges === 1 ? 'call' : 'calls'} seen${none}; lost: ${losses === '' ? 'nothing' : losses}`;
};

function tables(report: PrintableReport): Table[] {
  const { routes, services, changes } = report;
  const all: Table[] = [
    table(
      'Response time',
      ['calls', 'p50', 'p90', 'p95', 'p99', 'p99.9', 'max', 'first byte p50'],
      routes,
      (row) => [
        `${row.count}`,
        ...[row.latency_ns.p50, row.latency_ns.p90, row.latency_ns.p95, row.latency_ns.p99, row.latency_ns.p999].map(
          ns,
        ),
        ns(row.latency_ns.max),
        ns(row.ttfb_ns.p50),
      ],
      ['p99.9', 'first byte p50', 'p90', 'p99'],
    ),
    table(
      'Errors',
      ['errors', 'ratio', '95 % interval', 'classes'],
      routes,
      ({ errors }) => [
        `${errors.total}`,
        percent(errors.ratio),
        `${percent(errors.interval[0])} - ${percent(errors.interval[1])}`,
        Object.entries(errors.classes)
          .filter(([, count]) => count > 0)
          .map(([name, count]) => `${name} ${count}`)
          .join(', '),
      ],
      ['95 % interval'],
    ),
    firstErrorsTable(routes),
    grpcTable(routes, services),
    burnTable(services),
    table(
      'Traffic',
      ['calls/s', 'request head', 'request body', 'response head', 'response body'],
      routes,
      ({ rate_per_s, bytes: b }) => [
        significant(rate_per_s),
        bytes(b.request_header),
        bytes(b.request_body),
        bytes(b.response_header),
        bytes(b.response_body),
      ],
      ['request head', 'response head'],
    ),
    {
      title: 'Services',
      head: ['service', 'calls', 'calls/s', 'in flight', 'connections', 'calls each', 'protocols', 'in other'],
      numeric: [false, true, true, true, true, true, false, true],
      spare: ['in other', 'calls each', 'in flight'],
      rows: services.map((row) => [
        `${plain(row.service) || '-'} (${row.side})`,
        `${row.count}`,
        significant(row.rate_per_s),
        row.in_flight === null ? '-' : significant(row.in_flight),
        `${row.connections.opened + row.connections.joined}`,
        row.connections.calls_per_connection === null ? '-' : significant(row.connections.calls_per_connection),
        Object.entries(row.protocols)
          .map(([name, count]) => `${name} ${count}`)
          .join(', '),
        `${row.overflow}`,
      ]),
    },
    tlsTable(report.tls),
    loadTable(routes),
    headerTable(routes),
    {
      title: 'Changes',
      head: ['at', 'kind', 'where', 'name', 'before', 'after', 'example'],
      numeric: [false, false, false, false, false, false, false],
      spare: ['example', 'at'],
      rows: changes.map(({ at, kind, service, route, direction, name, before, after, example }) =>
        [at, kind, `${service} ${route} ${direction}`, name, changeText(before), changeText(after), example].map(plain),
      ),
    },
  ];
  return all.filter(({ rows }) => rows.length > 0);
}

/** Of each class that a service had: how many calls over all its routes, and the first one. */
function firstErrorsTable(routes: readonly RouteReport[]): Table {
  const services = new Map<string, Map<string, { calls: number; at: string; cells: Cells }>>();
  for (const row of routes) {
    const id = JSON.stringify([row.service, row.side]);
    const classes = services.get(id) ?? new Map();
    services.set(id, classes);
    const [service, method, route] = routeCells(row) as [string, string, string];
    for (const { class: error, at, example } of row.errors.first) {
      const known = classes.get(error);
      const calls = row.errors.classes[error] + (known?.calls ?? 0);
      if (known !== undefined && known.at <= at) known.calls = calls;
      else classes.set(error, { calls, at, cells: [service, error, at, method, route, plain(example)] });
    }
  }
  return {
    title: 'First errors',
    head: ['service', 'class', 'first', 'method', 'route', 'example', 'calls'],
    numeric: [false, false, false, false, false, false, true],
    spare: ['method', 'route', 'first'],
    rows: [...services.values()].flatMap((classes) =>
      [...classes.values()].map(({ calls, cells }) => [...cells, `${calls}`]),
    ),
  };
}

/** What HTTP does not say of gRPC calls. */
function grpcTable(routes: readonly RouteReport[], services: readonly ServiceReport[]): Table {
  const most = (statuses: Readonly<Record<string, number>>): string =>
    Object.entries(statuses)
      .sort((a, b) => b[1] - a[1])
      .map(([name, calls]) => `${name} ${calls}`)
      .join(', ');
  return {
    title: 'gRPC: how calls ended by their own status, beside HTTP',
    head: ['service', 'method', 'route', 'calls', 'not OK', 'ratio', '95 % interval', 'statuses', 'first not OK'],
    numeric: [false, false, false, true, true, true, true, false, false],
    spare: ['method', '95 % interval', 'first not OK'],
    rows: routes.flatMap((row) => {
      if (row.grpc === null) return [];
      const { calls, failed, ratio, interval, statuses, first } = row.grpc;
      const bounds = `${percent(interval[0])} - ${percent(interval[1])}`;
      const example = first === null ? '-' : plain(first.example);
      return [[...routeCells(row), `${calls}`, `${failed}`, percent(ratio), bounds, most(statuses), example]];
    }),
    notes: services.flatMap(({ service, side, grpc }) =>
      grpc === null
        ? []
        : `${plain(service) || '-'} (${side}): ${grpc.failed} of ${grpc.calls} calls ended with another status than OK`,
    ),
  };
}

/** Of services that failed calls of late. */
function burnTable(services: readonly ServiceReport[]): Table {
  return {
    title: `Error budget burn of ${percent(BURN_OBJECTIVE)} success, until the end of the range (1 uses it up)`,
    head: ['service', 'last 5 minutes', 'last hour', 'last 6 hours'],
    numeric: [false, true, true, true],
    rows: services
      .filter(({ burn }) => burn['6h'].errors > 0)
      .map(({ service, side, burn }) => [
        `${plain(service) || '-'} (${side})`,
        ...Object.values(burn).map(({ rate }) => (rate === null ? '-' : significant(rate))),
      ]),
  };
}

/** Names that peers chose stand by how many connections had them, the most frequent ones first. */
function tlsTable(services: readonly TlsReport[]): Table {
  return {
    title: 'TLS',
    head: [
      'service',
      'connections',
      'read',
      'handshake p50',
      'p95',
      'resumed',
      'versions',
      'ciphers',
      'ALPN',
      'server names',
      'certificate until',
    ],
    numeric: [false, true, true, true, true, true, false, false, false, false, false],
    spare: ['server names', 'p95', 'ALPN', 'ciphers', 'certificate until'],
    rows: services.map((row) => [
      `${plain(row.service) || '-'} (${row.side})`,
      `${row.connections}`,
      `${row.decrypted}`,
      ns(row.handshake.p50),
      ns(row.handshake.p95),
      row.resumption === null ? '-' : percent(row.resumption),
      namedCounts(row.versions),
      namedCounts(row.ciphers),
      Object.keys(row.alpn).length > 0 ? namedCounts(row.alpn) : offered(row),
      namedCounts(row.server_names),
      row.certificate_not_after?.slice(0, 'YYYY-MM-DD'.length) ?? '-',
    ]),
  };
}

/** In TLS 1.3 without secrets what was agreed on is not seen. */
const offered = (row: TlsReport): string =>
  Object.keys(row.alpn_offered).length === 0 ? '-' : `offered: ${namedCounts(row.alpn_offered)}`;

const namedCounts = (counts: Readonly<Record<string, number>>): string => {
  const all = Object.entries(counts).map(([name, count]) => plain(`${name} ${count}`));
  const more = all.length - NAMES_SHOWN;
  return all.length === 0 ? '-' : `${all.slice(0, NAMES_SHOWN).join(', ')}${more > 0 ? `, ${more} more` : ''}`;
};

function table(
  title: string,
  columns: Cells,
  routes: readonly RouteReport[],
  cells: (row: RouteReport) => Cells,
  spare: readonly string[] = [],
): Table {
  return {
    title,
    head: ['service', 'method', 'route', ...columns],
    numeric: [false, false, false, ...columns.map((name) => name !== 'classes')],
    rows: routes.map((row) => [...routeCells(row), ...cells(row)]),
    spare,
  };
}

function loadTable(routes: readonly RouteReport[]): Table {
  return {
    title: 'Latency under load',
    head: ['service', 'method', 'route', 'in flight', 'calls', 'p50', 'p95', 'service calls/s', ''],
    numeric: [false, false, false, true, true, true, true, true, false],
    rows: routes.flatMap((row) => {
      const { buckets, knee } = row.load;
      return buckets.map((bucket, i) => [
        ...(i === 0 ? routeCells(row) : ['', '', '']),
        `${bucket.in_flight}`,
        `${bucket.count}`,
        ns(bucket.p50_ns),
        ns(bucket.p95_ns),
        bucket.throughput_per_s === null ? '-' : significant(bucket.throughput_per_s),
        knee?.in_flight === bucket.in_flight ? (knee.at_edge ? 'knee, or beyond' : 'knee') : '',
      ]);
    }),
    notes: curveNotes(routes),
  };
}

function changeText(value: ChangeValue): string {
  if (value === null) return '-';
  if (typeof value === 'number') return percent(value);
  return typeof value === 'string' ? value : value.map((part) => `${part.value} ${percent(part.share)}`).join(', ');
}

/** Curve and Little's check are a service's, the same in all its rows. */
function curveNotes(routes: readonly RouteReport[]): string[] {
  const notes = new Map<string, string>();
  for (const { service, side, load } of routes) {
    const name = `${plain(service) || '-'} (${side})`;
    if (notes.has(name) || load.buckets.length === 0) continue;
    const { usl, usl_missing, little_error } = load;
    const curve =
      usl === null
        ? `no curve: ${usl_missing}`
        : `curve lambda ${significant(usl.lambda)}/s, sigma ${significant(usl.sigma)}, kappa ${significant(usl.kappa)}, R2 ${usl.r2.toFixed(3)}`;
    const little = little_error === null ? '' : `; Little's law is met within ${percent(little_error)}`;
    notes.set(name, `${name}: ${curve}${little}`);
  }
  return [...notes.values()];
}

function headerTable(routes: readonly RouteReport<HeaderCells>[]): Table {
  return {
    title: 'Headers',
    head: [
      'service',
      'method',
      'route',
      'direction',
      'name',
      'present',
      'distinct',
      'class',
      'entropy',
      'most frequent',
    ],
    numeric: [false, false, false, false, false, true, true, false, true, false],
    spare: ['entropy', 'class', 'method'],
    rows: routes.flatMap((row) =>
      row.headers.map((header, i) => [
        ...(i === 0 ? routeCells(row) : ['', '', '']),
        header.direction,
        plain(header.name),
        percent(header.presence),
        `${header.distinct}`,
        header.class,
        header.entropy_bits.toFixed(1),
        header.top[0] === undefined ? '' : plain(`${header.top[0].value || '(empty)'} (${header.top[0].count})`),
      ]),
    ),
  };
}
