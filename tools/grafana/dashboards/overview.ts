/** All services at a glance, and Headwater itself. */
import { CAPTURE_LOSSES, type DashboardSpec } from '../model.ts';
import { DURATION, errorRatio, HTTP, increase, OF_SERVICE, quantile, RANGE, RATE, rate, SERVICE } from '../queries.ts';

export const overview: DashboardSpec = {
  uid: 'headwater-overview',
  title: 'Headwater: overview',
  description:
    'Every service of a host: rate, errors, response time, what changed in its headers, and what Headwater itself sees, loses and costs.',
  panels: [
    {
      title: 'Calls',
      description: 'Calls a second of each service.',
      unit: 'reqps',
      queries: [{ expr: rate('headwater_calls_total', SERVICE, 'service'), legend: '{{service}}' }],
    },
    {
      title: 'Failed calls',
      description:
        'Share of failed calls: status 4xx and 5xx, time-outs, resets, protocol errors. Calls that the client gave up are not among them.',
      unit: 'percentunit',
      thresholds: [0.01, 0.05],
      queries: [{ expr: errorRatio(SERVICE, 'service'), legend: '{{service}}' }],
    },
    {
      title: 'Response time, 95th percentile',
      description: 'First request byte to last response byte, as the observed side saw it.',
      unit: 's',
      queries: [{ expr: quantile(0.95, DURATION, OF_SERVICE, 'service'), legend: '{{service}}', exemplar: true }],
    },
    {
      title: 'Calls in flight',
      description: 'Calls that have begun and not ended, now.',
      unit: 'short',
      queries: [{ expr: `sum by (service) (${HTTP}_active_requests{${OF_SERVICE}})`, legend: '{{service}}' }],
    },
    {
      title: 'Header changes',
      description:
        'Changes that Headwater found in header elements: fields or values that are new or gone, other shares, another order. `headwater report` names them.',
      unit: 'short',
      thresholds: [1, 10],
      queries: [{ expr: increase('headwater_header_changes_total', SERVICE, 'kind', RATE), legend: '{{kind}}' }],
    },
    {
      title: 'Losses by reason',
      description: 'What capture could not show, a second. docs/loss.md explains each reason and what to do.',
      unit: 'ops',
      thresholds: [0.001, 1],
      queries: [{ expr: `${rate('headwater_losses_total', CAPTURE_LOSSES, 'reason')} > 0`, legend: '{{reason}}' }],
    },
    {
      title: 'Busiest routes',
      description:
        'The twenty routes with most calls in the time shown: calls a second, share of failed calls, 95th percentile.',
      type: 'table',
      unit: 'short',
      width: 24,
      columns: [
        { name: 'Calls/s', unit: 'reqps' },
        { name: 'Failed', unit: 'percentunit' },
        { name: 'p95', unit: 's' },
      ],
      queries: [
        { expr: `topk(20, ${rate('headwater_calls_total', SERVICE, 'service, route', RANGE)})`, instant: true },
        { expr: errorRatio(SERVICE, 'service, route', RANGE), instant: true },
        { expr: quantile(0.95, DURATION, OF_SERVICE, 'service, route', RANGE), instant: true },
      ],
    },
    {
      title: "Headwater's own CPU",
      description: 'Cores that each of its processes uses.',
      unit: 'short',
      thresholds: [0.5, 0.9],
      queries: [{ expr: rate('headwater_agent_cpu_seconds_total', '', 'process'), legend: '{{process}}' }],
    },
    {
      title: "Headwater's ring buffer",
      description:
        'How full the ring between kernel and pipeline is. From a half on the kernel leaves out bodies, when it is full whole segments.',
      type: 'gauge',
      unit: 'percentunit',
      thresholds: [0.5, 0.9],
      max: 1,
      width: 6,
      queries: [
        {
          expr: 'max(headwater_ring_bytes{state="used"}) / max(headwater_ring_bytes{state="size"})',
          instant: true,
        },
      ],
    },
    {
      title: "Headwater's memory",
      description: 'Resident memory of each of its processes.',
      unit: 'bytes',
      width: 6,
      queries: [{ expr: 'sum by (process) (headwater_agent_resident_bytes)', legend: '{{process}}' }],
    },
  ],
};
