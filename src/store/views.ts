/** What `--sql` sees: docs/store.md describes the columns. */

/** A header block as a list of (name, value), put together from the shape and the call's own values. */
const headers = (shape: string, values: string): string =>
  `list_transform(from_json(${shape}, '[["VARCHAR"]]'), lambda line: ` +
  `{'name': line[1], 'value': CASE WHEN len(line) = 3 THEN ${values}[CAST(line[3] AS INTEGER)] ELSE line[2] END})`;

/** Names that a query may read from. */
export const VIEW_NAMES: readonly string[] = ['calls', 'states', 'ledger', 'websockets'];

/** Tables (or expressions) that the views are made over. */
export interface ViewSources {
  readonly calls: string;
  readonly states: string;
  readonly ledger: string;
  readonly websockets: string;
}

const call = `run || '-' || lower(to_base(connection, 36)) || '-' || lower(to_base(ordinal, 36))`;
const direction = (from: 'client' | 'server'): string =>
  `CAST(session ->> '$.from_${from}.messages.text' AS BIGINT) + CAST(session ->> '$.from_${from}.messages.binary' AS BIGINT) AS ${from}_messages,
    CAST(session ->> '$.from_${from}.bytes.text' AS BIGINT) + CAST(session ->> '$.from_${from}.bytes.binary' AS BIGINT) AS ${from}_bytes,
    CAST(session ->> '$.from_${from}.close.code' AS INTEGER) AS ${from}_close_code`;

export const VIEWS = (from: ViewSources): string[] => [
  `CREATE OR REPLACE VIEW calls AS SELECT
    ${call} AS id,
    ts, run, run || '-' || lower(to_base(connection, 36)) AS connection, ordinal,
    protocol, upgrade, stream_id, side, service,
    process_pid, process_name, process_cgroup, process_container, process_evidence,
    client_address, client_port, server_address, server_port,
    route, method, target, scheme, authority, status, reason, outcome,
    last_response_ns - first_request_ns AS duration_ns,
    first_request_ns, last_request_ns, first_response_ns, last_response_ns, in_flight,
    request_head_bytes, request_body_bytes, response_head_bytes, response_body_bytes,
    ${headers('request_headers', 'request_values')} AS request_headers,
    ${headers('response_headers', 'response_values')} AS response_headers,
    nullif(anomalies, '') AS anomalies,
    nullif(losses, '') AS losses, nullif(extra, '') AS extra,
    tls_version, tls_cipher, tls_sni, tls_alpn, tls_ja4, CAST(tls_resumed AS BOOLEAN) AS tls_resumed, sequence
    FROM ${from.calls}`,
  `CREATE OR REPLACE VIEW states AS SELECT * FROM ${from.states}`,
  `CREATE OR REPLACE VIEW ledger AS SELECT * FROM ${from.ledger}`,
  `CREATE OR REPLACE VIEW websockets AS SELECT
    ${call} AS id, ts, run || '-' || lower(to_base(connection, 36)) AS connection, side, service,
    session ->> '$.end' AS "end", session ->> '$.closed_by' AS closed_by, CAST(session ->> '$.duration_ns' AS BIGINT) AS duration_ns,
    ${direction('client')}, ${direction('server')}, session
    FROM ${from.websockets}`,
];
