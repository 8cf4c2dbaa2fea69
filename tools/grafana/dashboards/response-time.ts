/** How long calls take, and where the time goes. */
import type { DashboardSpec } from '../model.ts';
import { DURATION, HTTP_ROUTE, named, observed, quantile, RATE, ROUTE } from '../queries.ts';

const QUANTILES = [0.5, 0.9, 0.95, 0.99] as const;

export const responseTime: DashboardSpec = {
  uid: 'headwater-response-time',
  title: 'Headwater: response time',
  description: 'How long calls take, where the time goes, and which routes are slow.',
  withRoute: true,
  panels: [
    {
      title: 'Percentiles',
      description:
        'Response time of all chosen routes together. Diamonds are single calls: their id is in the header log.',
      unit: 's',
      width: 24,
      queries: QUANTILES.map((q) => ({
        expr: quantile(q, DURATION, HTTP_ROUTE),
        legend: named(q),
        exemplar: q === 0.99,
      })),
    },
    {
      title: 'Distribution',
      description: 'How many calls took how long. Two bands are two kinds of calls.',
      type: 'heatmap',
      unit: 's',
      queries: [
        {
          expr: `sum(increase(${DURATION}{${HTTP_ROUTE}}${RATE})) or sum by (le) (increase(${DURATION}_bucket{${HTTP_ROUTE}}${RATE}))`,
          legend: '{{le}}',
          heatmap: true,
        },
      ],
    },
    {
      title: 'Phases, 95th percentile',
      description:
        'ttfb: to the first response byte. upload: the request. think: from its end to the first response byte (on the client side with the network). download: the response.',
      unit: 's',
      queries: [{ expr: quantile(0.95, 'headwater_phase_duration_seconds', ROUTE, 'phase'), legend: '{{phase}}' }],
    },
    {
      title: 'Slowest routes',
      description: '95th percentile of the ten slowest routes.',
      unit: 's',
      queries: [{ expr: `topk(10, ${quantile(0.95, DURATION, HTTP_ROUTE, 'route')})`, legend: '{{route}}' }],
    },
    {
      title: 'Time spent by route',
      description: 'Seconds of response time a second: what making a route faster would bring in all.',
      unit: 'short',
      stacked: true,
      queries: [{ expr: `topk(10, ${observed('sum', 'rate', DURATION, HTTP_ROUTE, 'route')})`, legend: '{{route}}' }],
    },
  ],
};
