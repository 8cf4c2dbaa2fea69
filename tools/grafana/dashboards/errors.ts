/** Which calls fail, and how fast that uses up the error budget. */
import type { DashboardSpec } from '../model.ts';
import { errorRatio, increase, RANGE, ROUTE, rate } from '../queries.ts';

const FAILED = 'headwater_failed_calls_total';
const BURN_WINDOWS = ['5m', '1h', '6h'] as const;

export const errors: DashboardSpec = {
  uid: 'headwater-errors',
  title: 'Headwater: error rates',
  description: 'Which calls fail, how, where, and how fast that uses up the error budget.',
  withRoute: true,
  choices: [{ name: 'objective', label: 'Objective (%)', values: ['99.9', '99', '99.5', '99.95', '99.99'] }],
  panels: [
    {
      title: 'Failed calls',
      description: 'Share of failed calls: status 4xx and 5xx, time-outs, resets, protocol errors.',
      unit: 'percentunit',
      thresholds: [0.01, 0.05],
      queries: [{ expr: errorRatio(ROUTE), legend: 'failed' }],
    },
    {
      title: 'Error budget burn',
      description:
        'How many times faster than the objective allows calls fail: 1 uses the budget up exactly at the end of its period, 14.4 a fiftieth of a month in an hour.',
      unit: 'short',
      thresholds: [1, 14.4],
      queries: BURN_WINDOWS.map((window) => ({
        expr: `(${errorRatio(ROUTE, '', `[${window}]`)}) / (1 - $objective / 100)`,
        legend: window,
      })),
    },
    {
      title: 'Errors by class',
      description:
        'How calls failed. client_abort and truncated stand apart: neither says that the service failed, and neither is in the share of failed calls.',
      unit: 'reqps',
      stacked: true,
      queries: [{ expr: rate('headwater_errors_total', ROUTE, 'error_class'), legend: '{{error_class}}' }],
    },
    {
      title: 'Status codes',
      description: "Calls a second by status code; 'none': no response was seen.",
      unit: 'reqps',
      stacked: true,
      queries: [
        {
          expr: rate('headwater_calls_total', ROUTE, 'http_response_status_code'),
          legend: '{{http_response_status_code}}',
        },
      ],
    },
    {
      title: 'gRPC status',
      description:
        "gRPC calls a second by the status that they ended with; 'none': no status was seen. HTTP says 200 of most that failed: neither the share of failed calls nor the classes have them.",
      unit: 'reqps',
      stacked: true,
      width: 24,
      queries: [
        {
          expr: rate('headwater_grpc_calls_total', ROUTE, 'rpc_response_status_code'),
          legend: '{{rpc_response_status_code}}',
        },
      ],
    },
    {
      title: 'Failing routes',
      description:
        'Routes with failed calls in the time shown: how many, and their share. The id of a failed call is an exemplar of headwater_failed_calls_total.',
      type: 'table',
      unit: 'short',
      width: 24,
      columns: [
        { name: 'Failed', unit: 'short' },
        { name: 'Share', unit: 'percentunit' },
      ],
      queries: [
        { expr: `topk(20, ${increase(FAILED, ROUTE, 'service, route')} > 0)`, instant: true },
        { expr: `(${errorRatio(ROUTE, 'service, route', RANGE)}) > 0`, instant: true },
      ],
    },
  ],
};
