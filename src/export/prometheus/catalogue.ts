/**
 * Every metric of the statistics: what /metrics writes, what the dashboards ask for, what docs/metrics.md lists. HTTP names follow
 * OpenTelemetry's semantic conventions in their Prometheus form; what they do not have is `headwater_*`.
 */
import type { MetricFamily } from './family.ts';

/**
 * OpenTelemetry's bounds, and further ones: a language model's answer takes minutes. For scrapers without native histograms.
 */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60, 120, 300];
const BYTES = [256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 16_777_216];

const ROUTE = ['service', 'http_request_method', 'route'];
const SIDE_SERVICE = ['side', 'service'];
const SIDE_ROUTE = ['side', ...ROUTE];
const NAME = [...SIDE_SERVICE, 'direction', 'name'];

const family = <const T extends MetricFamily>(definition: T): T => definition;

const http = (side: 'server' | 'client') =>
  ({
    duration: family({
      name: `http_${side}_request_duration_seconds`,
      type: 'histogram',
      unit: 'seconds',
      help: `Response time, first request byte to last response byte, seen on the ${side} side.`,
      labels: ROUTE,
      bounds: SECONDS,
    }),
    requestBody: family({
      name: `http_${side}_request_body_size_bytes`,
      type: 'histogram',
      unit: 'bytes',
      help: 'Request bodies after transfer coding is removed.',
      labels: ROUTE,
      bounds: BYTES,
    }),
    responseBody: family({
      name: `http_${side}_response_body_size_bytes`,
      type: 'histogram',
      unit: 'bytes',
      help: 'Response bodies after transfer coding is removed.',
      labels: ROUTE,
      bounds: BYTES,
    }),
    active: family({
      name: `http_${side}_active_requests`,
      type: 'gauge',
      unit: '',
      help: 'Calls in flight now.',
      labels: ['service'],
    }),
  }) as const;

export const HTTP = { server: http('server'), client: http('client') } as const;

