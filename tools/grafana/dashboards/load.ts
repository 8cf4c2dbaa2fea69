/** What concurrency does to response time and throughput. */
import type { DashboardSpec } from '../model.ts';
import { DURATION, HTTP, increase, named, OF_SERVICE, observed, quantile, RANGE, rate, SERVICE } from '../queries.ts';

const LOAD = 'headwater_load_duration_seconds';
const CALLS = observed('count', 'increase', LOAD, SERVICE, 'in_flight', RANGE);
const TIME = increase('headwater_load_seconds_total', SERVICE, 'in_flight');
/** Little's law at each level: calls in flight by their response time (docs/statistics.md). */
const THROUGHPUT =
  `${increase('headwater_load_call_seconds_total', SERVICE, 'in_flight')} / ${TIME}` +
  ` / (${observed('sum', 'increase', LOAD, SERVICE, 'in_flight', RANGE)} / ${CALLS})`;

export const load: DashboardSpec = {
  uid: 'headwater-load',
  title: 'Headwater: latency under load',
  description:
    'What concurrency does to response time and throughput. Choose one service: capacity is shared by its routes.',
  panels: [
    {
      title: 'Response time by calls in flight',
      description:
        'Of calls that found so many in flight when they arrived, themselves included. Where it turns upward, calls begin to wait for each other.',
      type: 'barchart',
      unit: 's',
      along: 'in_flight',
      columns: [
        { name: 'p50', unit: 's' },
        { name: 'p95', unit: 's' },
      ],
      queries: [0.5, 0.95].map((q) => ({ expr: quantile(q, LOAD, SERVICE, 'in_flight', RANGE), instant: true })),
    },
    {
      title: 'Throughput by calls in flight',
      description:
        "Calls a second of a service with so many in flight, by Little's law at that level: calls in flight divided by their response time. Levels that were only passed through have none. Where it stays flat, the capacity is reached; where it falls, calls are in each other's way.",
      type: 'barchart',
      unit: 'reqps',
      along: 'in_flight',
      columns: [{ name: 'calls/s', unit: 'reqps' }],
      queries: [
        {
          // As the report has it: the level's time was enough for half of the calls that met it.
          expr: `(${THROUGHPUT}) and ((${THROUGHPUT}) * ${TIME} * 2 >= ${CALLS})`,
          instant: true,
        },
      ],
    },
    {
      title: 'Time at each level',
      description: 'Share of the time with so many calls in flight; 0: idle. Levels that were seldom there say little.',
      unit: 'percentunit',
      stacked: true,
      queries: [
        {
          expr: `${rate('headwater_load_seconds_total', SERVICE, 'in_flight')} / ignoring (in_flight) group_left ${rate('headwater_load_seconds_total', SERVICE)}`,
          legend: '{{in_flight}}',
        },
      ],
    },
    {
      title: "Calls in flight, and Little's law",
      description:
        'Calls in flight now, and what arrival rate times response time says there must be on average. Far apart: calls without a seen end, or load in bursts between two scrapes.',
      unit: 'short',
      queries: [
        { expr: `sum(${HTTP}_active_requests{${OF_SERVICE}})`, legend: 'in flight' },
        { expr: observed('sum', 'rate', DURATION, OF_SERVICE), legend: "Little's law" },
      ],
    },
    {
      title: 'Throughput',
      description: 'Calls a second with a response time.',
      unit: 'reqps',
      queries: [{ expr: observed('count', 'rate', LOAD, SERVICE, 'service'), legend: '{{service}}' }],
    },
    {
      title: 'Response time',
      description: 'Beside the throughput: both rise together below the knee, only this one above it.',
      unit: 's',
      queries: [0.5, 0.95].map((q) => ({ expr: quantile(q, LOAD, SERVICE), legend: named(q) })),
    },
  ],
};
