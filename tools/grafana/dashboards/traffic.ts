/** Calls, bytes, connections, protocols. */
import type { DashboardSpec } from '../model.ts';
import { HTTP, HTTP_ROUTE, named, quantile, ROUTE, rate, SERVICE } from '../queries.ts';

export const traffic: DashboardSpec = {
  uid: 'headwater-traffic',
  title: 'Headwater: traffic volume',
  description: 'How many calls, bytes and connections, by which protocol.',
  withRoute: true,
  panels: [
    {
      title: 'Calls by route',
      description: "Calls a second. 'other': paths that only answered 404, and routes beyond the budget of metrics.",
      unit: 'reqps',
      stacked: true,
      queries: [{ expr: `topk(15, ${rate('headwater_calls_total', ROUTE, 'route')})`, legend: '{{route}}' }],
    },
    {
      title: 'Calls by protocol',
      description: 'Of the whole service. grpc and websocket are counted on top of the protocol that carries them.',
      unit: 'reqps',
      queries: [{ expr: rate('headwater_protocol_calls_total', SERVICE, 'protocol'), legend: '{{protocol}}' }],
    },
    {
      title: 'Bytes',
      description: 'Of the whole service, by direction: start line and header fields, and bodies.',
      unit: 'Bps',
      stacked: true,
      queries: [
        { expr: rate('headwater_traffic_bytes_total', SERVICE, 'direction, part'), legend: '{{direction}} {{part}}' },
      ],
    },
    {
      title: 'Body sizes',
      description: 'After transfer coding is removed, before content decoding.',
      unit: 'bytes',
      queries: (['request', 'response'] as const).flatMap((direction) =>
        [0.5, 0.95].map((q) => ({
          expr: quantile(q, `${HTTP}_${direction}_body_size_bytes`, HTTP_ROUTE),
          legend: `${direction} ${named(q)}`,
        })),
      ),
    },
    {
      title: 'New connections',
      description: 'Connections with a first call, a second: opened in view, or older than the agent (joined).',
      unit: 'conps',
      queries: [{ expr: rate('headwater_service_connections_total', SERVICE, 'start'), legend: '{{start}}' }],
    },
    {
      title: 'Calls for each connection',
      description: 'How much keep-alive saves: near 1 every call pays for a connection of its own.',
      unit: 'short',
      queries: [
        {
          expr: `${rate('headwater_calls_total', SERVICE, 'service')} / ${rate('headwater_service_connections_total', SERVICE, 'service')}`,
          legend: '{{service}}',
        },
      ],
    },
  ],
};