export const CALLS = family({
  name: 'headwater_calls',
  type: 'counter',
  unit: '',
  help: "Calls by status code; 'none': no response was seen.",
  labels: [...SIDE_ROUTE, 'http_response_status_code'],
});
export const FAILED = family({
  name: 'headwater_failed_calls',
  type: 'counter',
  unit: '',
  help: 'Calls that failed: status 4xx and 5xx, time-outs, resets, protocol errors.',
  labels: SIDE_ROUTE,
});
export const ERRORS = family({
  name: 'headwater_errors',
  type: 'counter',
  unit: '',
  help: 'Calls by class of error; client_abort is no failure, truncated one only where the server closed too early.',
  labels: [...SIDE_ROUTE, 'error_class'],
});
export const GRPC_CALLS = family({
  name: 'headwater_grpc_calls',
  type: 'counter',
  unit: '',
  help: "gRPC calls by the status that they ended with, OK or another; 'none': no status was seen. HTTP says 200 of most that failed.",
  labels: [...SIDE_ROUTE, 'rpc_response_status_code'],
});
export const PHASES_DURATION = family({
  name: 'headwater_phase_duration_seconds',
  type: 'histogram',
  unit: 'seconds',
  help: 'Parts of the response time: ttfb, upload, think, download.',
  labels: [...SIDE_ROUTE, 'phase'],
  bounds: SECONDS,
});
export const TRAFFIC = family({
  name: 'headwater_traffic_bytes',
  type: 'counter',
  unit: 'bytes',
  help: 'Bytes of calls: start line and header fields, or body.',
  labels: [...SIDE_SERVICE, 'direction', 'part'],
});
export const SERVICE_CONNECTIONS = family({
  name: 'headwater_service_connections',
  type: 'counter',
  unit: '',
  help: 'Connections with a call: opened in view, or older than the agent (joined).',
  labels: [...SIDE_SERVICE, 'start'],
});
export const PROTOCOL_CALLS = family({
  name: 'headwater_protocol_calls',
  type: 'counter',
  unit: '',
  help: 'Calls by protocol; grpc and websocket are counted on top of what carries them.',
  labels: [...SIDE_SERVICE, 'protocol'],
});
export const LOAD_DURATION = family({
  name: 'headwater_load_duration_seconds',
  type: 'histogram',
  unit: 'seconds',
  help: 'Response time by the calls in flight when a call arrived (lower bound of the bucket).',
  labels: [...SIDE_SERVICE, 'in_flight'],
  bounds: SECONDS,
});
export const LOAD_SECONDS = family({
  name: 'headwater_load_seconds',
  type: 'counter',
  unit: 'seconds',
  help: 'Time that a service spent with so many calls in flight.',
  labels: [...SIDE_SERVICE, 'in_flight'],
});
export const LOAD_CALL_SECONDS = family({
  name: 'headwater_load_call_seconds',
  type: 'counter',
  unit: 'seconds',
  help: 'That time, each second as often as calls were in flight: divided by headwater_load_seconds_total the average in flight at this level.',
  labels: [...SIDE_SERVICE, 'in_flight'],
});
export const HEADER_PRESENCE = family({
  name: 'headwater_header_presence_ratio',
  type: 'gauge',
  unit: 'ratio',
  help: 'Share of the messages of the last window that have this field.',
  labels: NAME,
});
export const HEADER_DISTINCT = family({
  name: 'headwater_header_distinct_values',
  type: 'gauge',
  unit: '',
  help: 'Distinct values of this field in the last window.',
  labels: NAME,
});
export const HEADER_ENTROPY = family({
  name: 'headwater_header_entropy_bits',
  type: 'gauge',
  unit: 'bits',
  help: "Entropy of this field's values in the last window.",
  labels: NAME,
});
export const HEADER_DRIFT = family({
  name: 'headwater_header_drift_ratio',
  type: 'gauge',
  unit: 'ratio',
  help: 'Jensen-Shannon divergence of the last window from those before, 0 to 1.',
  labels: NAME,
});
export const HEADER_CHANGES = family({
  name: 'headwater_header_changes',
  type: 'counter',
  unit: '',
  help: 'Changes found in header elements, by kind.',
  labels: [...SIDE_SERVICE, 'kind'],
});
export const TLS_HANDSHAKE = family({
  name: 'headwater_tls_handshake_duration_seconds',
  type: 'histogram',
  unit: 'seconds',
  help: "TLS handshakes, ClientHello to the client's Finished.",
  labels: SIDE_SERVICE,
  bounds: SECONDS,
});
export const TLS_HANDSHAKES = family({
  name: 'headwater_tls_handshakes',
  type: 'counter',
  unit: '',
  help: "TLS connections whose handshake was settled, by whether it resumed a session: 'true', 'false', 'unknown'.",
  labels: [...SIDE_SERVICE, 'tls_resumed'],
});
export const TLS_VERSIONS = family({
  name: 'headwater_tls_version_connections',
  type: 'counter',
  unit: '',
  help: 'TLS connections by version; what was not seen is in none.',
  labels: [...SIDE_SERVICE, 'tls_protocol_version'],
});
export const TLS_CIPHERS = family({
  name: 'headwater_tls_cipher_connections',
  type: 'counter',
  unit: '',
  help: "TLS connections by cipher suite (IANA's name).",
  labels: [...SIDE_SERVICE, 'tls_cipher'],
});
export const TLS_PROTOCOLS = family({
  name: 'headwater_tls_next_protocol_connections',
  type: 'counter',
  unit: '',
  help: 'TLS connections by the protocol agreed on (ALPN).',
  labels: [...SIDE_SERVICE, 'tls_next_protocol'],
});
export const TLS_READ = family({
  name: 'headwater_tls_read_connections',
  type: 'counter',
  unit: '',
  help: 'TLS connections of which Headwater had the secrets.',
  labels: SIDE_SERVICE,
});
export const TLS_CERTIFICATE_END = family({
  name: 'headwater_tls_server_not_after_timestamp_seconds',
  type: 'gauge',
  unit: 'seconds',
  help: "Unix time at which the first of the servers' certificates ends that were seen in the last day or two (tls.server.not_after).",
  labels: SIDE_SERVICE,
});
export const STATISTICS_SERIES = family({
  name: 'headwater_statistics_series',
  type: 'gauge',
  unit: '',
  help: "Series (service, side, method, route) in the statistics; hidden ones, beyond the budget of /metrics or 404 only, are summed in route 'other'.",
  labels: ['state'],
});
export const STATISTICS_OVERFLOW = family({
  name: 'headwater_statistics_overflow',
  type: 'counter',
  unit: '',
  help: "Calls counted under 'other' because a dimension was full.",
  labels: ['dimension'],
});

export const STATISTICS_FOLDED = family({
  name: 'headwater_statistics_folded_series',
  type: 'counter',
  unit: '',
  help: "Series that nobody called for an hour, moved into 'other' to make room.",
  labels: [],
});

/** In the order of /metrics. */
export const CATALOGUE: readonly MetricFamily[] = [
  ...Object.values(HTTP.server),
  ...Object.values(HTTP.client),
  CALLS,
  FAILED,
  ERRORS,
  GRPC_CALLS,
  PHASES_DURATION,
  TRAFFIC,
  SERVICE_CONNECTIONS,
  PROTOCOL_CALLS,
  LOAD_DURATION,
  LOAD_SECONDS,
  LOAD_CALL_SECONDS,
  HEADER_PRESENCE,
  HEADER_DISTINCT,
  HEADER_ENTROPY,
  HEADER_DRIFT,
  HEADER_CHANGES,
  TLS_HANDSHAKE,
  TLS_HANDSHAKES,
  TLS_VERSIONS,
  TLS_CIPHERS,
  TLS_PROTOCOLS,
  TLS_READ,
  TLS_CERTIFICATE_END,
  STATISTICS_SERIES,
  STATISTICS_OVERFLOW,
  STATISTICS_FOLDED,
];
