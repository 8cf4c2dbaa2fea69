/** What the handshakes of services agree on, and how much of TLS is read. */
import type { DashboardSpec } from '../model.ts';
import { named, quantile, RATE, rate, SERVICE } from '../queries.ts';

const DAY_S = 86_400;

export const tls: DashboardSpec = {
  uid: 'headwater-tls',
  title: 'Headwater: TLS',
  description:
    'Handshakes of each service: how many, how long, resumed or not, which versions and cipher suites; certificates.',
  panels: [
    {
      title: 'Handshakes',
      description:
        'Handshakes a second, by whether they resumed a session: resumed ones save a round trip or a signature.',
      unit: 'conps',
      stacked: true,
      queries: [
        { expr: rate('headwater_tls_handshakes_total', SERVICE, 'tls_resumed'), legend: 'resumed {{tls_resumed}}' },
      ],
    },
    {
      title: 'Time of handshakes',
      description: "ClientHello to the client's Finished, as the observed side saw it.",
      unit: 's',
      queries: [0.5, 0.95].map((q) => ({
        expr: quantile(q, 'headwater_tls_handshake_duration_seconds', SERVICE),
        legend: named(q),
      })),
    },
    {
      title: 'Versions',
      description: 'Connections a second by TLS version: 1.0 and 1.1 are deprecated (RFC 8996).',
      unit: 'conps',
      stacked: true,
      queries: [
        {
          expr: rate('headwater_tls_version_connections_total', SERVICE, 'tls_protocol_version'),
          legend: 'TLS {{tls_protocol_version}}',
        },
      ],
    },
    {
      title: 'Cipher suites',
      description: 'Connections a second by cipher suite.',
      unit: 'conps',
      stacked: true,
      queries: [
        { expr: rate('headwater_tls_cipher_connections_total', SERVICE, 'tls_cipher'), legend: '{{tls_cipher}}' },
      ],
    },
    {
      title: 'Protocols',
      description:
        'Connections a second by the protocol that ALPN agreed on; in TLS 1.3 it is known of connections that were read.',
      unit: 'conps',
      stacked: true,
      queries: [
        {
          expr: rate('headwater_tls_next_protocol_connections_total', SERVICE, 'tls_next_protocol'),
          legend: '{{tls_next_protocol}}',
        },
      ],
    },
    {
      title: 'Read',
      description:
        'Share of the connections of each service of which Headwater had the secrets. `headwater why` says what the others miss.',
      unit: 'percentunit',
      max: 1,
      queries: [
        {
          expr: `${rate('headwater_tls_read_connections_total', SERVICE, 'service')} / ${rate('headwater_tls_handshakes_total', SERVICE, 'service')}`,
          legend: '{{service}}',
        },
      ],
    },
    {
      title: 'Certificates',
      description:
        "Days until the first of a service's certificates ends, as far as they were seen (TLS 1.2, and TLS 1.3 with secrets).",
      type: 'table',
      unit: 'short',
      columns: [{ name: 'Days left', unit: 'short' }],
      queries: [
        {
          expr: `sort(min by (service) (headwater_tls_server_not_after_timestamp_seconds{${SERVICE}} - time()) / ${DAY_S})`,
          instant: true,
        },
      ],
    },
    {
      title: 'Not read, by cause',
      description: 'TLS connections a second of the whole host that were not read; docs/tls.md explains each cause.',
      unit: 'conps',
      queries: [{ expr: `sum by (cause) (rate(headwater_tls_unread_connections_total${RATE}))`, legend: '{{cause}}' }],
    },
  ],
};
