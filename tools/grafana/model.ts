/**
 * Grafana's classic dashboard model, as far as ours use it, and how a short description becomes one. Everything that all
 * dashboards have in common is here: variables, the strip of captured and lost calls, losses marked on every graph.
 */

export type Unit = 's' | 'reqps' | 'Bps' | 'bytes' | 'percentunit' | 'short' | 'ops' | 'none' | 'conps';

export interface Query {
  readonly expr: string;
  /** Grafana's legend format; "" lets Grafana name the series. */
  readonly legend?: string;
  /** One row for each series, of now; else a line over time. */
  readonly instant?: boolean;
  /** Native histograms and classic buckets, one column a bucket. */
  readonly heatmap?: boolean;
  /** Points at calls. */
  readonly exemplar?: boolean;
}

export interface PanelSpec {
  readonly title: string;
  /** What it shows, and what to make of it. */
  readonly description: string;
  readonly type?: 'timeseries' | 'stat' | 'table' | 'barchart' | 'heatmap' | 'gauge';
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** From this value on orange, and red. */
  readonly thresholds?: readonly [warn: number, bad: number];
  readonly width?: number;
  readonly height?: number;
  readonly max?: number;
  readonly stacked?: boolean;
  /** Tables: names of their value columns by query, and labels that are left out. */
  readonly columns?: readonly { readonly name: string; readonly unit: Unit }[];
  /** Bar charts: the label along the axis, which is a number. */
  readonly along?: string;
}

export interface DashboardSpec {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly panels: readonly PanelSpec[];
  /** Further choices: name, label, values (the first is the default). */
  readonly choices?: readonly { readonly name: string; readonly label: string; readonly values: readonly string[] }[];
  readonly withRoute?: boolean;
}

/** The newest of the classic model; Grafana 9 and later read it. */
const SCHEMA_VERSION = 42;
const COLUMNS = 24;
const WIDTH = 12;
const HEIGHT = 8;
const DATASOURCE = { type: 'prometheus', uid: '$datasource' } as const;
const LETTERS = 'ABCDEFGH';

/** Losses that make a statistic incomplete; the others are of logs, viewers and the store. */
export const CAPTURE_LOSSES = 'reason!~"(log|tail|store)_.*"';

/** Above every dashboard: how much of the truth is below. */
const CAPTURED: readonly PanelSpec[] = [
  {
    title: 'Captured calls',
    description: 'Calls that Headwater recorded in the time shown, each observed side counted by itself.',
    type: 'stat',
    unit: 'short',
    width: 8,
    height: 3,
    queries: [{ expr: 'sum(increase(headwater_exchanges_total[$__range]))', instant: true }],
  },
  {
    title: 'Lost',
    description:
      'Things that capture could not show in that time: segments, messages, connections. Above 0 the numbers below are incomplete; the overview names the reasons, docs/loss.md explains each.',
    type: 'stat',
    unit: 'short',
    width: 8,
    height: 3,
    thresholds: [1, 100],
    queries: [{ expr: `sum(increase(headwater_losses_total{${CAPTURE_LOSSES}}[$__range]))`, instant: true }],
  },
  {
    title: 'Messages lost',
    description: 'Share of the requests and responses that are known to have passed without being read.',
    type: 'stat',
    unit: 'percentunit',
    width: 8,
    height: 3,
    thresholds: [0.0001, 0.01],
    queries: [
      {
        expr: 'sum(increase(headwater_messages_total{state="lost"}[$__range])) / sum(increase(headwater_messages_total[$__range]))',
        instant: true,
      },
    ],
  },
];

interface Variable {
  readonly name: string;
  readonly label: string;
}

const labelValues = ({ name, label }: Variable, of: string): object => ({
  name,
  label,
  type: 'query',
  datasource: DATASOURCE,
  definition: `label_values(${of}, ${name})`,
  query: { query: `label_values(${of}, ${name})`, refId: name },
  refresh: 2,
  sort: 1,
  multi: true,
  includeAll: true,
  allValue: '.*',
  current: { text: 'All', value: '$__all' },
  hide: 0,
  options: [],
  regex: '',
  skipUrlSync: false,
});

const choice = ({ name, label }: Variable, values: readonly string[]): object => ({
  name,
  label,
  type: 'custom',
  query: values.join(','),
  options: values.map((value, i) => ({ text: value, value, selected: i === 0 })),
  current: { text: values[0], value: values[0] },
  multi: false,
  includeAll: false,
  hide: 0,
  skipUrlSync: false,
});

function variables({ withRoute = false, choices = [] }: DashboardSpec): object[] {
  const calls = 'headwater_calls_total{side="$side"}';
  return [
    {
      name: 'datasource',
      label: 'Data source',
      type: 'datasource',
      query: 'prometheus',
      current: {},
      hide: 0,
      includeAll: false,
      multi: false,
      options: [],
      refresh: 1,
      regex: '',
      skipUrlSync: false,
    },
    choice({ name: 'side', label: 'Side' }, ['server', 'client']),
    labelValues({ name: 'service', label: 'Service' }, calls),
    ...(withRoute
      ? [labelValues({ name: 'route', label: 'Route' }, 'headwater_calls_total{side="$side",service=~"$service"}')]
      : []),
    ...choices.map((each) => choice(each, each.values)),
  ];
}

function steps(thresholds: PanelSpec['thresholds']): object {
  const [warn, bad] = thresholds ?? [];
  return {
    mode: 'absolute',
    steps: [
      { color: 'green', value: null },
      ...(warn === undefined ? [] : [{ color: 'orange', value: warn }]),
      ...(bad === undefined ? [] : [{ color: 'red', value: bad }]),
    ],
  };
}

function options({ type = 'timeseries', along }: PanelSpec): object {
  switch (type) {
    case 'stat':
      return {
        colorMode: 'value',
        graphMode: 'none',
        textMode: 'auto',
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      };
    case 'gauge':
      return {
        showThresholdMarkers: true,
        reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      };
    case 'table':
      return { showHeader: true, cellHeight: 'sm' };
    case 'barchart':
      return {
        xField: along,
        orientation: 'vertical',
        stacking: 'none',
        legend: { displayMode: 'list', placement: 'bottom', showLegend: true },
        tooltip: { mode: 'multi', sort: 'none' },
      };
    case 'heatmap':
      return {
        calculate: false,
        color: { mode: 'scheme', scheme: 'Oranges', steps: 64 },
        yAxis: { unit: 's', axisPlacement: 'left' },
        cellGap: 1,
        tooltip: { mode: 'single', yHistogram: false },
        legend: { show: true },
        exemplars: { color: 'rgba(255,0,255,0.7)' },
      };
    case 'timeseries':
      return {
        legend: { displayMode: 'table', placement: 'bottom', showLegend: true, calcs: ['mean', 'lastNotNull'] },
        tooltip: { mode: 'multi', sort: 'desc' },
      };
  }
}

/** Rows of several queries side by side: their labels once, values under names of their own. */
function transformations({ type, columns = [], along }: PanelSpec): object[] {
  if (type === 'barchart')
    return [
      { id: 'merge', options: {} },
      { id: 'convertFieldType', options: { conversions: [{ targetField: along, destinationType: 'number' }] } },
      { id: 'sortBy', options: { sort: [{ field: along }] } },
      organized(columns),
    ];
  if (type === 'table') return [{ id: 'merge', options: {} }, organized(columns)];
  return [];
}

const valueField = (i: number, of: number): string => (of === 1 ? 'Value' : `Value #${LETTERS[i]}`);

const organized = (columns: NonNullable<PanelSpec['columns']>): object => ({
  id: 'organize',
  options: {
    excludeByName: { Time: true },
    renameByName: Object.fromEntries(columns.map(({ name }, i) => [valueField(i, columns.length), name])),
  },
});

function panel(spec: PanelSpec, id: number, gridPos: object): object {
  const {
    title,
    description,
    type = 'timeseries',
    unit,
    queries,
    thresholds,
    max,
    stacked = false,
    columns = [],
  } = spec;
  const table = type === 'table' || type === 'barchart';
  return {
    id,
    type,
    title,
    description,
    datasource: DATASOURCE,
    gridPos,
    targets: queries.map(({ expr, legend = '', instant = false, heatmap = false, exemplar = false }, i) => ({
      refId: LETTERS[i],
      datasource: DATASOURCE,
      editorMode: 'code',
      expr,
      legendFormat: legend === '' ? '__auto' : legend,
      instant,
      range: !instant,
      format: heatmap ? 'heatmap' : table ? 'table' : 'time_series',
      exemplar,
    })),
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        ...(max === undefined ? {} : { max }),
        color: { mode: type === 'timeseries' || type === 'barchart' ? 'palette-classic' : 'thresholds' },
        thresholds: steps(thresholds),
        custom:
          type === 'timeseries'
            ? {
                drawStyle: 'line',
                lineWidth: 1,
                fillOpacity: stacked ? 40 : 8,
                // A gap is a gap: nothing was known then.
                spanNulls: false,
                showPoints: 'auto',
                stacking: { mode: stacked ? 'normal' : 'none', group: 'A' },
                thresholdsStyle: { mode: thresholds === undefined ? 'off' : 'line' },
              }
            : {},
      },
      overrides: columns.map(({ name, unit: own }) => ({
        matcher: { id: 'byName', options: name },
        properties: [{ id: 'unit', value: own }],
      })),
    },
    options: options(spec),
    ...(table ? { transformations: transformations(spec) } : {}),
  };
}

/** Panels from left to right, a new line where there is no room. */
function laidOut(specs: readonly PanelSpec[]): object[] {
  let [x, y, line] = [0, 0, 0];
  return specs.map((spec, i) => {
    const { width: w = WIDTH, height: h = HEIGHT } = spec;
    if (x + w > COLUMNS) [x, y, line] = [0, y + line, 0];
    const made = panel(spec, i + 1, { x, y, w, h });
    x += w;
    line = Math.max(line, h);
    return made;
  });
}

export function dashboard(spec: DashboardSpec): object {
  const { uid, title, description, panels } = spec;
  return {
    uid,
    title,
    description,
    tags: ['headwater'],
    timezone: 'browser',
    editable: true,
    graphTooltip: 1,
    schemaVersion: SCHEMA_VERSION,
    version: 1,
    refresh: '30s',
    time: { from: 'now-1h', to: 'now' },
    timepicker: {},
    links: [
      {
        type: 'dashboards',
        title: 'Headwater',
        tags: ['headwater'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
        icon: 'external link',
        targetBlank: false,
        tooltip: '',
        url: '',
      },
    ],
    templating: { list: variables(spec) },
    annotations: {
      list: [
        {
          name: 'Losses',
          datasource: DATASOURCE,
          enable: true,
          hide: false,
          iconColor: 'red',
          // Where it is marked, what the graphs show is incomplete.
          target: {
            refId: 'Losses',
            expr: `sum by (reason) (increase(headwater_losses_total{${CAPTURE_LOSSES}}[$__rate_interval])) > 0`,
            interval: '30s',
          },
          titleFormat: 'Lost: {{reason}}',
          textFormat: 'docs/loss.md says why, and what to do',
          tagKeys: 'reason',
        },
      ],
    },
    panels: laidOut([...CAPTURED, ...panels]),
  };
}
